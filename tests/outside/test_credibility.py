"""Deep k-nearest neighbours of points in files: against a naive count, and what is refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lab.errors import UsageError, WorkbenchError
from metrics import validity
from outside.credibility import measure_credibility

K = 5
RANDOM = np.random.default_rng(0)
LABELS = np.arange(120) % 3
"""Of 60 points that are fitted, 40 that calibrate, and 20 to look at; three classes that overlap."""
POINTS = {
    "a": RANDOM.normal(size=(120, 4)) + LABELS[:, None],
    "b.c/d": RANDOM.normal(size=(120, 2, 3)) + np.eye(3)[LABELS][:, None],
}
PARTS = {"train": slice(0, 60), "calibrate": slice(60, 100), "test": slice(100, 120)}


def files(folder, **changes):
    """The three files; `changes` replace arrays of one of them, None removes one."""
    for name, part in PARTS.items():
        arrays = {**{layer: x[part] for layer, x in POINTS.items()}, "labels": LABELS[part], **changes.get(name, {})}
        np.savez(folder / f"{name}.npz", **{key: value for key, value in arrays.items() if value is not None})
    return [folder / f"{name}.npz" for name in PARTS]


def strangeness(rows):
    """By definition: how many of the K nearest points by cosine, over both layers, have another label (n, 3)."""
    counts = np.zeros((len(rows), 3), int)
    for x in POINTS.values():
        flat = x.reshape(len(x), -1)
        flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        nearest = np.argsort(-flat[rows] @ flat[:60].T, axis=1)[:, :K]
        counts += np.stack([(LABELS[nearest] != label).sum(1) for label in range(3)], 1)
    return counts


def test_files_of_points_give_what_counting_gives(tmp_path):
    found = measure_credibility(*files(tmp_path), k=K)
    held_out, inputs = np.arange(60, 100), np.arange(100, 120)
    calibration = strangeness(held_out)[np.arange(40), LABELS[held_out]]
    p_values = ((calibration[:, None, None] >= strangeness(inputs)).sum(0) + 1) / 41
    np.testing.assert_allclose(found.found.p_values, p_values)
    np.testing.assert_allclose(found.found.credibility, p_values.max(1))
    true = p_values[np.arange(20), LABELS[inputs]]
    assert {row["level"]: row["value"] for row in found.validity} == {
        level: pytest.approx((true <= level).mean()) for level in (0.01, 0.05, 0.1, 0.2, 0.5)
    }
    assert [(row["low"], row["high"]) for row in found.validity] == [
        validity.band(row["level"], 20, 40) for row in found.validity
    ]
    summary = found.summary
    assert summary["n"] == 20 and summary["accuracy"] == np.mean(found.found.labels.numpy() == LABELS[inputs])
    assert summary["credibility"] == pytest.approx(p_values.max(1).mean())
    assert summary["confidence"] == pytest.approx((1 - np.sort(p_values, 1)[:, 1]).mean())
    plain = found.plain()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert (plain["n_train"], plain["n_calibration"], plain["layers"]) == (60, 40, ["a", "b.c/d"])
    assert [row["label"] for row in plain["inputs"]] == LABELS[inputs].tolist()


def test_labels_are_names_whatever_numbers_they_are(tmp_path):
    usual = measure_credibility(*files(tmp_path), k=K)
    names = np.array([-7, 10**12, 10**15])[LABELS]
    found = measure_credibility(
        *files(tmp_path, **{name: {"labels": names[part]} for name, part in PARTS.items()}), k=K
    )
    assert found.validity == usual.validity and found.summary == usual.summary
    assert [row["prediction"] for row in found.inputs] == [names[row["prediction"]] for row in usual.inputs]


def test_labels_of_inputs_may_be_missing_and_files_of_another_kind(tmp_path):
    expected = measure_credibility(*files(tmp_path), k=K)
    for name, part in PARTS.items():
        tensors = {layer: torch.from_numpy(x[part].copy()) for layer, x in POINTS.items()}
        named = {"labels": torch.from_numpy(LABELS[part])} if name != "test" else {}
        save_file({**tensors, **named}, tmp_path / f"{name}.safetensors")
    found = measure_credibility(*(tmp_path / f"{name}.safetensors" for name in PARTS), k=K)
    assert torch.equal(found.found.p_values, expected.found.p_values)
    assert not found.validity and "accuracy" not in found.summary and "label" not in found.inputs[0]


def test_the_whole_prediction_is_written(tmp_path):
    found = measure_credibility(*files(tmp_path), k=K)
    found.save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as kept:
        assert np.array_equal(kept["p_values"], found.found.p_values) and kept["nonconformity"].shape == (20, 3)
        assert np.array_equal(kept["neighbors/b.c/d"], found.found.neighbors["b.c/d"])
        assert kept["distances/a"].shape == (20, K) and kept["classes"].tolist() == [0, 1, 2]


def test_what_smoothed_values_draw_is_decided_by_the_seed(tmp_path):
    one, again, other = (
        measure_credibility(*files(tmp_path), k=K, mode="smoothed", seed=seed).found.p_values for seed in (0, 0, 1)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_an_index_tells_which_share_of_neighbours_it_finds(tmp_path):
    said = []
    found = measure_credibility(*files(tmp_path), k=K, index="Flat", say=said.append)
    assert torch.equal(found.found.p_values, measure_credibility(*files(tmp_path), k=K).found.p_values)
    assert said[-1].startswith("Flat finds these shares of the k nearest neighbours of points of")
    assert said[-1].endswith("calibrate.npz: 1.000 in a, 1.000 in b.c/d.")
    assert found.plain()["recall"] == {"a": 1, "b.c/d": 1}


def test_classes_have_no_band_of_all_and_what_to_beware_of_is_told(tmp_path):
    said = []
    few = {"calibrate": {**{layer: x[60:70] for layer, x in POINTS.items()}, "labels": LABELS[60:70]}}
    found = measure_credibility(*files(tmp_path, **few), k=K, class_conditional=True, say=said.append)
    assert set(found.validity[0]) == {"level", "value"}
    assert "60 points of" in said[0] and "a (4), b.c/d (6); k = 5" in said[1]
    assert "calibrate.npz: 3 calibration rows of a class are few" in said[2]


def test_fitted_points_calibrate_only_where_that_is_asked_for(tmp_path):
    same = {"calibrate": {**{layer: x[:60] for layer, x in POINTS.items()}, "labels": LABELS[:60]}}
    with pytest.raises(WorkbenchError, match=r"row 0 equals a fitted row in all layers; 60 of 60 rows do.*--allow-ov"):
        measure_credibility(*files(tmp_path, **same), k=K)
    assert measure_credibility(*files(tmp_path, **same), k=K, allow_overlap=True).sizes == (60, 60)


NAN = np.where(np.arange(80).reshape(20, 4) == 13, np.nan, 1.0)


@pytest.mark.parametrize(
    "part, change, words",
    [
        ("test", {"b.c/d": None}, "test.npz: the layers are 'a'; expected 'a', 'b.c/d'."),
        ("calibrate", {"a": None, "z": np.ones((40, 4))}, "the layers are 'b.c/d', 'z'; expected 'a', 'b.c/d'."),
        ("test", {"a": np.ones((20, 5))}, "test.npz: layer 'a' has 5 features a row; the fitted ones have 4."),
        ("test", {"a": NAN}, "test.npz: layer 'a': row 3 is not finite; 1 of 20 rows are not."),
        ("train", {"a": np.full((60, 4), np.inf)}, "train.npz: layer 'a': row 0 is not finite"),
        ("calibrate", {"labels": LABELS[60:100] + 1}, "calibrate.npz: labels [3] were not fitted; known: [0, 1, 2]."),
        ("test", {"labels": LABELS[:20] - 1}, "test.npz: labels [-1] were not fitted; known: [0, 1, 2]."),
        ("calibrate", {"labels": None}, "calibrate.npz has no array labels; it has: a, b.c/d."),
        ("train", {"a": None, "b.c/d": None}, "train.npz has no array of a layer beside labels"),
        ("test", {"a": np.ones((19, 4))}, "a is (19, 4) and labels (20,); expected a (n, ...) and labels (n,)."),
        ("test", {"a": np.ones((19, 4)), "labels": None}, "the layers differ in their number of rows"),
        ("test", {"a": np.ones((0, 4)), "b.c/d": np.ones((0, 2, 3)), "labels": LABELS[:0]}, "test.npz holds no points"),
        ("train", {"labels": LABELS[:60] + 0.5}, "train.npz: labels[0] = 0.5 is no whole number"),
        ("test", {"a": np.ones((20, 4), complex)}, "test.npz: a and labels must be real numbers"),
        ("test", {"a": np.array([{}] * 20)}, "test.npz cannot be read as an archive of arrays"),
    ],
)
def test_files_that_do_not_fit_are_one_line(tmp_path, part, change, words):
    with pytest.raises(WorkbenchError) as refused:
        measure_credibility(*files(tmp_path, **{part: change}), k=K)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_more_neighbours_than_points_and_other_files_are_refused(tmp_path):
    with pytest.raises(WorkbenchError, match=r"train.npz: k = 61 neighbours of 60 fitted rows"):
        measure_credibility(*files(tmp_path), k=61)
    with pytest.raises(UsageError, match=r"a.csv: expected a file .npz or .safetensors with an array for each layer"):
        measure_credibility(tmp_path / "a.csv", *files(tmp_path)[1:])


@pytest.mark.parametrize("name, first", [("train", 0), ("calibrate", 60)])
def test_points_that_are_not_new_are_told_aloud(tmp_path, name, first):
    """Of such there are no valid p-values; a point that is equal in one layer alone is new."""
    rows, said = [100, first, 101, first + 7], []
    again = {"test": {**{layer: x[rows] for layer, x in POINTS.items()}, "labels": LABELS[rows]}}
    again["test"]["a"][3] = POINTS["a"][102]
    measure_credibility(*files(tmp_path, **again), k=K, say=said.append)
    told = f"test.npz: 1 of 4 points are among those of {tmp_path / name}.npz: p-values hold for new ones alone."
    assert [line for line in said if "are among those" in line] == [f"Warning: {tmp_path}/{told}"]
