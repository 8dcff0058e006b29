"""Processes that each hold a part of the batch, against one process that holds it all."""

from inspect import signature
from unittest import mock

import forks
import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from snnl_core import SoftNearestNeighborLoss, entanglement, gather_with_grad, soft_nearest_neighbor_loss
from snnl_core.distributed import agree

DOUBLE = torch.float64
SHARDS = {2: [9, 14], 3: [1, 12, 5]}
"""How many points each process has."""


@pytest.mark.skipif(not dist.is_gloo_available(), reason="this torch has no gloo")
@pytest.mark.parametrize("world", SHARDS)
def test_processes_do_what_one_would(world):
    forks.together(__file__, "check", world)


def test_one_process_alone_gathers_nothing():
    x = torch.randn(3, 2, requires_grad=True)
    assert gather_with_grad(x) is x


def check():
    """Make all the checks, in one of the processes."""
    rank, world = dist.get_rank(), dist.get_world_size()
    n = sum(SHARDS[world])
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    labels = torch.randint(4, (n,), generator=torch.Generator().manual_seed(1))
    start = sum(SHARDS[world][:rank])
    rows = slice(start, start + SHARDS[world][rank])
    check_gathering(rank, world, x, rows)
    check_that_all_refuse_what_does_not_fit(rank)
    check_that_all_refuse_what_one_refuses(rank, world, x, labels, rows)
    check_the_loss(rank, x, labels, rows)
    check_training(x, labels, rows)
    if world == 2:
        check_that_parts_alone_are_at_fault(x, labels, rows)
        check_tensors_that_know_of_their_parts(x, labels)
        check_sharded_training(x, labels, rows)
    dist.barrier()


def check_gathering(rank, world, x, rows):
    part = x[rows].clone().requires_grad_()
    whole = gather_with_grad(part)
    assert torch.equal(whole, x)
    factors = torch.arange(x.numel(), dtype=DOUBLE).view_as(x)
    ((rank + 1) * factors * whole).sum().backward()
    uses = sum(range(1, world + 1))  # the first process has used it once, the second twice, ...
    torch.testing.assert_close(part.grad, uses * factors[rows])
    assert torch.equal(part, x[rows])
    if world == 2:  # between two graphs
        translated = torch.compile(lambda own: gather_with_grad(2 * own).square(), backend="eager")
        assert torch.equal(translated(part.detach()), (2 * x).square())
    images = torch.arange(len(x) * 6, dtype=torch.float32).view(len(x), 3, 2)
    assert torch.equal(gather_with_grad(images[rows].mT), images.mT)  # not contiguous
    assert torch.equal(gather_with_grad(torch.arange(rank)), torch.cat([torch.arange(r) for r in range(world)]))


def check_that_all_refuse_what_does_not_fit(rank):
    with pytest.raises(ValueError, match=r"more than the first dimension: \(3,\) and \(4,\)"):
        gather_with_grad(torch.zeros(2, 3 + rank))
    loss = SoftNearestNeighborLoss(gather=True)
    dtype = torch.float32 if rank else DOUBLE
    for work in (gather_with_grad, lambda x: loss(x, torch.arange(2))):
        with pytest.raises(ValueError, match=r"processes 0 and 1 differ in dtype: torch\.float64 and torch\.float32"):
            work(torch.zeros(2, 3, dtype=dtype))
    with pytest.raises(ValueError, match="differ in more than the first dimension"):
        loss(torch.zeros(2, 3 + rank), torch.arange(2))
    with pytest.raises(ValueError, match="differ in whether a gradient is wanted: False and True"):
        loss(torch.zeros(2, 3).requires_grad_(bool(rank)), torch.arange(2))  # some would wait as they go back
    for settings, words in (
        ((1.0 + rank,), "temperature: 1.0 and 2.0"),
        (("learn" if rank else "minimize",), "temperature: minimize and learn"),
        ((1.0, "cosine" if rank else "sqeuclidean"), "distance: sqeuclidean and cosine"),
    ):
        with pytest.raises(ValueError, match=f"processes 0 and 1 differ in {words}"):
            SoftNearestNeighborLoss(*settings, gather=True)(torch.zeros(2, 3), torch.arange(2))


def check_that_all_refuse_what_one_refuses(rank, world, x, labels, rows):
    last = rank == world - 1
    module, x, labels = SoftNearestNeighborLoss(3.0, gather=True), x[rows], labels[rows]
    for kind, words, points, classes in [
        (TypeError, "labels must be integers", x, labels.double()),
        (TypeError, "x must be floating", x.long(), labels),
        (ValueError, "labels must be", x, labels[1:]),
        (ValueError, "n = 0: each process needs a point", x[:0], labels[:0]),
    ]:
        with pytest.raises(kind, match=f"process {world - 1}: .*{words}") as refused:
            module(points, classes) if last else module(x, labels)
        assert (refused.value.__cause__ is not None) == last
    for kind, words, given in [
        (TypeError, "x must be a tensor, not list", [1.0]),
        (TypeError, "x must be dense", x.to_sparse()),
        (ValueError, "x is one number, without rows", x[0, 0]),
    ]:
        with pytest.raises(kind, match=f"process {world - 1}: {words}"):
            gather_with_grad(given if last else x)
    scheduled = SoftNearestNeighborLoss(torch.tensor(3.0, dtype=DOUBLE), gather=True)
    scheduled.temperature.sub_(4 * last)
    with pytest.raises(ValueError, match=rf"process {world - 1}: temperature must be one number in \(0, inf\], not -1"):
        scheduled(x, labels)
    with pytest.raises(RuntimeError, match=r"torch\.func's transforms do not reach into other processes"):
        torch.func.grad(lambda points: module(points, labels))(x)
    with pytest.raises(RuntimeError, match=f"process {world - 1}: MemoryError"):  # which has no words of its own
        agree(mock.Mock(side_effect=MemoryError) if last else lambda: (x,))
    with pytest.raises(ValueError, match=f"process {rank}: "):  # its own fault comes first
        module(x, labels[1:])
    assert module(x, labels).isfinite()  # all are in step again


def check_the_loss(rank, x, labels, rows):
    for distance in ("sqeuclidean", "cosine"):
        for dtype in (DOUBLE, torch.bfloat16):
            part = x[rows].to(dtype).requires_grad_()
            loss = SoftNearestNeighborLoss(3.0, distance, gather=True)(part, labels[rows])
            assert torch.equal(loss, soft_nearest_neighbor_loss(x.to(dtype), labels, 3.0, distance=distance))
            loss.backward()
            assert part.grad.dtype == dtype
    with mock.patch.object(dist, "all_gather_object", wraps=dist.all_gather_object) as asked:
        SoftNearestNeighborLoss(3.0, gather=True)(x[rows], labels[rows])
    assert asked.call_count == 1
    mixed = labels[rows].to([torch.uint8, torch.int16, torch.int64][rank])  # each may hold its labels as it likes
    loss = SoftNearestNeighborLoss(3.0, gather=True)(x[rows], mixed)
    assert torch.equal(loss, soft_nearest_neighbor_loss(x, labels, 3.0))


def network():
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def gradients(module, criterion, x, labels):
    """The loss, and the gradients of all parameters end to end, the criterion's last."""
    loss = criterion(module(x), labels)
    loss.backward()
    own = [*module.parameters(), *criterion.parameters()]
    return loss.detach(), torch.cat([p.grad.flatten() for p in own])


def check_training(x, labels, rows):
    for temperature in (3.0, "minimize", "learn"):
        expected, wanted = gradients(network(), SoftNearestNeighborLoss(temperature).double(), x, labels)
        assert wanted.abs().max() > 1e-3
        criterion = SoftNearestNeighborLoss(temperature, gather=True).double()
        loss, found = gradients(DistributedDataParallel(network()), criterion, x[rows], labels[rows])
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


class Whole(nn.Module):
    """A network with its objective in it."""

    def __init__(self):
        super().__init__()
        self.network, self.objective = network(), SoftNearestNeighborLoss("learn", gather=True).double()

    def forward(self, x, labels):
        return self.objective(self.network(x), labels)


def check_sharded_training(x, labels, rows):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if "ignored_params" not in signature(fully_shard).parameters:  # torch 2.6
        return
    _, wanted = gradients(network(), SoftNearestNeighborLoss("learn").double(), x, labels)
    module = Whole()
    fully_shard(module, mesh=init_device_mesh("cpu", (2,)), ignored_params={module.objective.log_beta})
    module(x[rows], labels[rows]).backward()
    found = [getattr(p.grad, "full_tensor", lambda own=p.grad: own)().flatten() for p in module.parameters()]
    torch.testing.assert_close(torch.cat(found), wanted, rtol=1e-10, atol=1e-10)


def check_that_parts_alone_are_at_fault(x, labels, rows):
    """What gathering is for: the mean of the parts' losses is another loss."""
    _, wanted = gradients(network(), SoftNearestNeighborLoss(3.0), x, labels)
    _, found = gradients(DistributedDataParallel(network()), SoftNearestNeighborLoss(3.0), x[rows], labels[rows])
    assert (found - wanted).norm() > 0.1 * wanted.norm()


def check_tensors_that_know_of_their_parts(x, labels):
    """As sharded modules give them: their operations have other rules, and are not those that the engine needs."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (2,))
    points, classes = (distribute_tensor(each, mesh, [Shard(0)]) for each in (x, labels))
    for call in (soft_nearest_neighbor_loss, SoftNearestNeighborLoss(gather=True), entanglement):
        with pytest.raises(TypeError, match=r"x is a DTensor: give its to_local\(\) where processes share a batch"):
            call(points, labels)
    with pytest.raises(TypeError, match="labels is a DTensor"):
        soft_nearest_neighbor_loss(x, classes)
    loss = SoftNearestNeighborLoss(3.0, gather=True)(points.to_local(), classes.to_local())
    assert torch.equal(loss, soft_nearest_neighbor_loss(x, labels, 3.0))
