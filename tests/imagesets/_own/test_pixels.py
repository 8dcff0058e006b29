"""One image: every format and mode, orientation, crop, resizing, transparency."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from imagesets._own.pixels import decode, decode_files, is_grey, look
from lab.errors import WorkbenchError

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]


def encoded(image, format="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def pixels(data, channels=3, size=16):
    """The decoded image as (h, w, c)."""
    found = decode(data, size, channels).image
    assert found.size == (size, size) and found.mode == ("L" if channels == 1 else "RGB")
    return np.asarray(found).reshape(size, size, channels)


@pytest.mark.parametrize("format, settings", [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_are_exact(format, settings):
    assert (pixels(encoded(Image.fromarray(COLOUR), format, **settings)) == COLOUR).all()


@pytest.mark.parametrize("format, settings", [("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {"quality": 80})])
def test_lossy_formats_are_as_pillow_decodes_them(format, settings):
    data = encoded(Image.fromarray(COLOUR), format, **settings)
    assert (pixels(data) == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()


def test_of_an_animation_the_first_frame():
    frames = [Image.fromarray(GREY), Image.new("L", (16, 16), 255)]
    for format in ("GIF", "WEBP", "PNG"):
        settings = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **settings)
        assert (pixels(data, 1)[..., 0] == GREY).all(), format


def test_modes_of_grey():
    grey = Image.fromarray(GREY)
    assert (pixels(encoded(grey), 1)[..., 0] == GREY).all()
    assert (pixels(encoded(grey)) == GREY[..., None]).all()
    assert (pixels(encoded(grey.convert("LA")), 1)[..., 0] == GREY).all()
    assert (pixels(encoded(grey.convert("1", dither=Image.Dither.NONE)), 1)[..., 0] == (GREY > 127) * 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_of_16_bits_of_grey_the_upper_8_are_kept(channels):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 256 + RANDOM.integers(0, 256, (16, 16), dtype=np.uint16)
    found = pixels(encoded(Image.fromarray(values)), channels)
    assert (found == (values >> 8)[..., None]).all() and found.max() == 255


def test_palettes():
    image = Image.fromarray(COLOUR).quantize(64)
    assert (pixels(encoded(image)) == np.asarray(image.convert("RGB"))).all()
    assert (pixels(encoded(image, "GIF")) == np.asarray(image.convert("RGB"))).all()


def test_what_is_transparent_becomes_white():
    rgba = np.dstack([COLOUR, np.full((16, 16), 255, np.uint8)])
    rgba[:8, :, 3] = 0
    for found in (
        pixels(encoded(Image.fromarray(rgba))),
        pixels(encoded(Image.fromarray(rgba), "WEBP", lossless=True)),
    ):
        assert (found[:8] == 255).all() and (found[8:] == COLOUR[8:]).all()
    rgba[8:, :, 3] = 128
    half = pixels(encoded(Image.fromarray(rgba)))[8:].astype(int)
    assert abs(half - (COLOUR[8:].astype(int) * 128 + 255 * 127) / 255).max() <= 1


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_colour(format):
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.paste(0, (0, 0, 16, 8))
    found = pixels(encoded(image, format, transparency=0))
    assert (found[:8] == 255).all() and (found[8:] == [10, 200, 30]).all()


def test_a_transparent_grey_value():
    hidden = GREY[0, 0] == GREY
    found = pixels(encoded(Image.fromarray(GREY), transparency=int(GREY[0, 0])), 1)[..., 0]
    assert (found == np.where(hidden, 255, GREY)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_images_are_turned_upright(orientation, format):
    image = Image.fromarray(RANDOM.integers(0, 256, (16, 21, 3), dtype=np.uint8))
    exif = image.getexif()
    exif[0x0112] = orientation
    data = encoded(image, format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (pixels(data) == pixels(encoded(upright))).all()


def test_a_jpeg_is_turned_upright():
    image = Image.fromarray(np.repeat(np.repeat(np.uint8([[0, 255], [80, 160]]), 8, 0), 8, 1))
    exif = image.getexif()
    exif[0x0112] = 6
    found = pixels(encoded(image, "JPEG", exif=exif, quality=95), 1)[..., 0].astype(int)
    assert abs(found[4::8, 4::8] - [[80, 0], [160, 255]]).max() < 12


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_data_do_not_matter():
    assert (pixels(encoded(Image.fromarray(COLOUR), exif=b"Exif\0\0MM\0\x2a\0\0\0\xff")) == COLOUR).all()


@pytest.mark.parametrize("shape", [(16, 40), (41, 16), (16, 17)])
def test_the_square_at_the_centre_is_taken(shape):
    image = RANDOM.integers(0, 256, (*shape, 3), dtype=np.uint8)
    top, left = (shape[0] - 16) // 2, (shape[1] - 16) // 2
    assert (pixels(encoded(Image.fromarray(image))) == image[top : top + 16, left : left + 16]).all()


@pytest.mark.parametrize("side", [11, 24])
def test_images_are_resized_by_lanczos(side):
    image = Image.fromarray(RANDOM.integers(0, 256, (side, side, 3), dtype=np.uint8))
    assert (pixels(encoded(image)) == np.asarray(image.resize((16, 16), Image.Resampling.LANCZOS))).all()


def test_large_images_are_averaged_and_not_picked_from():
    board = np.indices((512, 512)).sum(0) % 2 * 255  # one pixel black, the next white
    for format in ("PNG", "JPEG"):
        found = pixels(encoded(Image.fromarray(board.astype(np.uint8)), format), 1).astype(int)
        assert abs(found[2:-2, 2:-2] - 127).max() < 6, format


def test_a_smooth_image_stays_as_it_is_when_it_is_reduced():
    ramp = np.linspace(0, 255, 640).round().astype(np.uint8)
    image = Image.fromarray(np.repeat(ramp[None], 480, 0))
    for format in ("PNG", "JPEG"):
        found = pixels(encoded(image, format), 1)[8, :, 0].astype(float)
        centres = 80 + (np.arange(16) + 0.5) * 30
        assert abs(found - centres / 640 * 255).max() < 3, format


def test_enlarging_is_told():
    assert decode(encoded(Image.fromarray(COLOUR)), 24, 3).enlarged
    assert not decode(encoded(Image.fromarray(COLOUR)), 16, 3).enlarged


@pytest.mark.parametrize(
    "image, grey",
    [
        (Image.fromarray(GREY), True),
        (Image.fromarray(GREY).convert("1"), True),
        (Image.fromarray(GREY).convert("LA"), True),
        (Image.fromarray(GREY.astype(np.uint16)), True),
        (Image.fromarray(GREY).convert("P"), True),
        (Image.fromarray(GREY).convert("RGB"), False),
        (Image.fromarray(COLOUR).quantize(16), False),
        (Image.new("RGB", (16, 16), "yellow").quantize(2), False),
        (Image.new("RGB", (16, 16), "cyan").quantize(2), False),
    ],
)
def test_grey_is_told_by_mode_and_palette(image, grey):
    assert is_grey(Image.open(io.BytesIO(encoded(image)))) == grey


def test_a_photograph_of_a_printer_is_colour():
    data = encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=100)
    assert abs(pixels(data).astype(int) - COLOUR).mean() < 12


def test_files_alone_are_decoded_as_in_a_set_and_a_bad_one_is_named(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    Image.fromarray(GREY).resize((40, 30)).save(tmp_path / "grey.png")
    paths = [tmp_path / "colour.png", tmp_path / "grey.png"]
    for channels in (1, 3):
        found = decode_files(paths, 8, channels)
        assert found.shape == (2, channels, 8, 8) and found.dtype == np.uint8
        for image, path in zip(found, paths, strict=True):
            assert (image.transpose(1, 2, 0) == pixels(path.read_bytes(), channels, 8)).all()
    Image.new("1", (20000, 10000)).save(tmp_path / "bomb.png")
    with pytest.raises(WorkbenchError, match=r"bomb.png cannot be decoded: more than [\d,]+ pixels, Pillow's limit"):
        decode_files([*paths, tmp_path / "bomb.png"], 8, 3)
    with pytest.raises(WorkbenchError, match=r"absent.png cannot be decoded: No such file or directory\."):
        decode_files([tmp_path / "absent.png"], 8, 3)


def test_long_texts_and_colour_profiles_beside_the_pixels_do_not_matter(tmp_path):
    """Pillow refuses more than a MiB of them, as editing programs write."""
    image, text = Image.fromarray(COLOUR), PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x>" + "y" * (3 << 20), zip=True)
    image.save(tmp_path / "text.png", pnginfo=text)
    image.save(tmp_path / "profile.png", icc_profile=bytes(3 << 20))
    for path in (tmp_path / "text.png", tmp_path / "profile.png"):
        assert (decode_files([path], 16, 3)[0].transpose(1, 2, 0) == COLOUR).all()
        assert look(path.read_bytes()) == (16, False)
    text.add_itxt("again", "y" * (70 << 20), zip=True)
    image.save(tmp_path / "bomb.png", pnginfo=text)
    with pytest.raises(WorkbenchError, match=r"bomb.png cannot be decoded: Decompressed data too large"):
        decode_files([tmp_path / "bomb.png"], 16, 3)


def test_an_image_that_was_not_fetched_is_told_as_such(tmp_path):
    (tmp_path / "a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(WorkbenchError, match="cannot be decoded: a pointer of Git LFS: git lfs pull fetches the image"):
        decode_files([tmp_path / "a.png"], 16, 3)


def test_images_of_one_colour_are_told(opened, folder):
    transparent = Image.new("RGBA", (20, 20), (9, 9, 9, 0))
    transparent.save(folder / "a.png")
    Image.new("L", (20, 20), 7).save(folder / "b.png")
    (folder / "c.png").write_text("no image")
    found = opened(folder, skip_bad=True)
    assert found.said[-1] == "2 of the images are of one colour throughout."
    record = json.loads((found.folder / "set.json").read_text())
    assert record.pop("plain") == 2
    (found.folder / "set.json").write_text(json.dumps(record))
    assert "one colour" not in opened(folder, skip_bad=True).said[-1], "a set of before they were counted opens"
