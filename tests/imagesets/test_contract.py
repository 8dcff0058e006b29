"""Every image set keeps the contract; those whose data are at hand are loaded."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import imagesets
from imagesets import digits
from imagesets._torchvision import digest
from lab import registry
from lab.errors import WorkbenchError

NOWHERE = Path("/nowhere")
NAMES = [entry.name for entry in registry.entries("imagesets")]
SPLITS = [(name, split) for name in NAMES for split in imagesets.spec(name, NOWHERE).splits]


def test_the_known_ones_are_there():
    assert {"digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "svhn", "notmnist"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_is_sane_and_the_module_has_the_names(name):
    module, spec = registry.load("imagesets", name), imagesets.spec(name, NOWHERE)
    assert spec.channels in (1, 3) and 8 <= spec.size <= 512
    assert len(spec.classes) == len(set(spec.classes)) > 1
    assert set(spec.splits) == set(spec.n) and "test" in spec.splits
    assert min(spec.n.values()) > 0 and callable(module.load)


@pytest.mark.parametrize("entry", registry.entries("imagesets"), ids=NAMES)
def test_the_docstring_says_what_it_is_and_how_many(entry):
    assert entry.summary.endswith(".") and len(entry.doc.splitlines()) > 2
    sizes = imagesets.spec(entry.name, NOWHERE).n.values()
    assert entry.name == "notmnist" or any(f"{n:,}" in entry.doc for n in sizes)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "notmnist"])
def test_the_fingerprint_needs_no_data(name):
    found = imagesets.fingerprint(name, NOWHERE)
    assert found.startswith(name) and len(found) > len(name) + 8
    assert imagesets.fingerprint(name, Path("/elsewhere")) == found


def test_fingerprints_differ():
    prints = [imagesets.fingerprint(name, NOWHERE) for name in NAMES if name != "notmnist"]
    assert len(set(prints)) == len(prints)


def test_planning_needs_no_torch(python):
    code = (
        "import sys; from pathlib import Path; import imagesets; from lab import registry;"
        "names = [e.name for e in registry.entries('imagesets')]; [imagesets.spec(n, Path('.')) for n in names];"
        "[imagesets.fingerprint(n, Path('.')) for n in names if n != 'notmnist'];"
        "print('torch' in sys.modules, 'torchvision' in sys.modules)"
    )
    assert python(code) == "False False"


def test_published_checksums_are_those_that_torchvision_checks():
    from torchvision import datasets

    from imagesets import cifar10, kmnist, svhn

    assert datasets.CIFAR10.tgz_md5 == cifar10.MD5
    assert datasets.KMNIST.resources[0][1] == kmnist.MD5
    assert {split: datasets.SVHN.split_list[split][2] for split in svhn.MD5} == svhn.MD5


@pytest.mark.parametrize("name, split", SPLITS)
def test_images_and_labels_are_as_promised(name, split, request, tmp_path):
    """Of a set that needs no files everywhere; of others, where these are."""
    root, spec = tmp_path, imagesets.spec(name, NOWHERE)
    try:
        found = imagesets.load(name, split, root=root, download=False)
    except WorkbenchError:
        root = request.getfixturevalue("data_at_hand")
        try:
            found = imagesets.load(name, split, root=root, download=False)
        except WorkbenchError as error:
            if name in {"digits", "mnist"} or "not the published" in str(error):
                raise
            pytest.skip(f"{name} is not at hand")
    assert found.images.shape == (spec.n[split], spec.channels, spec.size, spec.size)
    assert (found.images.min(), found.images.max()) == (0, 255)
    assert found.labels.unique().tolist() == list(range(len(spec.classes)))
    assert found.images.is_contiguous() and not found.images.requires_grad
    assert digest(imagesets.load(name, split, root=root, download=False)) == digest(found)


def test_digits_write_nothing(tmp_path):
    imagesets.load("digits", "test", root=tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_digits_splits_are_fixed_disjoint_and_complete():
    from imagesets.digits import split_index

    train, test = split_index("train"), split_index("test")
    assert sorted(train + test) == list(range(1797))
    assert test[:5] == [1039, 886, 286, 1467, 1064]
    assert imagesets.fingerprint("digits", NOWHERE) == "digits-e131fb5e2eda1c45"


def test_digits_are_doubled_by_linear_interpolation():
    from sklearn.datasets import load_digits

    from imagesets.digits import doubled

    images = load_digits().images[:50]
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(images)[:, None], scale_factor=2, mode="bilinear", align_corners=False
    )[:, 0]
    assert (torch.from_numpy(doubled(images)).double() - expected / 16 * 255).abs().max() <= 0.5 + 1e-9


@pytest.mark.parametrize("package", [None, SimpleNamespace(origin="/nowhere/sklearn/__init__.py")])
def test_digits_without_scikit_learn(monkeypatch, package):
    monkeypatch.setattr(digits, "_everything", digits._everything.__wrapped__)  # as in a process that read none yet
    monkeypatch.setattr(digits, "find_spec", lambda name: package)
    with pytest.raises(WorkbenchError, match="no scikit-learn that carries digits: install it"):
        imagesets.load("digits", "test", root=NOWHERE)


def test_digits_are_those_of_scikit_learn_and_do_not_import_it(python):
    code = (
        "import sys; from pathlib import Path; import imagesets\n"
        "imagesets.load('digits', 'test', root=Path('/nowhere')); print('sklearn' in sys.modules)"
    )
    assert python(code) == "False"
    from sklearn.datasets import load_digits

    from imagesets.digits import split_index

    for split in ("train", "test"):
        found = imagesets.load("digits", split, root=NOWHERE)
        assert found.labels.tolist() == load_digits().target[split_index(split)].tolist()
