"""Measuring points that are spread over processes: each must get what one process gets from all of them."""

import math

import forks
import pytest
import torch
import torch.distributed as dist

from snnl_core import entanglement, tiles

DOUBLE = torch.float64
SHARES = [(0.45, 0.55), (0.2, 0.5, 0.3), (0.3, 0.2, 0.4, 0.1), (0.0, 1.0), (0.4, 0.0, 0.6)]
"""What part of the points each process has; some have none."""


def data(n=150):
    """Points of five classes, one of them with a single member, and groups."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (n,), generator=generator) * 7 - 3
    x = torch.randn(n, 3, generator=generator, dtype=DOUBLE) + 0.3 * labels[:, None]
    labels[17] = 99
    return x, labels, torch.randint(-1, 3, (n,), generator=generator)


def one_far(x):
    """In single precision, with one row, of the class nearest to it, that stands for a missing value."""
    x = x.float()
    x[data()[1].argmin()] = -999999
    return x


KINDS = {
    "float32": torch.Tensor.float,
    "whole numbers that float32 cannot tell apart": lambda x: (1000 * x).round() + 2**40,
    "tiny": lambda x: 1e-20 * x.float(),
    "one far row": one_far,
}
"""Points whose distances one precision or another does not hold as they are."""


def shard(rank, shares, *tensors):
    """The rank's part of tensors (n, ...), of unequal size, sorted by class."""
    x, labels, *_ = tensors
    order = labels.argsort(stable=True)
    edges = [0, *torch.tensor(shares).cumsum(0).mul(len(x)).round().long().tolist()]
    mine = order[edges[rank] : edges[rank + 1]]
    return mine, [tensor[mine] for tensor in tensors]


def work(shares, folder):
    """Measure a shard in every way and save what was found."""
    rank, world = dist.get_rank(), len(shares)
    tiles.ROWS, tiles.ENTRIES = 40, 1600  # several of a process's points, of the two that meet, and of a sample
    mine, (x, labels, groups) = shard(rank, shares, *data())
    seen = []
    found = {
        "all": entanglement(x, labels, groups=groups, sharded=True, progress=lambda *at: seen.append(at)),
        "cosine": entanglement(x, labels, distance="cosine", sharded=True),
        "some": entanglement(x, labels, groups=groups, anchors=60, sharded=True),
        "one class": entanglement(x, torch.zeros_like(labels), sharded=True),
    }
    for name, changed in KINDS.items():
        _, (points, labels, _) = shard(rank, shares, changed(data()[0]), *data()[1:])
        found[name] = entanglement(points, labels, sharded=True)
    check_refusals(rank, world)
    check_few_points(rank, world)
    assert seen[0][0] == 1 and seen[-1][1] == 1
    plain = {name: {**vars(each), "by_class": dict(each.by_class)} for name, each in found.items()}
    torch.save({"mine": mine, "found": plain}, f"{folder}/found-{rank}")


def check_refusals(rank, world):
    """What one process refuses, all refuse in time, and what must be the same is."""
    last = world - 1
    x, labels = torch.arange(8.0).view(4, 2) + rank, torch.arange(4) % 2
    hole = x.clone()
    hole[2:] = math.nan
    for kind, words, points, settings in [
        (ValueError, f"process {last}: row 2 of x is not finite; 2 of 4", hole, {}),
        (ValueError, f"process {last}: x is", x[1:], {}),
        (TypeError, f"process {last}: groups must be integers", x, {"groups": labels.float()}),
        (TypeError, f"process {last}: x must be floating, not torch.int64; convert it", x.long(), {}),
        (ValueError, "differ in more than the first dimension", torch.zeros(4, 3), {}),
        (ValueError, "differ in dtype", x.double(), {}),
        (ValueError, "differ in distance: sqeuclidean and cosine", x, {"distance": "cosine"}),
        (ValueError, "differ in anchors: None and 3", x, {"anchors": 3}),
    ]:
        with pytest.raises(kind, match=words):
            if rank == last:
                entanglement(points, labels, sharded=True, **settings)
            else:
                entanglement(x, labels, sharded=True)
    with pytest.raises(ValueError, match="n = 1 in all processes"):
        entanglement(x[: int(rank == last)], labels[: int(rank == last)], sharded=True)


def check_few_points(rank, world):
    """How cold the search may go hangs on a median of distances, of which few points have few."""
    x = torch.zeros(7, 2)
    x[1], x[3], x[6] = torch.tensor([[91.5, 89], [91, 91], [0.6875, 1.0234375]])
    labels, last = (torch.arange(7) > 4).long(), 7 * (rank == world - 1)
    whole, found = entanglement(x, labels), entanglement(x[:last], labels[:last], sharded=True)
    assert found.by_class[0].loss == pytest.approx(whole.by_class[0].loss, rel=1e-3)


@pytest.fixture(scope="module", params=SHARES, ids=str)
def everyone(request, tmp_path_factory):
    """What every process found."""
    folder, world = tmp_path_factory.mktemp("processes"), len(request.param)
    forks.together(__file__, "work", world, request.param, folder)
    return [torch.load(folder / f"found-{rank}", weights_only=False) for rank in range(world)]


@pytest.mark.parametrize("name, settings", [("all", {"groups": data()[2]}), ("cosine", {"distance": "cosine"})])
def test_every_process_gets_what_one_gets(everyone, name, settings):
    x, labels, _ = data()
    whole = entanglement(x, labels, **settings)
    for part in everyone:
        found = part["found"][name]
        for key in ("loss", "bound", "score"):
            assert found[key] == pytest.approx(getattr(whole, key), rel=1e-8)
        assert found["temperature"] == pytest.approx(whole.temperature, rel=1e-3)
        assert (found["n_valid"], found["at_limit"]) == (149, whole.at_limit)
        assert torch.equal(found["classes"], whole.classes)
        torch.testing.assert_close(found["class_pairs"], whole.class_pairs, atol=1e-4, rtol=0, equal_nan=True)
        torch.testing.assert_close(found["per_sample"], whole.per_sample[part["mine"]], atol=1e-3, rtol=0)
        for kind in ("by_class", "by_group"):
            theirs, ours = found[kind], getattr(whole, kind)
            assert theirs.keys() == ours.keys()
            assert all(theirs[k].loss == pytest.approx(ours[k].loss, abs=1e-6) for k in ours)
            assert all(theirs[k].n_valid == ours[k].n_valid for k in ours)


@pytest.mark.parametrize("kind", KINDS)
def test_points_of_every_kind_are_measured_as_by_one_process(everyone, kind):
    x, labels, _ = data()
    points = KINDS[kind](x)
    whole = entanglement(points, labels)
    for part in everyone:
        found = part["found"][kind]
        assert found["per_sample"].dtype == whole.per_sample.dtype, "all go to float64, or none"
        for key in ("loss", "bound", "score"):
            assert found[key] == pytest.approx(getattr(whole, key), rel=1e-5)
        assert found["temperature"] == pytest.approx(whole.temperature, rel=1e-2)
        assert (found["n_valid"], found["at_limit"]) == (whole.n_valid, whole.at_limit)
        torch.testing.assert_close(found["per_sample"], whole.per_sample[part["mine"]], atol=1e-2, rtol=0)


def test_a_sample_of_anchors_is_the_same_in_every_process(everyone):
    x, labels, _ = data()
    whole = entanglement(x, labels)
    for part in everyone:
        found = part["found"]["some"]
        assert found["loss"] == everyone[0]["found"]["some"]["loss"]
        assert 55 <= found["n_valid"] <= 65
        assert found["stderr"] > 0
        assert abs(found["loss"] - whole.loss) < 5 * found["stderr"]
        own = found["per_sample"]
        assert len(own) == len(part["mine"])
    used = sum(int((part["found"]["some"]["per_sample"] > 0).sum()) for part in everyone)
    assert used == everyone[0]["found"]["some"]["n_valid"]


def test_one_class_in_all_processes_has_no_score(everyone):
    for part in everyone:
        found = part["found"]["one class"]
        assert (found["loss"], found["n_valid"]) == (0, 150)
        assert math.isnan(found["score"])


def test_without_a_process_group_it_says_what_to_do():
    x, labels, _ = data()
    with pytest.raises(RuntimeError, match="init_process_group"):
        entanglement(x, labels, sharded=True)
