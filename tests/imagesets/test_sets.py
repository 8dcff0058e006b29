"""Images as bytes, and as numbers in [-1, 1]."""

import pytest
import torch

import imagesets
from imagesets import ImageSet, to_float, to_uint8
from lab.errors import UsageError


def test_every_byte_survives_the_round_trip():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = to_float(images)
    assert (floats[0, 0, 0, 0], floats[0, 0, -1, -1]) == (-1, 1)
    assert floats.dtype == torch.float32 and images.dtype == torch.uint8
    assert to_uint8(floats).equal(images)
    assert to_uint8(torch.tensor([-3.0, 3.0, 0.0])).tolist() == [0, 255, 128]


def test_a_batch_is_picked_by_index():
    images = ImageSet(torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1), torch.arange(4))
    batch = images.batch(torch.tensor([3, 0]))
    assert batch.dtype == torch.float32
    assert to_uint8(batch).flatten().tolist() == [3, 0]
    assert images.images.flatten().tolist() == [0, 1, 2, 3]
    assert len(images) == 4


def test_a_set_is_shown_in_a_line():
    """As the last value of a notebook's cell, and not with its pixels."""
    images = torch.zeros(40, 1, 2, 2, dtype=torch.uint8)
    assert repr(ImageSet(images)) == "ImageSet(images=(40, 1, 2, 2), labels=None)"
    assert repr(ImageSet(images, torch.arange(40))) == "ImageSet(images=(40, 1, 2, 2), labels=(40,))"


@pytest.mark.parametrize(
    "images, labels, words",
    [
        (torch.zeros(2, 1, 4, 4), None, "images must be uint8"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), None, "images must be uint8"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), "labels must be int64"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2), "labels must be int64"),
    ],
)
def test_other_shapes_and_types_are_refused(images, labels, words):
    with pytest.raises(ValueError, match=words):
        ImageSet(images, labels)


def test_unknown_names_and_splits(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        imagesets.load("digit", "test", root=tmp_path)
    with pytest.raises(UsageError, match=r"split of digits 'tset'; did you mean 'test'"):
        imagesets.load("digits", "tset", root=tmp_path)


@pytest.mark.parametrize("asked", [{"size": 8}, {"size": 32}, {"channels": 3}])
def test_a_set_of_one_size_is_not_asked_for_in_another(tmp_path, asked):
    ((option, value),) = asked.items()
    with pytest.raises(
        UsageError, match=rf"digits has {option} \d+; --{option} {value} is for folder:PATH and zip:PATH"
    ):
        imagesets.settle("digits", tmp_path, **asked)
    assert imagesets.settle("digits", tmp_path, size=16, channels=1) == "digits"


def test_the_folder_of_the_data(monkeypatch, tmp_path):
    monkeypatch.delenv("SNNL_DATA", raising=False)
    assert str(imagesets.data_root(None)) == "data"
    monkeypatch.setenv("SNNL_DATA", "/elsewhere")
    assert str(imagesets.data_root(None)) == "/elsewhere"
    assert imagesets.data_root(tmp_path) == tmp_path
    monkeypatch.setenv("SNNL_DATA", __file__)
    with pytest.raises(UsageError, match=r" is a file\. Name the folder of the data with --data or SNNL_DATA\."):
        imagesets.data_root(None)


def test_importing_needs_no_torch(python):
    assert python("import sys, imagesets; print('torch' in sys.modules)") == "False"


def test_as_many_images_can_be_asked_for_as_the_smallest_split_has(tmp_path):
    imagesets.check_n("digits", 500, ("test", "train"), tmp_path)
    imagesets.check_n("digits", 1297, ("train",), tmp_path)
    with pytest.raises(UsageError, match="digits has 500 images in its smaller split; --n 501 is more"):
        imagesets.check_n("digits", 501, ("train", "test"), tmp_path)
    with pytest.raises(UsageError, match="digits has 1297 images in its train split; --n 1298 is more"):
        imagesets.check_n("digits", 1298, ("train",), tmp_path)
