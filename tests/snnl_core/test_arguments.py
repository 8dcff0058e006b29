"""What is no tensor, no whole number, or no known word is refused at once, and it is said what would do."""

import io
import warnings

import numpy as np
import pandas
import pytest
import torch

from snnl_core import (
    DeepKNN,
    EntanglementMonitor,
    SoftNearestNeighborLoss,
    entanglement,
    nearest_neighbors,
    soft_nearest_neighbor_loss,
)

X, LABELS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2
TAKE_BOTH = [lambda x, labels: soft_nearest_neighbor_loss(x, labels, 1.0), SoftNearestNeighborLoss(), entanglement]


@pytest.mark.parametrize("call", TAKE_BOTH)
def test_points_and_labels_that_are_no_tensors(call):
    for labels, kind in ((LABELS.tolist(), "list"), (LABELS.numpy(), "ndarray")):
        with pytest.raises(TypeError, match=f"labels must be a tensor, not {kind}; make it one with torch.as_tensor"):
            call(X, labels)
    with pytest.raises(TypeError, match="x must be a tensor, not ndarray"):
        call(np.zeros((8, 3), np.float32), LABELS)


@pytest.mark.parametrize("labels", [["a", "b"] * 4, np.array(["a", "b"] * 4), pandas.Series(["a", "b"] * 4)])
def test_of_strings_it_is_said_how_to_number_them(labels):
    with pytest.raises(TypeError, match=r"number its strings, torch\.as_tensor\(numpy\.unique\(strings, return_inv"):
        entanglement(X, labels)


def test_columns_of_pandas_which_torch_does_not_take_are_to_be_arrays_first():
    for x, labels in ((pandas.DataFrame(X.numpy()), LABELS), (X, pandas.Series(LABELS.numpy(), index=range(1, 9)))):
        with pytest.raises(TypeError, match=r"torch\.as_tensor of its to_numpy\(\)\."):
            entanglement(x, labels)


def test_layers_and_their_labels_that_are_no_tensors():
    with pytest.raises(TypeError, match="labels must be a tensor, not list"):
        DeepKNN(2).fit({"a": X}, LABELS.tolist())
    with pytest.raises(TypeError, match="labels must be a tensor, not list"):
        EntanglementMonitor(8).update({"a": X}, LABELS.tolist())
    with pytest.raises(TypeError, match="layer 'a' must be a tensor, not ndarray"):
        EntanglementMonitor(8).update({"a": X.numpy()}, LABELS)


def test_counts_that_are_no_whole_numbers():
    with pytest.raises(TypeError, match=r"k must be a whole number, not 2\.5"):
        DeepKNN(2.5)
    with pytest.raises(TypeError, match=r"k must be a whole number, not 2\.0"):
        nearest_neighbors(X, X, 2.0)
    with pytest.raises(TypeError, match=r"anchors must be a whole number, not 5\.0"):
        entanglement(X, LABELS, anchors=5.0)


def test_words_that_nobody_knows_are_refused_before_anything_is_kept():
    with pytest.raises(ValueError, match="distance"):
        EntanglementMonitor(8, distance="cosin")
    with pytest.raises(ValueError, match="'minimize' is for SoftNearestNeighborLoss"):
        soft_nearest_neighbor_loss(X, LABELS, "minimize")


@pytest.mark.parametrize(
    "calibration, words",
    [
        ({"scores": torch.zeros(3), "codes": torch.zeros(20, dtype=torch.int64)}, r"\(3,\) and \(20,\): one each"),
        ({"scores": torch.zeros(2), "codes": torch.tensor([0, 7])}, "not those of 2 classes"),
        ({"scores": torch.zeros(2), "codes": torch.tensor([-1, 0])}, "not those of 2 classes"),
    ],
)
def test_a_state_whose_calibration_cannot_be(calibration, words):
    knn = DeepKNN(2).fit({"a": X}, LABELS)
    state = {**knn.state_dict(), "calibration": calibration}
    with pytest.raises(ValueError, match=words):
        DeepKNN(2).load_state_dict(state)


def test_features_that_the_dtype_of_the_first_ones_cannot_hold():
    monitor = EntanglementMonitor(16)
    monitor.update({"a": X.half()}, LABELS)
    with pytest.raises(ValueError, match=r"layer 'a' was torch\.float16 first, which cannot hold these torch\.float32"):
        monitor.update({"a": 1e6 * X}, LABELS)
    monitor.update({"a": 100 * X}, LABELS)
    assert monitor.compute()["a"].n_valid == 16


@pytest.mark.filterwarnings("ignore:.*calibration rows")
def test_neighbours_logits_and_layers_that_are_no_tensors():
    with pytest.raises(TypeError, match="queries must be a tensor, not ndarray"):
        nearest_neighbors(X.numpy(), X, 2)
    with pytest.raises(TypeError, match="points must be a tensor, not list"):
        nearest_neighbors(X, X.tolist(), 2)
    knn = DeepKNN(2).fit({"a": X}, LABELS).calibrate({"a": X + 1}, LABELS)
    with pytest.raises(TypeError, match="logits must be a tensor, not ndarray"):
        knn.predict({"a": X}, np.zeros((8, 2)))
    for features in ([X], X, None):
        with pytest.raises(TypeError, match="features must be a mapping from layers to tensors, not "):
            EntanglementMonitor(8).update(features, LABELS)


@pytest.mark.parametrize("call", TAKE_BOTH)
def test_tensors_without_rows_of_numbers(call):
    for x, words in (
        (X.to_sparse(), "x must be dense, not torch.sparse_coo"),
        (X.to("meta"), "x is on the meta device"),
    ):
        with pytest.raises(TypeError, match=words):
            call(x, LABELS)
        with pytest.raises(TypeError, match=words.replace("x ", "layer 'a' ")):
            DeepKNN(2).fit({"a": x}, LABELS)
        with pytest.raises(TypeError, match=words.replace("x ", "layer 'a' ")):
            EntanglementMonitor(8).update({"a": x}, LABELS)
        with pytest.raises(TypeError, match=words.replace("x ", "points ")):
            nearest_neighbors(X, x, 2)


@pytest.mark.parametrize("temperature", [None, [1.0], 1j, torch.tensor(1j), "a", b"a", b"1"])
def test_temperatures_that_are_no_numbers(temperature):
    for call in (
        lambda: soft_nearest_neighbor_loss(X, LABELS, temperature),
        lambda: SoftNearestNeighborLoss(temperature),
        lambda: SoftNearestNeighborLoss("learn", start=temperature),
    ):
        with pytest.raises((TypeError, ValueError), match=r"must be .*number in"):
            call()


@pytest.mark.parametrize("temperature, words", [(10**400, "largest float"), (torch.ones(1).to_sparse(), "be dense")])
def test_temperatures_that_are_no_floats(temperature, words):
    with pytest.raises((TypeError, ValueError), match=f"temperature .*{words}"):
        soft_nearest_neighbor_loss(X, LABELS, temperature)
    with pytest.raises((TypeError, ValueError), match=f"temperature .*{words}"):
        SoftNearestNeighborLoss(temperature)


def test_labels_and_groups_that_int64_does_not_have():
    """They would count as negative: classes by wrong names, and no groups."""
    large = torch.tensor([2**63 - 1, 2**63] * 4, dtype=torch.uint64)
    knn = DeepKNN(2)
    for call in (
        lambda: soft_nearest_neighbor_loss(X, large),
        lambda: entanglement(X, large),
        lambda: EntanglementMonitor(8).update({"a": X}, large),
        lambda: knn.fit({"a": X}, large),
    ):
        with pytest.raises(ValueError, match=r"labels must be below 2\^63: number them anew"):
            call()
    with pytest.raises(ValueError, match=r"groups must be below 2\^63"):
        entanglement(X, LABELS, groups=large)
    assert entanglement(X, torch.tensor([2**63 - 1] * 8, dtype=torch.uint64)).classes.tolist() == [2**63 - 1]


def test_labels_that_are_quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = torch.quantize_per_tensor(LABELS.float(), 1.0, 0, torch.quint8)
    with pytest.raises(TypeError, match=r"labels must not be quantized, as torch\.quint8 is"):
        soft_nearest_neighbor_loss(X, labels)


@pytest.mark.filterwarnings("ignore:.*calibration rows")
def test_generators_that_are_none():
    knn = DeepKNN(2, mode="smoothed").fit({"a": X}, LABELS).calibrate({"a": X + 1}, LABELS)
    for call in (lambda: entanglement(X, LABELS, generator=3), lambda: knn.predict({"a": X}, generator=3)):
        with pytest.raises(TypeError, match=r"generator must be a torch\.Generator, not 3"):
            call()
    with pytest.raises(ValueError, match=r"seed = .*must fit in 64 bits"):
        EntanglementMonitor(seed=2**64)


@pytest.mark.filterwarnings("ignore:.*calibration rows")
def test_calibration_scores_of_other_integers_are_taken():
    knn = DeepKNN(2).fit({"a": X}, LABELS).calibrate({"a": X + 1}, LABELS)
    state, other = knn.state_dict(), DeepKNN(2)
    scores = state["calibration"]["scores"].to(torch.uint16)
    other.load_state_dict({**state, "calibration": {**state["calibration"], "scores": scores}})
    assert torch.equal(other.predict({"a": X}).p_values, knn.predict({"a": X}).p_values)


def test_sizes_that_are_no_whole_numbers():
    with pytest.raises(TypeError, match=r"size must be a whole number, not 2\.5"):
        EntanglementMonitor(2.5)
    with pytest.raises(TypeError, match=r"max_features must be a whole number, not 8\.0"):
        EntanglementMonitor(8, max_features=8.0)


def test_counts_of_other_kinds_are_kept_as_plain_ones():
    file = io.BytesIO()
    torch.save(DeepKNN(np.int64(2)).fit({"a": X}, LABELS).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert type(state["k"]) is int
    DeepKNN(2).load_state_dict(state)


@pytest.mark.parametrize("name, value", [("k", 3), ("distance", "sqeuclidean")])
def test_what_calibration_scores_were_made_with_stays(name, value):
    """Scores of other neighbours would be compared with them: p-values without a meaning, and no word of it."""
    knn = DeepKNN(2).fit({"a": X}, LABELS)
    with pytest.raises(AttributeError, match=name):
        setattr(knn, name, value)


def test_squares_beyond_float32_give_nan_at_every_temperature():
    for temperature in (1.0, 1e39, 1e45, float("inf")):
        assert soft_nearest_neighbor_loss(1e25 * X, LABELS, temperature).isnan()


@pytest.mark.filterwarnings("ignore:.*calibration rows")
@pytest.mark.parametrize("names", [(0, 1), (10, "a"), (("block", 1), None)])
def test_layers_may_be_named_by_anything(names):
    """As by their place in a list, beside others by a word."""
    features = {name: X + place for place, name in enumerate(names)}
    monitor = EntanglementMonitor(8)
    monitor.update(features, LABELS)
    assert tuple(monitor.compute()) == names
    with pytest.raises(ValueError, match="the layers are 3, b; expected "):
        monitor.update({3: X, "b": X}, LABELS)
    knn = DeepKNN(2).fit(features, LABELS).calibrate({name: x + 0.1 for name, x in features.items()}, LABELS)
    assert tuple(knn.predict(features).neighbors) == names
    with pytest.raises(ValueError, match="rows do"):
        knn.calibrate(features, LABELS)


def test_outputs_of_layers_that_hold_several_tensors():
    for x, kind in (((X, X), "tuple"), ({"hidden": X}, "dict"), ([X], "list")):
        words = f"must be a tensor, not {kind}; take "
        with pytest.raises(TypeError, match=f"x {words}"):
            SoftNearestNeighborLoss()(x, LABELS)
        with pytest.raises(TypeError, match=f"layer 'a' {words}"):
            EntanglementMonitor(8).update({"a": x}, LABELS)
        with pytest.raises(TypeError, match=f"layer 'a' must be a floating tensor, not {kind}; take "):
            DeepKNN(2).fit({"a": x}, LABELS)
    with pytest.raises(TypeError, match=r"not list; take one of those in it, or join them"):
        SoftNearestNeighborLoss()(X, [*LABELS])


def test_what_decides_a_sample_is_settled_when_the_monitor_is_made():
    monitor = EntanglementMonitor(4)
    with pytest.raises(AttributeError, match="size"):
        monitor.size = 16
    with pytest.raises(TypeError, match="seed must be a whole number, not 'a'"):
        EntanglementMonitor(4, seed="a")
    one, other = EntanglementMonitor(4, seed=3), EntanglementMonitor(np.int64(4), seed=np.int64(3))
    for monitor in (one, other):
        monitor.update({"a": X}, LABELS)
    assert one.compute()["a"].loss == other.compute()["a"].loss


def test_neighbours_of_numbers_that_nothing_is_computed_in():
    """torch stores them, and the loss takes them; without a maximum of theirs there is no search."""
    x = X.to(torch.float8_e4m3fn)
    assert soft_nearest_neighbor_loss(x, LABELS).dtype == torch.float32
    with pytest.raises(TypeError, match=r"points must be .* not torch.float8_e4m3fn; convert them"):
        nearest_neighbors(X, x, 2)
    with pytest.raises(TypeError, match=r"must be .* not torch.float8_e4m3fn; convert"):
        DeepKNN(2).fit({"a": x}, LABELS)
    with pytest.raises(TypeError, match=r"layer 'a': points .*; convert them to 16 bits or more"):
        DeepKNN(2).fit({"a": x}, LABELS)


@pytest.mark.filterwarnings("ignore:.*calibration rows")
def test_what_has_neighbours_and_a_monitor_are_shown_in_a_line():
    """As the last value of a notebook's cell, and not with all their numbers."""
    knn, monitor = DeepKNN(2), EntanglementMonitor(8)
    assert "layers=[], fitted=0, calibrated=0)" in repr(knn) and "layers=[], seen=0)" in repr(monitor)
    knn.fit({"a": X}, LABELS).calibrate({"a": X[:5] + 0.1}, LABELS[:5])
    monitor.update({"a": X}, LABELS)
    found = knn.predict({"a": X})
    assert repr(knn) == "DeepKNN(k=2, distance='cosine', mode='valid', layers=['a'], fitted=8, calibrated=5)"
    assert repr(monitor) == "EntanglementMonitor(size=8, layers=['a'], seen=8)"
    line = f"mean credibility={float(found.credibility.mean()):.4g})"
    assert repr(found) == "DeepKNNPrediction(n=8, classes=2, neighbors={'a': (8, 2)}, " + line
