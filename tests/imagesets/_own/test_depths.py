"""PNG files of every depth against a decoding by hand: transparent values, grey with alpha, and data of few bits."""

import struct
import zlib

import numpy as np
import pytest

import imagesets
from imagesets._own.pixels import decode
from imagesets._own.png import Values

RANDOM = np.random.default_rng(0)
GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 4, 6
SIDE = 16


def png(values, bits, kind, transparent=None):
    """The bytes of a PNG, made by hand: values (h, w) or (h, w, c)."""
    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    if bits == 16:
        packed = rows.astype(">u2").tobytes()
    else:
        single = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(single.reshape(height, -1).astype(np.uint8), 1).tobytes()
    step = len(packed) // height
    lines = b"".join(b"\0" + packed[start : start + step] for start in range(0, len(packed), step))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))]
    if transparent is not None:
        chunks.append((b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def on_white(eight, alpha):
    """8-bit values over white, each as near as a rounding: (h, w, c) and alpha (h, w) in [0, 1]."""
    return eight * alpha[..., None] + 255 * (1 - alpha[..., None])


def seen(data, channels, **how):
    found = np.asarray(decode(data, SIDE, channels, **how).image).astype(float)
    return found.reshape(SIDE, SIDE, channels)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_level_of_grey_is_white_and_no_other_is(bits, channels):
    values = RANDOM.integers(0, 1 << bits, (SIDE, SIDE))
    values[0, :3] = [0, 1, min(2, (1 << bits) - 1)]
    for key in (0, 1, int(values[5, 5]), (1 << bits) - 1):
        eight = values >> 8 if bits == 16 else values * 255 // ((1 << bits) - 1)
        expected = np.where(values == key, 255, eight)[..., None]
        assert (seen(png(values, bits, GREY, [key]), channels) == expected).all(), key


def test_values_of_16_bits_that_share_their_upper_8_are_told_apart():
    values = np.full((SIDE, SIDE), 0x03FF)
    values[::2] = 0x03FE
    assert set(seen(png(values, 16, GREY, [0x03FF]), 1)[..., 0].ravel()) == {3, 255}
    colours = np.full((SIDE, SIDE, 3), 0x0301)
    colours[::2, :, 2] = 0x0302
    found = seen(png(colours, 16, COLOUR, [0x0301, 0x0301, 0x0302]), 3)
    assert (found[::2] == 255).all() and (found[1::2] == 3).all()


@pytest.mark.parametrize("kind, channels", [(GREY_ALPHA, 1), (COLOUR_ALPHA, 3), (COLOUR, 3), (GREY, 1)])
def test_all_kinds_of_16_bits_are_as_decoded_by_hand(kind, channels):
    bands = {GREY: 1, COLOUR: 3, GREY_ALPHA: 2, COLOUR_ALPHA: 4}[kind]
    values = RANDOM.integers(0, 1 << 16, (SIDE, SIDE, bands))
    alpha = (values[..., -1] >> 8) / 255 if kind in (GREY_ALPHA, COLOUR_ALPHA) else np.ones((SIDE, SIDE))
    expected = on_white(values[..., :channels] >> 8, alpha)
    assert abs(seen(png(values, 16, kind), channels) - expected).max() <= 1


@pytest.mark.parametrize("kind, bands", [(GREY, 1), (GREY_ALPHA, 2), (COLOUR, 3), (COLOUR_ALPHA, 4)])
def test_a_range_of_16_bits_is_spread_over_8(kind, bands):
    values = RANDOM.integers(100, 4000, (SIDE, SIDE, bands))
    values[..., -1 if bands in (2, 4) else bands :] = 65535
    low, high, shown = 200, 3900, bands - (bands in (2, 4))
    expected = np.rint((values[..., :shown].clip(low, high) - low) * 255 / (high - low))
    assert abs(seen(png(values, 16, kind), shown, stretch=(low, high)) - expected).max() <= 0.5


@pytest.fixture
def write(tmp_path):
    """Write PNG files of 18 arrays of values; gives the folder."""

    def write_all(name, arrays, bits=16, kind=GREY, **how):
        folder = tmp_path / name
        folder.mkdir()
        for i, values in enumerate(arrays):
            (folder / f"{i:02}.png").write_bytes(png(values, bits, kind, **how))
        return folder

    return write_all


def few_bits(bits, n=18):
    return [RANDOM.integers(0, 1 << bits, (SIDE, SIDE)) for _ in range(n)]


def test_grey_with_alpha_of_16_bits_leaves_a_set_grey(opened, write):
    folder = write("images", [RANDOM.integers(0, 1 << 16, (SIDE, SIDE, 2)) for _ in range(18)], kind=GREY_ALPHA)
    assert opened(folder).SPEC.channels == 1


def test_data_of_few_bits_are_told_and_stretched_on_request(opened, write, both):
    arrays = few_bits(12)
    arrays[7][0, :2] = 0, 4095
    folder = write("images", arrays)
    found = opened(folder)
    told = "The values of 16 bits are from 0 to 4,095 of 65,535; their upper 8 bits are kept, which makes 16 levels: "
    assert found.said[-1] == told + "--stretch spreads them over 0 to 255." and both(found)[0].max() == 15
    assert opened(folder).said[-1] == found.said[-1]
    stretched = opened(folder, stretch=True)
    assert stretched.name != found.name and stretched.SPEC.stretch == (0, 4095)
    assert "those from 0 to 4,095 are spread over 0 to 255" in stretched.said[-1]
    for name, image in zip(stretched.names, both(stretched)[0], strict=True):
        assert abs(image[0] - arrays[int(name[:2])] * 255 / 4095).max() <= 0.5
    assert opened(folder).name == found.name and opened(folder, stretch=True).name == stretched.name


def test_a_given_range_is_another_set_and_what_is_stretched_is_part_of_the_name(opened, write):
    folder = write("images", few_bits(8))
    names = {opened(folder, stretch=how).name for how in (False, True, (0, 100), (0, 101))}
    assert len(names) == 4


def test_without_16_bits_there_is_nothing_to_stretch(opened, folder):
    assert opened(folder, stretch=True).name == opened(folder).name
    assert opened(folder, stretch=True).SPEC.stretch is None and len(opened(folder).said) == 1
    given = opened(folder, stretch=(10, 200))
    assert given.name == opened(folder).name and given.SPEC.stretch is None


def test_what_is_nearly_transparent_is_seen():
    bands, alpha = np.array([[[7], [900], [9]]], np.uint16), np.array([[1, 0, 65535]], np.uint16)
    assert Values(bands, alpha).seen == (7, 9) and Values(bands, np.zeros_like(alpha)).seen is None


def test_what_is_transparent_is_not_of_the_range(opened, write):
    arrays = [values % 200 for values in few_bits(8)]
    for values in arrays:
        values[0] = 65535
    found = opened(write("images", arrays, transparent=[65535]), stretch=True)
    assert found.SPEC.stretch == (0, 199)


def test_several_processes_stretch_as_one_does(opened, write, tmp_path, monkeypatch, both):
    from imagesets._own import parallel

    folder = write("images", few_bits(10))
    one = opened(folder, stretch=True)
    monkeypatch.setattr(parallel, "ITEMS", 9)
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    two = opened(folder, data=tmp_path / "other", stretch=True)
    assert one.name == two.name and (both(one)[0] == both(two)[0]).all()


def test_sets_whose_pixels_were_taken_for_others_have_other_names_now(opened, write):
    """Results of theirs are of other images; sets without such files keep their names."""
    values = [np.full((SIDE, SIDE), i % 4) for i in range(18)]
    assert opened(write("levels", values, bits=2, transparent=[1])).name != "images:2aad3b0d0d7c"
    assert opened(write("plain", values, bits=2)).name == "images:09e4ecfa5afc"


def test_files_alone_are_stretched_as_the_set_that_a_network_learned(opened, write, tmp_path, both):
    folder = write("images", few_bits(12))
    found = opened(folder, stretch=True)
    decoded = imagesets.decode([folder / name for name in found.names], found.SPEC)
    assert (decoded.numpy() == both(found)[0]).all()
