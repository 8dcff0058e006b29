"""The monitor: a fair, bounded sample, the same in every layer, and the entanglement of what it kept."""

import pickle
import threading
import weakref

import pytest
import torch

from snnl_core import EntanglementMonitor, entanglement
from snnl_core.pooling import pool_maps


def numbered(n, start=0):
    """Samples that carry their own number, in two layers."""
    x = torch.arange(start, start + n, dtype=torch.float64)
    return {"a": x[:, None], "b": torch.stack([x, -x], 1)}, torch.arange(start, start + n) % 3


def kept(monitor):
    return monitor._points["a"][: len(monitor), 0].long()


def show(monitor, n, batch):
    for start in range(0, n, batch):
        monitor.update(*numbered(min(batch, n - start), start))


@pytest.mark.parametrize("batch", [1, 7, 60])
def test_every_sample_is_kept_as_often(batch):
    """200 monitors that each keep 20 of 60: 66.7 on average, standard deviation 6.7."""
    counts, parts = torch.zeros(60), [numbered(min(batch, 60 - start), start) for start in range(0, 60, batch)]
    for seed in range(200):
        monitor = EntanglementMonitor(20, seed=seed)
        for layers, labels in parts:
            monitor.update({"a": layers["a"]}, labels)
        counts[kept(monitor)] += 1
    assert counts.sum() == 200 * 20  # none twice
    expected = 200 / 3
    chi_square = ((counts - expected).square() / (expected * 2 / 3)).sum() * 59 / 60
    assert 30 < chi_square < 98  # 0.1% on either side of chi-square with 59 degrees of freedom
    assert (counts - expected).abs().max() < 4.5 * 6.7


def test_it_is_algorithm_r():
    """The i-th sample, from 1, takes one of i places, each as likely, and is kept where it is one of the first 20."""
    chances = torch.rand(400, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    monitor = EntanglementMonitor(20, seed=7)
    show(monitor, 400, 1)
    expected = list(range(20))
    for number, chance in enumerate(chances.tolist()):
        place = int(chance * (number + 1))
        if number >= 20 and place < 20:
            expected[place] = number
    assert kept(monitor).tolist() == expected


def test_a_sample_does_not_depend_on_how_it_was_cut_into_batches():
    samples = []
    for batch in (1, 9, 50):
        monitor = EntanglementMonitor(20)
        show(monitor, 100, batch)
        samples.append(kept(monitor))
    assert torch.equal(samples[0], samples[1]) and torch.equal(samples[0], samples[2])


def test_all_layers_and_the_labels_keep_the_same_samples():
    monitor = EntanglementMonitor(15)
    show(monitor, 100, 8)
    first = kept(monitor)
    assert torch.equal(monitor._points["b"].long(), torch.stack([first, -first], 1))
    assert torch.equal(monitor._labels, first % 3)
    assert (first >= 15).any()


def test_memory_is_bounded_whatever_passes_by():
    monitor = EntanglementMonitor(30)
    sizes = set()
    for _ in range(20):
        monitor.update({"map": torch.randn(25, 4, 8, 8).bfloat16(), "flat": torch.randn(25, 3)}, torch.arange(25))
        stores = [*monitor._points.values(), monitor._labels]
        sizes.add(sum(store.untyped_storage().nbytes() for store in stores))
    assert sizes == {30 * (256 * 2 + 3 * 4 + 8)}
    assert monitor.seen == 500 and len(monitor) == 30


def test_no_graph_is_kept():
    x = torch.randn(10, 4, requires_grad=True)
    hidden = (x * 2).tanh()
    monitor = EntanglementMonitor(10)
    monitor.update({"hidden": hidden}, torch.arange(10) % 2)
    assert not monitor._points["hidden"].requires_grad
    assert torch.equal(monitor._points["hidden"], hidden.detach())
    gone = weakref.ref(hidden)
    del hidden
    assert gone() is None


def test_features_may_come_from_inference_mode():
    with torch.inference_mode():
        monitor = EntanglementMonitor(8)
        monitor.update(*numbered(5))
    monitor.update(*numbered(20, 5))
    assert len(monitor.compute()) == 2


def test_what_it_says_is_the_entanglement_of_its_sample():
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(80, 6, generator=generator), torch.arange(80) % 4
    for distance in ("sqeuclidean", "cosine"):
        monitor = EntanglementMonitor(distance=distance)
        for part in torch.arange(80).split(33):
            monitor.update({"one": x[part], "shifted": x[part] + labels[part, None]}, labels[part])
        found = monitor.compute()
        assert list(found) == ["one", "shifted"]
        assert found["one"].loss == entanglement(x, labels, distance=distance).loss
        assert found["shifted"].score < found["one"].score


def test_separated_classes_score_0_and_copies_across_classes_1():
    centre = torch.arange(40) % 2 * 1000.0
    noise = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    copies = noise[torch.arange(40) // 2]
    monitor = EntanglementMonitor()
    monitor.update({"apart": centre[:, None] + noise, "copies": copies}, torch.arange(40) % 2)
    found = monitor.compute()
    assert found["apart"].score == pytest.approx(0, abs=1e-6) and found["apart"].at_limit == "cold"
    assert found["copies"].score == pytest.approx(1, abs=1e-3)


def test_reset_starts_anew_and_the_same():
    monitor = EntanglementMonitor(10)
    show(monitor, 50, 7)
    first = kept(monitor).clone()
    monitor.reset()
    assert len(monitor) == monitor.seen == 0
    show(monitor, 50, 7)
    assert torch.equal(kept(monitor), first)
    monitor.reset()
    monitor.update({"other": torch.randn(4, 9)}, torch.arange(4))


def test_an_empty_batch_changes_nothing():
    monitor = EntanglementMonitor(10)
    show(monitor, 5, 5)
    monitor.update(*numbered(0))
    assert len(monitor) == 5


def test_labels_may_be_of_any_integer_type():
    monitor = EntanglementMonitor()
    monitor.update({"a": torch.randn(6, 2)}, torch.tensor([0, 200, 0, 200, 0, 200], dtype=torch.uint8))
    assert monitor.compute()["a"].classes.tolist() == [0, 200]


@pytest.mark.parametrize(
    "features, labels, kind, words",
    [
        ({"a": torch.zeros(5, 1), "b": torch.zeros(4, 2)}, torch.arange(5), ValueError, "layer 'b' is (4, 2)"),
        (
            {"a": torch.zeros(5, 1), "b": torch.zeros(5, 3)},
            torch.arange(5),
            ValueError,
            "3 features a sample and had 2",
        ),
        ({"a": torch.zeros(5, 1)}, torch.arange(5), ValueError, "the layers are a; expected a, b"),
        ({}, torch.arange(5), ValueError, "the layers are none"),
        ({"a": torch.zeros(5, 1, dtype=torch.int), "b": torch.zeros(5, 2)}, torch.arange(5), TypeError, "floating"),
        ({"a": torch.zeros(5, 1), "b": torch.zeros(5, 2)}, torch.arange(5.0), TypeError, "labels must be integers"),
        ({"a": torch.zeros(5, 1), "b": torch.zeros(5, 2)}, torch.ones(5, 1).long(), ValueError, "(5, 1)"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(features, labels, kind, words):
    monitor = EntanglementMonitor(20)
    show(monitor, 10, 5)
    before = kept(monitor).clone()
    with pytest.raises(kind) as refused:
        monitor.update(features, labels)
    assert words in str(refused.value)
    assert monitor.seen == 10 and torch.equal(kept(monitor), before)


def test_a_measure_needs_two_finite_samples():
    monitor = EntanglementMonitor()
    with pytest.raises(ValueError, match="0 samples are kept"):
        monitor.compute()
    monitor.update(*numbered(1))
    with pytest.raises(ValueError, match="1 samples"):
        monitor.compute()
    monitor.update({"a": torch.tensor([[float("nan")]]), "b": torch.zeros(1, 2)}, torch.tensor([0]))
    with pytest.raises(ValueError, match="layer 'a': row 1"):
        monitor.compute()


@pytest.mark.parametrize("settings", [{"size": 1}, {"max_features": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="at least"):
        EntanglementMonitor(**settings)


@pytest.mark.parametrize(
    "shape, limit, d",
    [
        ((3, 8, 16, 16), 200, 8 * 25),
        ((3, 8, 16, 16), 2048, 2048),
        ((3, 8, 16, 16), 7, 8),
        ((3, 8, 2, 50), 512, 8 * 16),
        ((3, 900), 100, 900),
        ((3, 20, 30), 100, 600),
        ((3,), 100, 1),
        ((3, 8, 16, 16), None, 2048),
        ((0, 8, 9, 9), 8, 8),
    ],
)
def test_maps_are_averaged_to_the_largest_square_that_fits(shape, limit, d):
    assert pool_maps(torch.randn(shape), limit).shape == (shape[0], d)


def test_averaging_is_over_equal_cells():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert pool_maps(x, 4).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert pool_maps(x.bfloat16(), 4).dtype == torch.bfloat16
    assert pool_maps(x.to(torch.float8_e4m3fn), 4).tolist() == [[2.5, 4.5, 10.5, 12.5]]  # torch averages none of these


class Interrupted(torch.Tensor):
    """Features that are looked at as another thread shows samples."""

    other = None

    def __getitem__(self, rows):
        self.other.start()
        self.other.join(0.05)
        return self.as_subclass(torch.Tensor)[rows]


def test_threads_share_a_monitor():
    """Both took the same places: samples were lost, or had the labels of others."""
    monitor, (features, labels) = EntanglementMonitor(20), numbered(8)
    features["a"] = features["a"].as_subclass(Interrupted)
    Interrupted.other = threading.Thread(target=monitor.update, args=numbered(8, 8))
    monitor.update(features, labels)
    Interrupted.other.join()
    assert kept(monitor).tolist() == [*range(16)]
    assert torch.equal(monitor._labels[:16], torch.arange(16) % 3)
    again = pickle.loads(pickle.dumps(monitor))
    for each in (monitor, again):
        show(each, 40, 10)
    assert torch.equal(kept(monitor), kept(again))


class Unreadable(torch.Tensor):
    """As features on a GPU are whose rows there is no memory for."""

    def __getitem__(self, rows):
        raise MemoryError


@pytest.mark.parametrize("shown", [8, 30])
def test_a_batch_that_fails_on_the_way_leaves_what_was_kept(shown):
    """It left labels without their features, or counted samples that were never kept."""
    monitor = EntanglementMonitor(20)
    show(monitor, shown, 8)
    before = monitor.seen, kept(monitor), monitor._labels.clone(), monitor._points["b"].clone()
    features, labels = numbered(25, shown)
    features["b"] = features["b"].as_subclass(Unreadable)
    with pytest.raises(MemoryError):
        monitor.update(features, labels + 1)
    after = monitor.seen, kept(monitor), monitor._labels, monitor._points["b"]
    assert before[0] == after[0]
    assert all(torch.equal(one, other) for one, other in zip(before[1:], after[1:], strict=True))
