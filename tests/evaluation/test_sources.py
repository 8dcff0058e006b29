"""Images by reference: each kind is opened, and brought to the shape of others."""

import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import imagesets
from evaluation import sources
from evaluation.sources import Images, apart, conformed, open_images
from lab.errors import UsageError, WorkbenchError


def opened(reference, tmp_path, **settings):
    return open_images(str(reference), data=tmp_path / "data", download=False, **settings)


def write(images, folder):
    """PNG files of uint8 images (n, c, h, w)."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        pixels = image.permute(1, 2, 0).numpy()
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(folder / f"{i:04}.png")


def as_set(images):
    return sorted(image.numpy().tobytes() for image in images)


def test_a_folder_and_an_archive_are_opened_whole_and_in_their_own_size(random_images, tmp_path):
    images = random_images(12, 3, 25)
    write(images, tmp_path / "mine")
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for path in sorted((tmp_path / "mine").iterdir()):
            archive.write(path, path.name)
    for reference in (tmp_path / "mine", f"folder:{tmp_path / 'mine'}", tmp_path / "mine.zip"):
        found = opened(reference, tmp_path)
        assert as_set(found.images) == as_set(images)
        assert found.labels is None and found.labelled is None and found.trained is None


def test_larger_images_are_decoded_to_the_largest_side(random_images, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST", 20)
    write(random_images(12, 3, 25), tmp_path / "mine")
    assert opened(tmp_path / "mine", tmp_path).shape == (3, 20, 20)
    assert opened(tmp_path / "mine", tmp_path, size=25).shape == (3, 25, 25)


def test_a_folder_with_splits_has_images_that_were_trained_on(random_images, tmp_path):
    images = random_images(16)
    for i, split in enumerate(("train", "test")):
        for j, name in enumerate(("cat", "dog")):
            write(images[8 * i + 4 * j : 8 * i + 4 * j + 4], tmp_path / "mine" / split / name)
    found = opened(tmp_path / "mine", tmp_path)
    assert as_set(found.images) == as_set(images[8:]) and as_set(found.trained) == as_set(images[:8])
    assert found.classes == ("cat", "dog") and found.labelled.startswith("images:")


def made_by_one_that_learned(folder, size, tmp_path):
    """Images as of a GAN that learned a folder at a size."""
    data = tmp_path / "data"
    name = imagesets.settle(f"folder:{folder}", data, size=size)
    known = imagesets.load(name, "train", root=data).images
    return Images("made", known.flip(2), imageset=name, trained=known)


@pytest.mark.parametrize("size", [25, 16])
def test_of_the_folder_that_a_gan_learned_the_images_that_it_was_not_trained_on_are_left(random_images, tmp_path, size):
    """In whatever size it learned them."""
    images = random_images(24, 3, 25)
    for i, name in enumerate(("cat", "dog")):
        write(images[12 * i : 12 * i + 12], tmp_path / "mine" / name)
    made, mine, said = (
        made_by_one_that_learned(tmp_path / "mine", size, tmp_path),
        opened(tmp_path / "mine", tmp_path),
        [],
    )
    whole = {"data": tmp_path / "data", "say": said.append}
    ones, others = apart(mine, made, **whole)
    assert others is made and (len(mine), len(ones), len(ones.trained)) == (24, 4, 20)
    assert as_set(torch.cat([ones.images, ones.trained])) == as_set(images)
    held = imagesets.load(mine.imageset, "test", root=tmp_path / "data")
    assert torch.equal(ones.images, held.images) and torch.equal(ones.labels, held.labels)
    assert said == [f"{mine.name}: 4 of its 24 images are taken, those held out from what made learned."]
    made_again, ones_again = apart(made, mine, **whole)
    assert made_again is made and torch.equal(ones_again.images, ones.images), "in either order"


def test_of_other_images_than_a_gan_learned_all_are_left(random_images, tmp_path):
    """Though their files are called alike; of what an earlier version decoded, names alone are known."""
    for seed, name in enumerate(("mine", "others")):
        write(random_images(12, seed=seed), tmp_path / name)
    made, mine, others = (
        made_by_one_that_learned(tmp_path / "mine", 20, tmp_path),
        *(opened(tmp_path / name, tmp_path) for name in ("mine", "others")),
    )
    said, data = [], tmp_path / "data"
    assert apart(others, made, data=data, say=said.append) == (others, made) and not said
    assert apart(mine, others, data=data, say=said.append) == (mine, others) and not said
    record = data / ".decoded" / made.imageset.removeprefix("images:") / "set.json"
    known = json.loads(record.read_text())
    record.write_text(json.dumps({key: known[key] for key in known if key != "files"}))
    assert len(apart(mine, made, data=data, say=said.append)[0]) == 2 and len(said) == 1


def test_of_a_folder_that_has_grown_the_images_that_a_gan_learned_are_left_out(random_images, tmp_path):
    """Neither the held-out ones nor those that came later: they are known by their pixels."""
    images, data, said = random_images(26), tmp_path / "data", []
    write(images[:24], tmp_path / "mine")
    made = made_by_one_that_learned(tmp_path / "mine", images.shape[2], tmp_path)
    held = imagesets.load(made.imageset, "test", root=data).images
    write(images, tmp_path / "mine")
    mine = opened(tmp_path / "mine", tmp_path)
    ones, others = apart(mine, made, data=data, say=said.append)
    assert others is made and as_set(ones.images) == as_set(torch.cat([held, images[24:]]))
    assert as_set(ones.trained) == as_set(made.trained)
    assert said == [f"{mine.name}: 6 of its 26 images are taken, those that made has not learned."]


def test_given_splits_and_image_sets_are_left_as_they_are(gan, folder_of, random_images, tmp_path):
    made = opened(folder_of(gan).path, tmp_path, count=4)
    digits, archive = opened("digits", tmp_path), Images("archive", random_images(4))
    for one in (digits, archive):
        assert apart(one, made, data=tmp_path / "data", say=print) == (one, made)
    for i, split in enumerate(("train", "test")):
        write(random_images(4, seed=i), tmp_path / "mine" / split)
    mine, learned = opened(tmp_path / "mine", tmp_path), made_by_one_that_learned(tmp_path / "mine", 20, tmp_path)
    assert apart(mine, learned, data=tmp_path / "data", say=print) == (mine, learned)


def test_an_image_set_is_its_held_out_images(tmp_path, digits):
    found = opened("digits", tmp_path)
    assert torch.equal(found.images, digits.images) and torch.equal(found.labels, digits.labels)
    assert len(found.trained) == 1297 and found.labelled == "digits"


def test_a_gan_draws_images_of_its_last_snapshot(gan, folder_of, tmp_path):
    path = folder_of(gan).path
    found, again, others = (opened(path, tmp_path, count=30, seed=seed) for seed in (0, 0, 1))
    assert found.images.shape == (30, 1, 16, 16) and torch.equal(found.images, again.images)
    assert not torch.equal(found.images, others.images)
    assert len(found.trained) == 1297 and found.labelled == "digits"


@pytest.mark.parametrize("layout", ["n h w", "n h w c", "n c h w"])
def test_an_archive_of_arrays_is_read_in_any_layout(random_images, tmp_path, layout):
    images = random_images(6, 1 if layout == "n h w" else 3, 9)
    arrays = {"n h w": images[:, 0], "n h w c": images.permute(0, 2, 3, 1), "n c h w": images}
    np.savez(tmp_path / "mine.npz", arr_0=arrays[layout].numpy(), labels=np.arange(6) % 3)
    found = opened(tmp_path / "mine.npz", tmp_path)
    assert torch.equal(found.images, images)
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2] and found.classes == ("0", "1", "2")


@pytest.mark.parametrize("kind, last", [(np.uint8, 255), (np.int8, 127), (np.uint16, 40_000), (np.uint64, 3)])
def test_the_largest_label_of_any_kind_has_a_name(random_images, tmp_path, kind, last):
    np.savez(tmp_path / "mine.npz", images=random_images(3)[:, 0].numpy(), labels=np.array([0, last, 1], kind))
    found = opened(tmp_path / "mine.npz", tmp_path)
    assert found.labels.tolist() == [0, last, 1]
    assert found.classes[last] == str(last) and len(found.classes) == last + 1


def test_labels_that_are_numbers_of_things_have_no_names(random_images, tmp_path):
    """Names of all numbers up to there would fill the memory."""
    for labels in (np.array([0, 10**12, 1]), np.array([0, 2**63 - 1, 1])):
        np.savez(tmp_path / "mine.npz", images=random_images(3)[:, 0].numpy(), labels=labels)
        found = opened(tmp_path / "mine.npz", tmp_path)
        assert found.labels.tolist() == labels.tolist() and found.classes == ()


def test_images_are_brought_to_the_shape_of_others_and_it_is_said(random_images, tmp_path):
    np.savez(tmp_path / "mine.npz", images=random_images(4, 3, 20).numpy())
    said = []
    found = opened(tmp_path / "mine.npz", tmp_path).brought_to((1, 16, 16), "digits", said.append)
    assert found.shape == (1, 16, 16)
    text = "colour images of 20 x 20 brought to grey images of 16 x 16, those of digits."
    assert said == [f"{tmp_path / 'mine.npz'}: {text}"]
    assert found.brought_to((1, 16, 16), "digits", said.append) is found
    learned = Images("made", random_images(2, 3, 20), trained=random_images(5, 3, 20, seed=1))
    brought = learned.brought_to((1, 16, 16), "digits", said.append)
    assert torch.equal(brought.trained, conformed(learned.trained, (1, 16, 16))), "they are compared with one another"


def test_grey_is_luminance_and_colour_is_grey_repeated(random_images):
    colour = random_images(5, 3, 8)
    pillow = np.stack([np.asarray(Image.fromarray(x.permute(1, 2, 0).numpy()).convert("L")) for x in colour])
    assert np.abs(conformed(colour, (1, 8, 8))[:, 0].numpy().astype(int) - pillow).max() <= 1
    grey = random_images(5, 1, 8)
    assert torch.equal(conformed(grey, (3, 8, 8)), grey.expand(-1, 3, -1, -1))
    assert conformed(torch.full((2, 1, 30, 30), 77, dtype=torch.uint8), (1, 16, 16)).unique().tolist() == [77]
    stripes = torch.tensor([252, 0, 0, 0], dtype=torch.uint8).repeat(16).expand(1, 1, 64, 64)
    inside = conformed(stripes, (1, 16, 16))[..., 1:-1]
    assert (inside.int() - 63).abs().max() < 16, "no pixel is passed over"


FLAT = np.zeros((4, 8, 8), np.uint8)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"other": np.zeros(3)}, "has no array images or arr_0 or x; it has: other"),
        ({"images": np.zeros((4, 8, 8))}, "is float64 (4, 8, 8); expected uint8"),
        ({"images": np.zeros((4, 8, 8, 5), np.uint8)}, "(4, 8, 8, 5); expected uint8"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "(0, 8, 8); expected uint8"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.zeros(3, int)}, "labels must be whole numbers from 0"),
        (
            {"images": np.zeros((4, 8, 8), np.uint8), "labels": np.full(4, 2**63, np.uint64)},
            "labels must be whole numbers from 0",
        ),
        (
            {"images": FLAT, "labels": np.array([0, 1, -3, 1])},
            "labels must be whole numbers from 0, one an image, not -3.",
        ),
        ({"images": FLAT, "labels": np.array([0, 1, 2.5, 1])}, "from 0, one an image, not 2.5."),
        ({"images": FLAT, "labels": np.array([0, 1, np.nan, 1])}, "from 0, one an image, not nan."),
        ({"images": FLAT, "labels": np.array([*"abca"])}, "from 0, one an image, not <U1 (4,)."),
    ],
)
def test_arrays_that_are_no_images_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(WorkbenchError) as caught:
        opened(tmp_path / "mine.npz", tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["images.npy", "images.csv", "images.tar.gz", "photo.png", "noending"])
def test_a_file_that_is_neither_an_archive_of_images_nor_of_arrays_is_no_images(name, tmp_path):
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(UsageError, match=rf"{name} is no images: name a folder or \.zip of images, an \.npz"):
        opened(tmp_path / name, tmp_path)


def test_endings_of_archives_are_taken_in_any_case(random_images, tmp_path):
    images = random_images(12, 3, 25)
    with (tmp_path / "MINE.NPZ").open("wb") as file:
        np.savez(file, images=images.numpy(), labels=np.arange(12) % 3 + 0.0)
    found = opened(tmp_path / "MINE.NPZ", tmp_path)
    assert torch.equal(found.images, images) and found.labels.tolist() == [0, 1, 2] * 4
    write(images, tmp_path / "mine")
    with zipfile.ZipFile(tmp_path / "MINE.ZIP", "w") as archive:
        for path in (tmp_path / "mine").iterdir():
            archive.write(path, path.name)
    assert as_set(opened(tmp_path / "MINE.ZIP", tmp_path).images) == as_set(images)


def test_what_is_no_images_is_refused(classifier, folder_of, tmp_path):
    with pytest.raises(UsageError, match=r"^No place is named: name a folder"):
        opened("", tmp_path)
    with pytest.raises(UsageError, match="nowhere is no images: name a folder"):
        opened("nowhere", tmp_path)
    with pytest.raises(UsageError, match="is the folder of train-classifier, and no GAN's training"):
        opened(folder_of(classifier).path, tmp_path)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("images", "no array")
    with pytest.raises(WorkbenchError, match="cannot be read as an archive of arrays"):
        opened(tmp_path / "other.npz", tmp_path)
    (tmp_path / "mine.npz").write_bytes(b"no archive")
    with pytest.raises(WorkbenchError, match="cannot be read as an archive of arrays"):
        opened(tmp_path / "mine.npz", tmp_path)
