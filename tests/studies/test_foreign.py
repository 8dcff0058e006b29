"""No leak between the parts of the training images, and foreign images."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import imagesets
from imagesets import ImageSet
from lab.errors import WorkbenchError
from lab.training.draws import carve
from tasks import _foreign, _neighbors, measure_credibility
from tasks._credibility import best_temperature, views


@given(st.integers(20, 300), st.integers(1, 200), st.integers(0, 50), st.sampled_from([None, 5, 15]))
def test_no_image_is_in_two_parts(n, calibration, seed, bank):
    given = measure_credibility.Config(foreign=("noise",), n=2, calibration=calibration, bank=bank)
    parts = _neighbors.split(n, given, 0.3, seed)
    trained, apart = (set(part.tolist()) for part in carve(n, 0.3, seed))
    bank, calibrated, scaled = (set(part.tolist()) for part in (parts.bank, parts.calibration, parts.scaling))
    assert bank <= trained and calibrated | scaled <= apart and not calibrated & scaled
    assert len(calibrated) == len(scaled) == min(calibration, len(apart) // 2)
    assert bank == trained if given.bank is None else len(bank) == min(given.bank, len(trained))


def test_parts_that_share_an_image_are_refused():
    one, two, three = torch.arange(3), torch.arange(3, 6), torch.arange(5, 8)
    with pytest.raises(AssertionError, match="two parts"):
        _neighbors.Parts(one, two, three)


def test_where_every_label_has_the_highest_logit_no_temperature_is_fitted():
    logits = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0]])
    assert best_temperature(logits, torch.tensor([0, 1, 0])) == 1.0
    assert best_temperature(logits, torch.tensor([0, 1, 1])) != 1.0


def test_what_neighbours_choose_is_theirs_where_votes_are_equal():
    logits, votes = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.full((2, 2), 0.5).log()
    seen = SimpleNamespace(logits=logits, log_votes=lambda: votes, found=SimpleNamespace(labels=torch.tensor([1, 1])))
    found = {name: view.choice.tolist() for name, view in views(seen, seen, torch.tensor([1, 1])).items()}
    assert found["dknn"] == found["dknn-scaled"] == [1, 1] and found["softmax"] == found["softmax-scaled"] == [1, 0]


SHAPES = st.tuples(st.integers(1, 4), st.sampled_from([1, 3]), st.sampled_from([16, 28]))


@given(SHAPES, st.integers(0, 2**31))
def test_what_is_made_has_the_shape_and_the_type_of_the_images(shape, seed):
    n, channels, size = shape
    images = torch.randint(
        256, (n, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    before = images.clone()
    for name, make in _foreign.MADE.items():
        one, two = (make(images, torch.Generator().manual_seed(seed)) for _ in range(2))
        assert one.dtype == torch.uint8 and one.shape == images.shape and torch.equal(one, two), name
    assert torch.equal(images, before)
    assert torch.equal(_foreign.rotated(images, 90), torch.rot90(images, 1, (2, 3)))
    assert torch.equal(_foreign.rotated(images, 0), images)
    assert torch.equal(255 - _foreign.MADE["inverted"](images, torch.Generator()), images)


def test_turning_by_45_degrees_is_that_of_torchvision_but_for_rounding():
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import rotate

    images = imagesets.load("digits", "test", root=Path("nowhere")).images[:20]
    theirs = rotate(images.float(), 45, InterpolationMode.BILINEAR)
    assert (_foreign.rotated(images, 45).float() - theirs).abs().max() <= 1


def test_shuffled_images_have_the_same_patches_in_other_places():
    images = torch.arange(16 * 16, dtype=torch.uint8).view(1, 1, 16, 16).expand(6, 1, 16, 16).clone()
    found = _foreign.shuffled(images, torch.Generator().manual_seed(1))

    def patches(image):
        return {tuple(part.flatten().tolist()) for row in image[0].split(4, 0) for part in row.split(4, 1)}

    assert all(patches(one) == patches(images[0]) for one in found)
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], images[0])
    with pytest.raises(WorkbenchError, match="18 x 18 cannot be cut into 4 x 4"):
        _foreign.shuffled(torch.zeros(1, 1, 18, 18, dtype=torch.uint8), torch.Generator())


def test_other_sets_are_drawn_by_seed_from_their_test_split(finished, monkeypatch):
    _, measuring = finished
    other = ImageSet(torch.arange(50, dtype=torch.uint8)[:, None, None, None].expand(50, 1, 16, 16).clone())
    asked = []
    monkeypatch.setattr(imagesets, "load", lambda name, split, **where: (asked.append((name, split)), other)[1])
    test = torch.zeros(20, 1, 16, 16, dtype=torch.uint8)
    one, two, three = (_foreign.load("mnist", test, measuring, seed) for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, three) and len(one[:, 0, 0, 0].unique()) == 20
    assert set(asked) == {("mnist", "test")}
