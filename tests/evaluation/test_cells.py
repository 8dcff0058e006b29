"""Cells that evaluate a GAN's snapshots, and the floor of real images, in every kind of space."""

import pytest

from evaluation.trained import classifier_space
from lab.errors import UsageError
from lab.files import read_arrays
from lab.running.one import do_cell
from tasks import _spaces, evaluate_floor, evaluate_gan

LOCAL = {"data": "data", "download": False}


def rows_of(cell, runs):
    return do_cell(cell, runs, LOCAL).rows()


def values(rows, **which):
    """By snapshot, side and metric, of rows that are of no class."""
    chosen = (row for row in rows if not row["group"] and all(row[key] == value for key, value in which.items()))
    return {(row.get("step"), row["side"], row["metric"]): row["value"] for row in chosen}


@pytest.fixture(scope="module")
def in_features(gan, classifier, runs):
    return do_cell(evaluate_gan.cell(gan, 40, classifier), runs, LOCAL)


def test_every_snapshot_is_measured_against_both_splits_in_a_classifiers_features(in_features, classifier, folder_of):
    rows = in_features.rows()
    space = classifier_space(folder_of(classifier))
    assert {(row["space"], row["layer"], row["kind"], row["n"]) for row in rows if not row["group"]} == {
        (space.name, "fc2", "gan", 40)
    }
    test, train = values(rows, split="test"), values(rows, split="train")
    assert {step for step, _, _ in test} == {0, 4} == {step for step, _, _ in train}
    alone = {"memorized", "class_entropy", "class_kl", "modes", "coverage"}
    assert set(test) - set(train) == {key for key in test if key[2].endswith("_gap") or key[2] in alone}
    gap = test[4, "generated", "density_gap"]
    assert gap == pytest.approx(test[4, "generated", "density"] - train[4, "generated", "density"])
    shares = [row["value"] for row in rows if row["metric"] == "class_share" and row["step"] == 4]
    assert sum(shares) == pytest.approx(1) and len(shares) == 10


def test_the_images_that_say_most_are_kept(in_features):
    kept = read_arrays(in_features.path / evaluate_gan.PAIRS)
    assert set(kept) == {"memorized", "real", "generated"}
    assert {array.shape for array in kept.values()} == {(2, 8, 1, 16, 16)}


def test_pixels_and_a_discriminator_are_spaces_too(gan, runs):
    pixels, discriminator = (rows_of(evaluate_gan.cell(gan, 20, space), runs) for space in ("pixels", gan))
    assert {row["space"] for row in pixels} == {"pixels"}
    (name,) = {row["space"] for row in discriminator}
    assert name.startswith("dcgan-discriminator-")
    assert evaluate_gan.cell(gan, 20, gan).needs == (gan,)


def test_the_floor_is_near_the_ceiling_and_its_pairs_have_no_image_in_common(classifier, runs):
    for space in ("pixels", classifier):
        rows = rows_of(evaluate_floor.cell("digits", 60, runs / "none", space), runs)
        assert {(row["kind"], row["model"], row["split"]) for row in rows} == {("reference", "real", "test")}
        scores = [row["value"] for row in rows if row["metric"] == "entanglement" and row["side"] == "joint"]
        assert len(scores) == 4 == 500 // 120 and min(scores) > 0.9
        assert len({row["value"] for row in rows if row["metric"] == "kid"}) == 4
        assert not any(row["value"] for row in rows if row["metric"] == "copied")


def test_the_floor_comes_from_the_training_images_where_held_out_ones_are_too_few(runs):
    assert evaluate_floor.cell("digits", 600, runs).config.split == "train"
    with pytest.raises(UsageError, match="no split of 1400 images, which real against real needs at n = 700"):
        evaluate_floor.cell("digits", 700, runs)


def test_more_images_than_there_are_are_refused(gan):
    with pytest.raises(UsageError, match="digits has 500 images in its test split; n = 501"):
        evaluate_gan.cell(gan, 501)


def test_planning_needs_the_classifier_and_imports_no_torch(python):
    code = (
        "import sys\nfrom pathlib import Path\nfrom tasks import _spaces, evaluate_floor, evaluate_gan, train_gan\n"
        "training = train_gan.cell(train_gan.Config.parse({'gan': 'dcgan'}), Path('data'))\n"
        "classifier = _spaces.evaluator('digits', Path('data'))\n"
        "cell = evaluate_gan.cell(training, 100, classifier)\n"
        "floor = evaluate_floor.cell('digits', 100, Path('data'), classifier)\n"
        "assert cell.needs == (training, classifier) and floor.needs == (classifier,)\n"
        "print({'torch', 'torch_fidelity', 'evaluation'} & set(sys.modules))"
    )
    assert python(code) == "set()"


def test_features_of_real_images_are_kept_once(in_features, runs):
    folder = runs / "features"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert before
    space = _spaces.space_of("classifier", in_features.needs[-1])
    from tasks._images import draw

    _spaces.see_real(space, draw(in_features, "digits", "test", 40, 0)[0], in_features)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
