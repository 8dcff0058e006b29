"""From a file's bytes to pixels, one image or one part of a set at a time; this runs in the decoding processes."""

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from imagesets._own import png
from imagesets._own.listing import Reader, read_file
from lab.errors import WorkbenchError, first_line

DECODING = 1
"""Version of the pixels that come of a file; bumped when they change."""
LEVEL = "transparent levels are exact"
"""What the key of a set says beside where the first version took transparent values of PNG files for others."""
PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin, GifImagePlugin, BmpImagePlugin)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
GAP = 2
"""A large image is first brought, quickly, to no less than this many times the side."""
ORIENTED = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
"""What of a file's information can tell which side is up."""
NO_DIGEST = bytes(32)
TEXT = 1 << 26
"""Bytes of texts and colour profiles in a file, at most."""
POINTER = b"version https://git-lfs"
"""How a file begins that stands for one that was not fetched."""


@dataclass(frozen=True)
class Target:
    """Where decoded images go: an array of uint8 (n, channels, size, size) that begins at `offset` of a file.

    With `grey_only`, a colour image stops the work. Values of 16 bits in the range of `stretch` are spread over 0 to
    255; without it their upper 8 bits are kept.
    """

    path: str
    offset: int
    channels: int
    size: int
    grey_only: bool
    stretch: png.Range | None

    @property
    def bytes_each(self) -> int:
        """Bytes of an image."""
        return self.channels * self.size**2


@dataclass
class Part:
    """What came of consecutive images.

    Attributes:
        digests: SHA-256 of each file.
        bad: why an image could not be decoded, by its place in the part.
        enlarged: how many were smaller than the target.
        colour: a colour image was met where only grey ones were wanted.
        seen: the range of the values of images of 16 bits; None where there is none.
        level: whether an image has a transparent value that the first version took for others.
        plain: how many are of one colour throughout.
    """

    digests: list[bytes] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    enlarged: int = 0
    colour: bool = False
    seen: png.Range | None = None
    level: bool = False
    plain: int = 0


class Decoded(NamedTuple):
    """A square image in mode L or RGB, whether it had to be enlarged, and what `Part` tells of it."""

    image: Image.Image
    enlarged: bool
    seen: png.Range | None = None
    level: bool = False


class _ColourMet(Exception):
    """A colour image, where only grey ones are wanted."""


def hash_part(reader: Reader, addresses: Sequence[Any]) -> list[bytes]:
    """SHA-256 of each file; zeros for one that cannot be read."""
    found = []
    for address in addresses:
        try:
            found.append(hashlib.sha256(reader.read(address)).digest())
        except Exception:  # decoding will say what is wrong with it
            found.append(NO_DIGEST)
    return found


def range_part(reader: Reader, addresses: Sequence[Any]) -> png.Range | None:
    """The range of the values of all images of 16 bits that can be decoded; None where there is none."""
    found: png.Range | None = None
    with _bombs_refused():
        for address in addresses:
            with suppress(Exception):  # a bad file is named when it is decoded
                data = reader.read(address)
                header = png.header(data)
                if header and header.bits == png.DEEP:
                    found = png.union(found, png.values_of(partial(_loaded, data), header.kind).seen)
    return found


def decode_part(reader: Reader, addresses: Sequence[Any], first: int, target: Target) -> Part:
    """Decode consecutive images and write them to the target from place `first` on; bad ones leave zeros."""
    part = Part()
    sheet = Image.new("L" if target.channels == 1 else "RGB", (target.size, target.size * len(addresses)))
    with _bombs_refused():
        for i, address in enumerate(addresses):
            part.digests.append(NO_DIGEST)
            try:
                data = reader.read(address)
                part.digests[i] = hashlib.sha256(data).digest()
                found = decode(data, target.size, target.channels, target.grey_only, target.stretch)
                sheet.paste(found.image, (0, target.size * i))
                part.enlarged += found.enlarged
                part.seen = png.union(part.seen, found.seen)
                part.level |= found.level
            except _ColourMet:
                part.colour = True
                return part
            except Exception as error:  # damaged files raise errors of every kind
                part.bad[i] = explain(error)
    pixels = np.asarray(sheet).reshape(len(addresses), target.size, target.size, target.channels)
    part.plain = int((pixels == pixels[:, :1, :1]).all((1, 2, 3)).sum()) - len(part.bad)
    with open(target.path, "r+b") as file:  # noqa: PTH123 (a full disk is an error here, and a crash in a memory map)
        file.seek(target.offset + first * target.bytes_each)
        file.write(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).data)
    return part


def decode_files(paths: Sequence[Path], size: int, channels: int, stretch: png.Range | None = None) -> np.ndarray:
    """The pixels of image files, uint8 (n, channels, size, size), as `decode` makes them.

    Raises:
        WorkbenchError: a file cannot be read, or is no image; the message names it.
    """
    found = np.empty((len(paths), channels, size, size), np.uint8)
    with _bombs_refused():
        for row, path in enumerate(paths):
            try:
                image = decode(read_file(path), size, channels, stretch=stretch).image
            except Exception as error:  # damaged files raise errors of every kind
                raise WorkbenchError(f"{path} cannot be decoded: {explain(error)}.") from error
            found[row] = np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)
    return found


def decode(data: bytes, size: int, channels: int, grey_only: bool = False, stretch: png.Range | None = None) -> Decoded:
    """A square image in mode L (one channel) or RGB (three).

    It is turned upright by its EXIF orientation, cropped to the square at its centre, and resized by Lanczos' filter;
    what is transparent becomes white; of 16 bits the upper 8 are kept, or those of the range of `stretch` are spread
    over 0 to 255; of an animation the first frame.

    Raises:
        Exception: the bytes are no such image, are cut off, or unpack to more pixels than Pillow's limit.
    """
    image, header = _opened(data), png.header(data)
    if grey_only and not is_grey(image, header):
        raise _ColourMet
    enlarged, seen, level = min(image.size) < size, None, False
    if header and header.bits == png.DEEP:
        level = "transparency" in image.info
        values = png.values_of(partial(_loaded, data), header.kind)
        seen, direct = values.seen, values.image(stretch)
    else:
        if min(image.size) >= 2 * GAP * size:
            image.draft(None, (GAP * size, GAP * size))
        image.load()
        _turn_upright(image)
        if header and header.bits < png.SHALLOW and header.grey and "transparency" in image.info:
            level, direct = header.bits > 1, png.with_alpha(image, header.bits)
        else:
            direct = _direct(image)
    mode, square = "L" if channels == 1 else "RGB", _on_white(_square(direct, size))
    return Decoded(square if square.mode == mode else square.convert(mode), enlarged, seen, level)


def is_grey(image: Image.Image, header: png.Header | None = None) -> bool:
    """Whether a file is of grey values alone, by a PNG's header, its mode or palette."""
    if header and header.grey:
        return True
    if image.mode in ("P", "PA"):
        palette = image.getpalette("RGB") or []
        return palette[0::3] == palette[1::3] == palette[2::3]
    return image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")


def look(data: bytes) -> tuple[int, bool]:
    """An image's shorter side in pixels, and whether it is grey, from the header alone.

    Raises:
        Exception: the bytes are no image, or one of more pixels than Pillow's limit.
    """
    with _bombs_refused():
        image = _opened(data)
        return min(image.size), is_grey(image, png.header(data))


def explain(error: Exception) -> str:
    """Why an image could not be decoded, in a few words."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit against decompression bombs"
    if isinstance(error, UnidentifiedImageError):
        return f"no image of {', '.join(FORMATS)}"
    return (error.strerror if isinstance(error, OSError) else None) or first_line(error)


@contextmanager
def _bombs_refused() -> Iterator[None]:
    """Where too many pixels are an error, and long texts beside them, which Pillow refuses from 1 MiB on, are none."""
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = TEXT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        finally:
            PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = limits


def _opened(data: bytes) -> Any:
    if data.startswith(POINTER):
        raise ValueError("a pointer of Git LFS: git lfs pull fetches the image")
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _loaded(data: bytes, stored_as: str) -> Image.Image:
    """The image, upright; its bytes read as pixels that are stored in another way, if one is named."""
    image = _opened(data)
    if stored_as:
        image.tile = [(*tile[:3], stored_as) for tile in image.tile]
    image.load()
    _turn_upright(image)
    return image


def _turn_upright(image: Image.Image) -> None:
    if not ORIENTED.isdisjoint(image.info):
        with suppress(Exception):  # damaged EXIF data: the pixels are as they are
            ImageOps.exif_transpose(image, in_place=True)


def _direct(image: Image.Image) -> Image.Image:
    """The image in a mode of 8 bits in which it can be resized: L, RGB or RGBA."""
    if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "RGBA"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _square(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.LANCZOS, box, reducing_gap=GAP)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
