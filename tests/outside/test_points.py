"""Points and labels from files of every kind, whole and broken."""

import json
import math
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from lab.errors import UsageError, WorkbenchError
from outside.files import read_layers, read_points, reading
from outside.points import measure_file
from outside.weights import read_weights
from snnl_core import entanglement

X = np.random.default_rng(0).normal(size=(30, 2, 3)).astype(np.float32)
LABELS = np.arange(30) % 3
LONG = LABELS.astype(np.longdouble)
"""Of 80 bits or more, but where it is float64."""


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4", np.uint8, np.int64])
def test_an_archive_of_arrays(tmp_path, kind):
    np.savez(tmp_path / "a.npz", x=(10 * X).astype(kind), labels=LABELS.astype(np.float32), more=np.zeros(3))
    x, labels = read_points(tmp_path / "a.npz")
    assert x.shape == (30, 2, 3) and x.is_floating_point() and labels.dtype == torch.int64
    assert np.array_equal(x.numpy(), (10 * X).astype(kind)) and labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("read", [read_weights, lambda path: read_layers(path)[0]])
def test_what_was_read_stays_as_it_was_when_the_file_is_written_anew(tmp_path, read):
    """Of a file that is mapped into memory it would change, and the process would end where the file is cut off."""
    path, x = tmp_path / "a.safetensors", torch.from_numpy(X)
    path.write_bytes(save({"x": x}))
    found = read(path)["x"]
    path.write_bytes(save({"x": x + 1}))
    assert torch.equal(found, x)


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b"longer"), lambda path: path.unlink()])
def test_a_file_that_changes_while_it_is_read_is_told_of(tmp_path, change):
    path = tmp_path / "a.npz"
    path.write_bytes(b"once")
    told = pytest.raises(WorkbenchError, match=r"a.npz has changed while it was read: run the command again")
    with told, reading(path, "an archive"):
        change(path)
    path.write_bytes(b"once")
    with pytest.raises(WorkbenchError, match="has changed while it was read"), reading(path, "an archive"):
        change(path)
        raise ValueError("it is cut off")


def test_both_kinds_of_file_give_what_the_engine_says(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=X, labels=LABELS)
    save_file({"x": torch.from_numpy(X), "labels": torch.from_numpy(LABELS)}, tmp_path / "a.safetensors")
    expected = entanglement(torch.from_numpy(X), torch.from_numpy(LABELS))
    for name in ("a.npz", "a.safetensors"):
        found = measure_file(tmp_path / name)
        assert (found.n, found.features, found.classes) == (30, 6, [0, 1, 2])
        assert found.whole.loss == expected.loss
        assert [row["anchors"] for row in found.rows] == ["all", "class 0", "class 1", "class 2"]
        assert sum(found.pairs[1][name] for name in "012") == pytest.approx(1)


def test_the_distance_and_the_anchors_that_are_asked_for_are_the_engines(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, labels=LABELS)
    x, labels = torch.from_numpy(X), torch.from_numpy(LABELS)
    for settings in ({"distance": "cosine"}, {"anchors": 12}, {"distance": "cosine", "anchors": 12}):
        found, expected = measure_file(tmp_path / "a.npz", **settings).plain(), entanglement(x, labels, **settings)
        assert [found["loss"], found["stderr"]] == pytest.approx([expected.loss, expected.stderr], rel=1e-6)
        assert found["n_valid"] == expected.n_valid and found["distance"] == settings.get("distance", "sqeuclidean")
        assert found["loss"] != pytest.approx(entanglement(x, labels).loss, rel=1e-3)


@pytest.mark.parametrize("anchors, told", [(None, "all"), (12, "12"), (30, "all"), (99, "all")])
def test_no_more_anchors_are_told_of_than_there_are_points(tmp_path, anchors, told):
    np.savez(tmp_path / "a.npz", x=X, labels=LABELS)
    lines = []
    measure_file(tmp_path / "a.npz", anchors=anchors, say=lines.append)
    assert f"30 points of 6 features, {told} anchors" in lines[0]


def test_separated_points_score_0_and_copies_1_and_json_has_no_infinity(tmp_path):
    copies = X[np.arange(30) // 3]
    np.savez(tmp_path / "apart.npz", x=X + 1000 * LABELS[:, None, None], labels=LABELS)
    np.savez(tmp_path / "copies.npz", x=copies, labels=LABELS)
    apart, mixed = (measure_file(tmp_path / f"{name}.npz").plain() for name in ("apart", "copies"))
    assert apart["score"] == pytest.approx(0, abs=1e-6) and mixed["score"] == pytest.approx(1, abs=1e-3)
    assert mixed["at_limit"] == "hot" and mixed["temperature"] is None
    assert json.loads(json.dumps(mixed, allow_nan=False)) == mixed
    assert set(mixed["by_class"]) == {"0", "1", "2"} and len(mixed["class_pairs"]) == 3


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"x": X}, "has no array labels; it has: x."),
        ({"features": X, "y": LABELS}, "has no array x and no labels; it has: features, y."),
        ({"x": X, "labels": LABELS[:-1]}, "x is (30, 2, 3) and labels (29,); expected x (n, ...) and labels (n,)"),
        ({"x": X, "labels": LABELS[:, None]}, "labels (30, 1)"),
        ({"x": X, "labels": LABELS + 0.5}, "labels[0] = 0.5 is no whole number"),
        ({"x": X, "labels": np.where(LABELS == 1, math.nan, 0)}, "labels[1] = nan is no whole number"),
        ({"x": X, "labels": LABELS + 1e20}, "labels[0] = 1e+20 is no whole number of 64 bits"),
        ({"x": X, "labels": LABELS.astype(np.uint64) - 1}, "labels[0] = 1.84467e+19 is no whole number of 64 bits"),
        ({"x": np.where(X[3] == X, math.inf, X), "labels": LABELS}, "row 3 of x is not finite; 1 of 30 rows are not"),
        ({"x": X.astype(complex), "labels": LABELS}, "complex"),
        ({"x": X.astype(str), "labels": LABELS}, "cannot be read as an archive of arrays"),
        ({"x": X.astype(object), "labels": LABELS}, "cannot be read as an archive of arrays"),
        ({"x": X[:1], "labels": LABELS[:1]}, "n = 1"),
        ({"x": X[:0], "labels": LABELS[:0]}, "n = 0"),
        ({"x": X[:, :0], "labels": LABELS}, "x is (30, 0, 3): it has no features."),
        ({"x": 3.0, "labels": LABELS}, "x is () and labels (30,); expected x (n, ...) and labels (n,)"),
        *([({"x": LONG, "labels": LABELS}, "x is float128, and torch has no")] if LONG.itemsize > 8 else []),
        *([({"x": X, "labels": LONG}, "labels is float128, and torch has no")] if LONG.itemsize > 8 else []),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(WorkbenchError) as refused:
        measure_file(tmp_path / "a.npz")
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert refused.value.exit_code == 1


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_integers_are_measured_as_their_float64(tmp_path, kind):
    """Times in milliseconds: float32 holds them only to a few minutes."""
    generator = np.random.default_rng(0)
    far = {np.int64: 1_700_000_000_000, np.int32: 2_000_000_000}[kind]
    times = (far + 20 * LABELS[:, None] + generator.integers(0, 8, (30, 2))).astype(kind)
    np.savez(tmp_path / "whole.npz", x=times, labels=LABELS)
    np.savez(tmp_path / "wide.npz", x=times.astype(np.float64), labels=LABELS)
    whole, wide = (measure_file(tmp_path / f"{name}.npz").plain() for name in ("whole", "wide"))
    assert whole["score"] == wide["score"] == pytest.approx(0, abs=1e-6)
    layers, _ = read_layers(tmp_path / "whole.npz")
    assert layers["x"].dtype == torch.float64


@pytest.mark.parametrize("far", [2**53, -(2**62), np.uint64(2**63)])
def test_integers_that_float64_would_round_are_refused(tmp_path, far):
    near = np.arange(30)[:, None].astype(type(far))
    np.savez(tmp_path / "a.npz", x=near + far, labels=LABELS)
    for read in (read_points, read_layers):
        with pytest.raises(WorkbenchError, match=r"a.npz: x has integers of 2\^53 or more, which float64 would"):
            read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=near + (2**53 - 30), labels=LABELS)
    assert np.array_equal(np.diff(read_points(tmp_path / "a.npz")[0][:, 0]), np.ones(29))


def test_labels_of_8_bits_and_names_in_capitals(tmp_path):
    x, labels = torch.from_numpy(X), torch.from_numpy(LABELS)
    save_file({"x": x, "labels": labels.to(torch.float8_e4m3fn)}, tmp_path / "A.SafeTensors")
    with (tmp_path / "A.NPZ").open("wb") as file:
        np.savez(file, x=X, labels=LABELS)
    for name in ("A.SafeTensors", "A.NPZ"):
        found = read_points(tmp_path / name)
        assert torch.equal(found[0], x) and torch.equal(found[1], labels)


def test_a_file_that_float32_cannot_hold_is_measured_in_float64(tmp_path):
    large = np.concatenate([X.reshape(30, 6) + LABELS[:, None], 1e5 * (np.arange(30)[:, None] % 5 == 0)], 1)
    np.savez(tmp_path / "narrow.npz", x=large.astype(np.float32), labels=LABELS)
    np.savez(tmp_path / "wide.npz", x=large.astype(np.float32).astype(np.float64), labels=LABELS)
    said = []
    narrow = measure_file(tmp_path / "narrow.npz", say=said.append).plain()
    assert narrow["score"] == pytest.approx(measure_file(tmp_path / "wide.npz").plain()["score"], abs=1e-4)
    assert "measured in float64" in said[-1]


@pytest.mark.parametrize("labels", [1e19 * (1 + LABELS % 2), (LABELS % 2).astype(np.uint64) + np.uint64(2**63)])
def test_labels_beyond_integers_do_not_become_one(tmp_path, labels):
    np.savez(tmp_path / "a.npz", x=X, labels=labels)
    with pytest.raises(WorkbenchError, match=r"labels\[0\] = .* is no whole number of 64 bits\."):
        read_points(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=X, labels=LABELS + (2**63 - 9))
    assert read_points(tmp_path / "a.npz")[1].unique().tolist() == [2**63 - 9, 2**63 - 8, 2**63 - 7]


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_files_that_are_something_else(tmp_path, name):
    path = tmp_path / name
    for content in (b"", b"some text", pickle.dumps({"x": 1}), b"PK\x03\x04 torn"):
        path.write_bytes(content)
        with pytest.raises(WorkbenchError, match="cannot be read as an archive"):
            read_points(path)
    np.savez(tmp_path / "b.npz", x=X, labels=LABELS)
    path.write_bytes(b"something before it" + (tmp_path / "b.npz").read_bytes())
    with pytest.raises(WorkbenchError) as error:
        read_points(path)
    assert "pickle" not in str(error.value)
    with pytest.raises(WorkbenchError, match="No such file"):
        read_points(tmp_path / "none" / name)
    with pytest.raises(UsageError, match=r"expected a file .npz or .safetensors"):
        read_points(tmp_path / "a.csv")
