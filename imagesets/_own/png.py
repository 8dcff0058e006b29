"""What Pillow keeps back of a PNG: how its values are stored, all their 16 bits, and which of them is transparent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

SIGNATURE, FIRST_CHUNK = b"\x89PNG\r\n\x1a\n", b"IHDR"
GREY, GREY_ALPHA, COLOUR_ALPHA = 0, 4, 6
HALVES = {False: ("RGB;16B", "RGB;16L"), True: ("RGBA;16B", "RGBA;16L")}
"""As what Pillow has to read colours of 16 bits, without and with alpha, to give the upper and the lower bytes."""
DEEP, SHALLOW = 16, 8
"""Bits of a value: as many, and fewer, need a way of their own."""
Range = tuple[int, int]
"""The lowest and the highest of values of 16 bits."""
Load = Callable[[str], Image.Image]
"""Decodes the file, from its bytes as they are or, with another name than "", as pixels that are stored so."""


class Header(NamedTuple):
    """How values are stored: their bits, 1 to 16, and PNG's colour type."""

    bits: int
    kind: int

    @property
    def grey(self) -> bool:
        """Whether it is grey, by what the file says; a palette may be, too."""
        return self.kind in (GREY, GREY_ALPHA)


def header(data: bytes) -> Header | None:
    """What a PNG's header says; None for other files."""
    if not data.startswith(SIGNATURE) or data[12:16] != FIRST_CHUNK or len(data) < 26:
        return None
    return Header(data[24], data[25])


@dataclass(frozen=True)
class Values:
    """The values of an image of 16 bits, uint16 (h, w, 1 or 3), and its alpha (h, w), where it has one."""

    bands: np.ndarray
    alpha: np.ndarray | None

    @property
    def seen(self) -> Range | None:
        """The range of the values that are not quite transparent; None where all are."""
        shown = self.bands if self.alpha is None else self.bands[self.alpha > 0]
        return (int(shown.min()), int(shown.max())) if shown.size else None

    def image(self, stretch: Range | None) -> Image.Image:
        """The image in mode L, RGB or RGBA: of the values the upper 8 bits, or a range of them over 0 to 255."""
        bands = self._spread(*stretch) if stretch else (self.bands >> 8).astype(np.uint8)
        if self.alpha is not None:
            bands = np.concatenate([bands, (self.alpha >> 8).astype(np.uint8)[..., None]], -1)
        found = Image.fromarray(bands[..., 0] if bands.shape[-1] == 1 else bands)
        return found.convert("RGBA") if found.mode == "LA" else found

    def _spread(self, low: int, high: int) -> np.ndarray:
        """The values from `low` to `high` as 0 to 255, uint8, rounded to the nearest."""
        span = max(1, high - low)
        above = self.bands.clip(low, high).astype(np.uint32) - low
        spread: np.ndarray = ((above * 255 + span // 2) // span).astype(np.uint8)
        return spread


def values_of(load: Load, kind: int) -> Values:
    """The values of a PNG of 16 bits; a transparent value, which it may name, makes an alpha of 0 and 65535."""
    image = load("")
    if kind == GREY:
        values = np.asarray(image).clip(0, 65535).astype(np.uint16)[..., None]
    elif kind == GREY_ALPHA:
        values = _joined(*(np.asarray(load("RGBA"))[..., half::2] for half in (0, 1)))
    else:
        values = _joined(*(np.asarray(load(half)) for half in HALVES[kind == COLOUR_ALPHA]))
    if kind in (GREY_ALPHA, COLOUR_ALPHA):
        return Values(values[..., :-1], values[..., -1])
    key = image.info.get("transparency")
    if key is None:
        return Values(values, None)
    return Values(values, np.where((values == np.asarray(key)).all(-1), 0, 65535).astype(np.uint16))


def union(one: Range | None, other: Range | None) -> Range | None:
    """The range that holds both, of which either may be none."""
    if one and other:
        return min(one[0], other[0]), max(one[1], other[1])
    return one or other


def with_alpha(image: Image.Image, bits: int) -> Image.Image:
    """A grey image of fewer than 8 bits, one of whose values is transparent, in mode RGBA.

    Pillow scales the values to 8 bits, and in some versions the transparent one as well.
    """
    scale, key = 255 // ((1 << bits) - 1), image.info["transparency"]
    grey = np.asarray(image.convert("L"))
    alpha = np.where(grey == (key * scale if key < 1 << bits else key), 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey, alpha], -1)).convert("RGBA")


def _joined(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    return (high.astype(np.uint16) << 8) | low
