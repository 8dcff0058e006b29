"""Every image set keeps the contract; those whose data are at hand are loaded."""

from pathlib import Path

import pytest
import torch

from imagesets._torchvision import digest
from lab import imageset, registry

NAMES = [entry.name for entry in registry.entries("imagesets")]
AT_HAND = {"digits": ("train", "test"), "mnist": ("train", "test"), "fashion-mnist": ("test",), "notmnist": ("test",)}


def test_the_known_ones_are_there():
    assert {"digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "svhn", "notmnist"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_is_sane_and_the_module_has_the_names(name):
    module, spec = registry.load("imagesets", name), imageset.spec(name)
    assert spec.channels in (1, 3) and 8 <= spec.size <= 512
    assert len(spec.classes) == len(set(spec.classes)) > 1
    assert set(spec.splits) == set(spec.n) and "test" in spec.splits
    assert isinstance(module.NEEDS_FILES, bool) and callable(module.load)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "notmnist"])
def test_the_fingerprint_needs_no_data(name):
    found = imageset.fingerprint(name, Path("/nowhere"))
    assert found.startswith(name) and len(found) > len(name) + 8
    assert imageset.fingerprint(name, Path("/elsewhere")) == found


def test_fingerprints_differ():
    prints = [imageset.fingerprint(name, Path("/nowhere")) for name in NAMES if name != "notmnist"]
    assert len(set(prints)) == len(prints)


def test_planning_needs_no_torch(python):
    code = (
        "import sys; from pathlib import Path; from lab import imageset, registry;"
        "names = [e.name for e in registry.entries('imagesets')]; [imageset.spec(n) for n in names];"
        "[imageset.fingerprint(n, Path('.')) for n in names if n != 'notmnist'];"
        "print('torch' in sys.modules, 'torchvision' in sys.modules)"
    )
    assert python(code) == "False False"


@pytest.mark.parametrize("name, split", [(name, split) for name, splits in AT_HAND.items() for split in splits])
def test_images_and_labels_are_as_promised(name, split, request, tmp_path):
    root = tmp_path if name == "digits" else request.getfixturevalue("data_at_hand")
    spec, found = imageset.spec(name), imageset.load(name, split, root=root, download=False)
    assert found.images.shape == (spec.n[split], spec.channels, spec.size, spec.size)
    assert (found.images.min(), found.images.max()) == (0, 255)
    assert found.labels.unique().tolist() == list(range(len(spec.classes)))
    assert found.images.is_contiguous() and not found.images.requires_grad
    assert digest(imageset.load(name, split, root=root, download=False)) == digest(found)


def test_user_files_have_a_fingerprint_of_their_bytes(data_at_hand):
    assert imageset.fingerprint("notmnist", data_at_hand) == imageset.fingerprint("notmnist", data_at_hand)


def test_digits_splits_are_fixed_disjoint_and_complete():
    from imagesets.digits import split_index

    train, test = split_index("train"), split_index("test")
    assert sorted(train + test) == list(range(1797))
    assert test[:5] == [1039, 886, 286, 1467, 1064]


def test_digits_are_doubled_by_linear_interpolation():
    from sklearn.datasets import load_digits

    from imagesets.digits import doubled

    images = load_digits().images[:50]
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(images)[:, None], scale_factor=2, mode="bilinear", align_corners=False
    )[:, 0]
    assert (torch.from_numpy(doubled(images)).double() - expected / 16 * 255).abs().max() <= 0.5 + 1e-9
