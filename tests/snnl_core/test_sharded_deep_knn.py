"""Deep k-nearest neighbours of rows that lie in several processes: each must get what one gets from all of them."""

import warnings
from unittest import mock

import forks
import pytest
import torch
import torch.distributed as dist

from snnl_core import DeepKNN, search

SHARES = [(0.4, 0.6), (0.3, 0.02, 0.68), (0.0, 1.0)]
"""What part of the rows each process has: one fewer than k, one none."""
PARTS = {"fit": (0, 120), "calibrate": (120, 160), "predict": (160, 200)}


def proposing_all(points, distance):
    """An index that misses nothing."""
    return lambda queries, k: torch.arange(len(points)).expand(len(queries), -1)


WAYS = {
    "cosine": {"k": 7},
    "sqeuclidean": {"k": 7, "distance": "sqeuclidean", "mode": "paper"},
    "index": {"k": 7, "index": proposing_all},
    "smoothed": {"k": 7, "mode": "smoothed", "class_conditional": True},
}


def data():
    """Whole numbers, so that many distances tie, in two layers; labels of three classes, sorted."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (200,), generator=generator)
    labels[:120] = labels[:120].sort().values
    noise = torch.randint(4, (200, 6), generator=generator)
    return {"a": (noise[:, :2] + labels[:, None]).float(), "b": noise.view(200, 2, 3).double()}, labels


def mine(part, rank, shares):
    """A process's rows of one part."""
    start, stop = PARTS[part]
    edges = [0, *torch.tensor(shares).cumsum(0).mul(stop - start).round().long().tolist()]
    return slice(start + edges[rank], start + edges[rank + 1])


def predictions(**settings):
    """What is found of the rows that `rows` names, part by part."""
    layers, labels = data()

    def some(rows):
        return {name: x[rows] for name, x in layers.items()}, labels[rows]

    def work(rows):
        knn = DeepKNN(**settings)
        knn.fit(*some(rows("fit"))).calibrate(*some(rows("calibrate")), allow_overlap=True)
        found = knn.predict(some(rows("predict"))[0], generator=torch.Generator().manual_seed(5))
        other = DeepKNN(**settings)
        other.load_state_dict(knn.state_dict())
        again = other.predict(some(rows("predict"))[0], generator=torch.Generator().manual_seed(5))
        assert torch.equal(found.p_values, again.p_values)
        assert knn.recall == (dict.fromkeys("ab", 1.0) if "index" in settings else {})
        return vars(found)

    return work


def run(shares, folder):
    """Work on a part of the rows and save what was found."""
    rank = dist.get_rank()
    search.BLOCK = 60  # several visits
    warnings.simplefilter("ignore")  # of rows that are few, and of those that are zero
    found = {
        name: predictions(sharded=True, **settings)(lambda part: mine(part, rank, shares))
        for name, settings in WAYS.items()
    }
    check_refusals(rank, len(shares))
    check_that_no_step_is_missed(rank, len(shares))
    check_squares_that_one_process_alone_has_in_float64(rank)
    torch.save(found, f"{folder}/found-{rank}")


def check_refusals(rank, world):
    """What one process refuses, all refuse in time, and what must be the same is."""
    layers, labels = {"a": torch.arange(24.0).view(12, 2) + 100 * rank}, torch.arange(12) % 2
    last, knn = rank == world - 1, DeepKNN(3, sharded=True)
    hole = {"a": layers["a"].clone().index_fill_(0, torch.tensor([5]), torch.nan)}
    with pytest.raises(ValueError, match=f"process {world - 1}: layer 'a': row 5 is not finite"):
        knn.fit(hole if last else layers, labels)
    with pytest.raises(ValueError, match="differ in k: 3 and 4"):
        DeepKNN(3 + last, sharded=True).fit(layers, labels)
    with pytest.raises(ValueError, match="differ in the layers, their features"):
        knn.fit({"a": layers["a"][:, : 2 - last]}, labels)
    with pytest.raises(ValueError, match="differ in the layers, their features"):
        knn.fit(dict.fromkeys("ba" if last else "ab", layers["a"]), labels)
    with pytest.raises(ValueError, match=f"k = 99 neighbours of {12 * world} fitted rows"):
        DeepKNN(99, sharded=True).fit(layers, labels)
    knn.fit(layers, labels)
    other = {"a": layers["a"] + 0.5}
    with pytest.raises(ValueError, match=rf"process {world - 1}: labels \[9\] were not fitted"):
        knn.calibrate(other, torch.full((12,), 9) if last else labels)
    # A row that another process has fitted.
    twin = {"a": other["a"].clone()}
    twin["a"][4] = layers["a"][4] - 100 * rank
    with pytest.raises(ValueError, match=f"process {world - 1}: row 4 equals a fitted row"):
        knn.calibrate(twin if last else other, labels)
    knn.calibrate(other, labels)
    with pytest.raises(TypeError, match=f"process {world - 1}: logits must be floating"):
        knn.predict(other, torch.zeros(12, 2, dtype=torch.int64) if last else None)
    before, state = knn.predict(other).p_values, knn.state_dict()
    below = {**state["calibration"], "scores": state["calibration"]["scores"] - 9}
    for calibration, words in (
        (below, f"process {world - 1}: scores of a calibration are from -"),
        (None, rf"processes 0 and {world - 1} differ in whether they are calibrated: True and False"),
    ):
        with pytest.raises(ValueError, match=words):
            knn.load_state_dict({**state, "calibration": calibration} if last else state)
        assert torch.equal(knn.predict(other).p_values, before)


def failing(words):
    """An index that fails as it is built or, without words, as it is asked."""

    def build(points, distance):
        if words:
            raise OSError(words)
        return lambda queries, k: torch.full((len(queries), k), len(points))

    return build


def check_that_no_step_is_missed(rank, world):
    """What is refused before an exchange, or decides whether there is one, all know of."""
    layers, labels, last = {"a": torch.arange(24.0).view(12, 2) + 100 * rank}, torch.arange(12) % 2, rank == world - 1
    other = {"a": layers["a"] + 0.5}

    def ready(**settings):
        return DeepKNN(3, sharded=True, **settings).fit(layers, labels).calibrate(other, labels)

    at_fault, knn = f"process {world - 1}: ", ready()
    empty, fitted = DeepKNN(3, sharded=True), DeepKNN(3, sharded=True).fit(layers, labels)
    with pytest.raises(ValueError, match=f"{at_fault}nothing is fitted"):
        (empty if last else knn).calibrate(other, labels)
    with pytest.raises(ValueError, match=f"{at_fault}nothing is fitted"):
        (empty if last else knn).predict(other)
    with pytest.raises(ValueError, match=f"{at_fault}there are no calibration scores"):
        (fitted if last else knn).predict(other)
    for name, value, words in (
        ("mode", "best", f"{at_fault}unknown mode 'best'"),
        ("mode", "smoothed", "differ in mode: valid and smoothed"),
        ("class_conditional", True, "differ in class_conditional: False and True"),
    ):
        changed = ready()
        if last:
            setattr(changed, name, value)
        with pytest.raises(ValueError, match=words):
            changed.predict(other)
    with pytest.raises(ValueError, match="differ in allow_overlap: False and True"):
        knn.calibrate(other, labels, allow_overlap=last)
    with pytest.raises(ValueError, match="differ in index: False and True"):
        ready(index=proposing_all if last else None)
    with pytest.raises(RuntimeError, match=f"{at_fault}too few rows"):
        ready(index=failing("too few rows") if last else proposing_all)
    with pytest.raises(ValueError, match=f"{at_fault}the index proposes point 12 of 12"):
        ready(index=failing("") if last else proposing_all)
    with pytest.raises(TypeError, match=f"{at_fault}k must be a whole number"):
        knn.load_state_dict({**knn.state_dict(), "k": torch.tensor([3, 3]) if last else 3})
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".* are zero and have no direction")
        zero = {"a": layers["a"] * (not last)}
        for work in (knn.predict, lambda x: knn.calibrate(x, labels, allow_overlap=True)):
            try:
                work(zero)
            except UserWarning:
                assert last
            else:
                assert not last
    with mock.patch.object(search, "search", wraps=search.search) as asked:
        assert knn.predict(other).p_values.isfinite().all()  # all are in step
    # What all processes find for a block lies in each of them.
    assert max(len(call.args[0]) for call in asked.call_args_list) * 3 * world <= search.BLOCK


def check_squares_that_one_process_alone_has_in_float64(rank):
    """Its rows, and its queries, are so large that float32 does not hold their squares."""
    x = torch.arange(24.0).view(12, 2).square()
    labels, large = torch.arange(12) % 2, torch.tensor([1e22 if rank else 1.0])
    for factor, queries in ((large, x), (torch.ones(1), large * x)):
        knn = DeepKNN(3, "sqeuclidean", sharded=True).fit({"a": x * factor}, labels)
        found = knn.calibrate({"a": x + 0.5}, labels, allow_overlap=True).predict({"a": queries})
        assert found.distances["a"].dtype == torch.float64


@pytest.mark.filterwarnings("ignore:.*calibration rows", "ignore:.* rows are zero and have no direction")
@pytest.mark.parametrize("shares", SHARES, ids=str)
def test_every_process_gets_what_one_gets(shares, tmp_path):
    forks.together(__file__, "run", len(shares), shares, tmp_path)
    for name, settings in WAYS.items():
        whole = predictions(**settings)(lambda part: slice(*PARTS[part]))
        for rank in range(len(shares)):
            found = torch.load(tmp_path / f"found-{rank}", weights_only=False)[name]
            rows = mine("predict", rank, shares)
            rows = slice(rows.start - PARTS["predict"][0], rows.stop - PARTS["predict"][0])
            for key in ("labels", "credibility", "confidence", "p_values", "nonconformity"):
                assert torch.equal(found[key], whole[key][rows]), (name, key)
            for layer in ("a", "b"):
                assert torch.equal(found["neighbors"][layer], whole["neighbors"][layer][rows])
                torch.testing.assert_close(found["distances"][layer], whole["distances"][layer][rows])


def test_without_a_process_group_it_says_what_to_do():
    layers, labels = data()
    with pytest.raises(RuntimeError, match="init_process_group"):
        DeepKNN(3, sharded=True).fit(layers, labels)
