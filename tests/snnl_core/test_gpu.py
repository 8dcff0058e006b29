"""The engine on a GPU, a pretended one and, where there is one, a real one, against float64 on the processor."""

import warnings

import forks
import pytest
import torch
from pretended import GPU, pretended_gpu
from torch import distributed as dist

from snnl_core import (
    DeepKNN,
    EntanglementMonitor,
    SoftNearestNeighborLoss,
    entanglement,
    kernel,
    nearest_neighbors,
    pairs,
    temperature,
    tiles,
)
from snnl_core import soft_nearest_neighbor_loss as snnl
from snnl_core.distributed import exchange, gather, meeting_place, of_the_first, reduced

N = 40
LABELS = torch.arange(N) % 4
X = torch.randn(N, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.6 * torch.eye(4, 6)[LABELS]
EPS = torch.finfo(torch.float32).eps
TEMPERATURE = 3.0


@pytest.fixture(params=["direct", "tiles", "kernel"])
def path(request, monkeypatch):
    """Each way of working, whatever the number of points, in few tiles."""
    monkeypatch.setattr(pairs, "SMALL", N if request.param == "direct" else 0)
    for name, size in (("ROWS", 24), ("CUDA_ROWS", 24), ("ENTRIES", 576)):
        monkeypatch.setattr(tiles, name, size)
    monkeypatch.setattr(temperature, "ENTRIES", 4000)
    if request.param == "tiles":
        monkeypatch.setattr(kernel, "ROOM", {torch.float32: -1.0, torch.float64: -1.0})


@pytest.fixture(scope="module")
def whole():
    """The points measured on the processor, all at once."""
    return entanglement(X, LABELS)


def error(temperature, x=X):
    """What float32 may change a loss by: twice beta times the error of a distance, d + 3 roundings of its parts."""
    reach = 4 * float((x - x.mean(0)).square().sum(1).max())
    return 2 * (x.shape[1] + 3) * EPS * reach / temperature + 8 * EPS


def differentiated(loss, x, *more):
    x = x.clone().requires_grad_()
    value = loss(x, *more)
    value.backward()
    return value.detach(), x.grad


def check(found, expected, slack):
    torch.testing.assert_close(found.cpu().double(), expected.detach(), rtol=0, atol=slack)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_loss_and_gradient(gpu, path, reference, dtype, distance):
    naive = lambda x: reference(x, LABELS, TEMPERATURE, distance).mean()  # noqa: E731
    value, gradient = differentiated(naive, X)
    found, own = differentiated(snnl, X.to(gpu, dtype), LABELS.to(gpu), TEMPERATURE)
    if distance == "cosine":
        found, own = differentiated(lambda x: snnl(x, LABELS.to(gpu), TEMPERATURE, distance=distance), X.to(gpu, dtype))
    assert found.device.type == own.device.type == gpu.type and own.dtype == dtype
    # Near by, the gradient is some of the points, weighted, each weight being as far off as the loss.
    slack = 1e-12 if dtype == torch.float64 else error(TEMPERATURE)
    check(found, value, slack)
    check(own, gradient, slack * float(X.abs().max()))
    each = snnl(X.to(gpu, dtype), LABELS.to(gpu), TEMPERATURE, distance=distance, reduction="none")
    check(each, reference(X, LABELS, TEMPERATURE, distance), slack)


def test_the_minimum_over_the_temperature(gpu, path, whole):
    for dtype in (torch.float64, torch.float32):
        best = SoftNearestNeighborLoss()
        found, own = differentiated(best, X.to(gpu, dtype), LABELS.to(gpu))
        slack = 1e-6 * whole.loss + (0 if dtype == torch.float64 else error(whole.temperature))
        assert found.item() == pytest.approx(whole.loss, rel=0, abs=slack)
        assert own.cpu().isfinite().all() and best.at_limit["none"] == 1


def test_a_learned_temperature_has_its_gradient(gpu, path, reference):
    module = SoftNearestNeighborLoss("learn", start=2.0).to(gpu)
    module(X.to(gpu), LABELS.to(gpu)).backward()
    log_beta = torch.tensor(0.5, dtype=torch.float64, device="cpu").log().requires_grad_()
    reference(X, LABELS, 1 / log_beta.exp()).mean().backward()
    check(module.log_beta.grad, log_beta.grad, 1e-6)


@pytest.mark.parametrize("settings", [{}, {"anchors": 25, "groups": LABELS % 3 - 1}])
@pytest.mark.parametrize("path", ["direct", "tiles"], indirect=True)
def test_a_measurement(gpu, path, reference, whole, settings):
    there = {name: value.to(gpu) if name == "groups" else value for name, value in settings.items()}
    found, expected = entanglement(X.to(gpu), LABELS.to(gpu), **there), whole
    if settings:
        expected = entanglement(X, LABELS, **settings)
    assert found.loss == pytest.approx(expected.loss, rel=1e-9) and found.n_valid == expected.n_valid
    torch.testing.assert_close(found.per_sample.cpu(), expected.per_sample, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.class_pairs.cpu(), expected.class_pairs, rtol=1e-4, atol=1e-6)
    for name in ("by_class", "by_group"):
        scores = [{key: part.score for key, part in getattr(each, name).items()} for each in (found, expected)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-9)
    single = entanglement(X.float().to(gpu), LABELS.to(gpu), **there)
    assert single.loss == pytest.approx(expected.loss, rel=1e-6, abs=error(expected.temperature))
    if not settings:
        at_best = reference(X, LABELS, found.temperature)
        check(found.per_sample, at_best, 1e-9)


def test_what_float32_does_not_hold_is_measured_in_float64(gpu, whole):
    far = X.float()
    far[0] *= 1e5
    found, expected = entanglement(far.to(gpu), LABELS.to(gpu)), entanglement(far.double(), LABELS)
    assert found.per_sample.dtype == torch.float64
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    tiny = X.float() * 2.0**-70
    assert entanglement(tiny.to(gpu), LABELS.to(gpu)).score == pytest.approx(whole.score, rel=1e-4)
    assert SoftNearestNeighborLoss()(tiny.to(gpu), LABELS.to(gpu)).item() > 0


def test_a_sample_of_layers_on_it(gpu):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitors = [EntanglementMonitor(20) for _ in range(2)]
        for rows in torch.arange(N).split(10):
            monitors[0].update({"a": X[rows].to(gpu)}, LABELS[rows].to(gpu))
            monitors[1].update({"a": X[rows]}, LABELS[rows])
        found, expected = (monitor.compute()["a"] for monitor in monitors)
    assert found.loss == expected.loss


def test_no_transform_is_left_out(gpu):
    x, labels = X.to(gpu), LABELS.to(gpu)
    gradient = torch.func.grad(lambda x: snnl(x, labels, TEMPERATURE))(x)
    torch.testing.assert_close(gradient.cpu(), differentiated(snnl, x, labels, TEMPERATURE)[1].cpu(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("path", ["direct", "kernel"], indirect=True)
def test_a_caller_who_rounds_products_changes_nothing(gpu, path, whole, autocast):
    """Points to which ten bits of a product are too few: by TF32 or bf16 the loss would be far off."""
    x, labels = X.float().to(gpu) + 30, LABELS.to(gpu)
    exact = snnl(X + 30, LABELS, TEMPERATURE)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast(gpu.type, torch.bfloat16, enabled=autocast):
            found, gradient = differentiated(snnl, x, labels, TEMPERATURE)
            measured = entanglement(x, labels)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    # The mean of coordinates of size 30 is rounded, but it moves all points alike.
    check(found, exact, error(TEMPERATURE) + 64 * EPS * float(X.abs().max()))
    assert gradient.dtype == found.dtype == torch.float32
    assert measured.loss == pytest.approx(whole.loss, abs=1e-4)


def test_the_pretended_one_refuses_what_a_real_one_refuses():
    with pretended_gpu():
        there = X.to(GPU)
        for wrong in (
            lambda: there + X,
            lambda: there @ X.T,
            lambda: X[(there > 0).any(1)],
            lambda: there.numpy(),
            lambda: torch.randperm(3, generator=torch.Generator(), device=GPU),
            lambda: torch.cat([there, X]),
        ):
            with pytest.raises((RuntimeError, TypeError, NotImplementedError)):
                wrong()
        assert float((there + torch.tensor(1.0)).sum()) == pytest.approx(float((X + 1).sum()))
        assert torch.equal(there[torch.arange(3)].cpu(), X[:3])
        assert torch.tensor([1.0, 2.0], device=GPU).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("itself", [False, True])
def test_neighbours(gpu, distance, itself):
    """Whole numbers, whose distances are exact and have many ties; the queries or the points may lie elsewhere."""
    points = torch.randint(-3, 4, (N, 5), generator=torch.Generator().manual_seed(1)).float()
    points[::7] = 0
    k = N - 1
    expected = nearest_neighbors(points, points, k, distance=distance, exclude_self=itself)
    for queries, bank in ((gpu, gpu), (gpu, "cpu"), ("cpu", gpu)):
        found = nearest_neighbors(points.to(queries), points.to(bank), k, distance=distance, exclude_self=itself)
        assert {each.device.type for each in found} == {torch.device(queries).type}
        torch.testing.assert_close(found[0].cpu(), expected[0], rtol=8 * EPS, atol=8 * EPS)
        if distance == "sqeuclidean":
            assert torch.equal(found[1].cpu(), expected[1])
        else:  # rounding parts what is equally near
            apart = nearest_neighbors(points, points, N - itself, distance=distance, exclude_self=itself)
            of = torch.empty(N, N).scatter_(1, apart[1], apart[0])
            torch.testing.assert_close(of.gather(1, found[1].cpu()), found[0].cpu(), rtol=8 * EPS, atol=8 * EPS)


@pytest.mark.cuda
def test_a_thousand_neighbours_of_many_points_by_either_device():
    draw = torch.Generator().manual_seed(2)
    points, queries = (torch.randint(-8, 9, (n, 12), generator=draw).float() for n in (40_000, 300))
    expected = nearest_neighbors(queries, points, 1000)
    out = torch.empty(300, 1000), torch.empty(300, 1000, dtype=torch.int64)
    for found in (
        nearest_neighbors(queries.cuda(), points.cuda(), 1000),
        nearest_neighbors(queries.cuda(), points, 1000, out=out),
    ):
        torch.testing.assert_close(found[0].cpu(), expected[0])
        assert torch.equal(found[1].cpu(), expected[1])


@pytest.mark.parametrize("mode", ["valid", "smoothed"])
def test_p_values(gpu, mode):
    points = torch.randint(-3, 4, (N, 5), generator=torch.Generator().manual_seed(1)).float()
    found = []
    for bank, device in (("cpu", "cpu"), (gpu, gpu), ("cpu", gpu), (gpu, "cpu")):
        knn = DeepKNN(3, "sqeuclidean", mode).fit({"a": points[:20].to(bank)}, LABELS[:20].to(bank))
        with warnings.catch_warnings(action="ignore"):
            knn.calibrate({"a": points[20:30].to(device)}, LABELS[20:30].to(device), allow_overlap=True)
        draw = torch.Generator().manual_seed(0)
        logits = torch.arange(40.0).view(10, 4).to(device)
        found.append(knn.predict({"a": points[30:].to(device)}, logits, generator=draw))
    for other in found[1:]:
        for name in ("labels", "p_values", "credibility", "confidence", "nonconformity"):
            assert torch.equal(getattr(other, name).cpu(), getattr(found[0], name)), name
        assert torch.equal(other.neighbors["a"].cpu(), found[0].neighbors["a"])


@pytest.mark.cuda
def test_two_processes_share_one_gpu():
    """With gloo, as NCCL refuses one card for two processes."""
    forks.together(__file__, "check_together", 2, "cuda")


def check_together(device):
    """In each of them: its part of the points against all of them in one process, on the processor."""
    rows = slice(0, 15) if dist.get_rank() == 0 else slice(15, N)
    x, labels = X[rows].to(device), LABELS[rows].to(device)
    whole, gradient = differentiated(SoftNearestNeighborLoss(), X, LABELS)
    found, own = differentiated(SoftNearestNeighborLoss(gather=True), x, labels)
    check(found, whole, 1e-9)
    check(own, 2 * gradient[rows], 1e-6)  # summed over both, as DistributedDataParallel will halve it
    measured, expected = entanglement(x, labels, sharded=True), entanglement(X, LABELS)
    assert measured.loss == pytest.approx(expected.loss, rel=1e-9)
    check(measured.per_sample, expected.per_sample[rows], 1e-6)
    knns = DeepKNN(3, "sqeuclidean", sharded=True), DeepKNN(3, "sqeuclidean")
    with warnings.catch_warnings(action="ignore"):
        for knn, points, classes in zip(knns, (x, X), (labels, LABELS), strict=True):
            knn.fit({"a": points}, classes).calibrate({"a": points}, classes, allow_overlap=True)
        p_values = [knn.predict({"a": points}).p_values for knn, points in zip(knns, (x, X), strict=True)]
    assert torch.equal(p_values[0].cpu(), p_values[1][rows])


@pytest.mark.parametrize("config, place", [("cpu:gloo,cuda:gloo", "cpu"), ("cpu:gloo,cuda:nccl", "cuda")])
def test_gloo_sends_what_lies_on_a_gpu_by_way_of_the_processor(monkeypatch, config, place):
    """For from one process to another it takes nothing else."""
    sent: list[torch.Tensor] = []
    monkeypatch.setattr(dist, "get_backend_config", lambda: config.replace("cuda", GPU.type))
    monkeypatch.setattr(dist, "P2POp", lambda what, x, peer: sent.append(x))
    monkeypatch.setattr(dist, "batch_isend_irecv", lambda operations: [])
    with pretended_gpu():
        received = exchange(X.to(GPU), 1, 1, (3, 6))
    assert received.device == GPU and received.shape == (3, 6)
    assert {x.device.type for x in sent} == {place.replace("cuda", GPU.type)}


def test_with_nccl_alone_what_lies_on_the_processor_meets_on_the_gpu(monkeypatch):
    met: list[torch.Tensor] = []
    monkeypatch.setattr(dist, "get_backend_config", lambda: f"{GPU.type}:nccl")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert meeting_place(X) == torch.device("cuda", 3)
    monkeypatch.setattr("snnl_core.distributed.meeting_place", lambda x: GPU)
    monkeypatch.setattr(dist, "all_gather", lambda parts, x: [met.append(x), *(part.copy_(x) for part in parts)])
    monkeypatch.setattr(dist, "all_reduce", met.append)
    monkeypatch.setattr(dist, "broadcast", lambda x, source: met.append(x))
    monkeypatch.setattr(dist, "P2POp", lambda what, x, peer: met.append(x))
    monkeypatch.setattr(dist, "batch_isend_irecv", lambda operations: [])
    with pretended_gpu():
        assert meeting_place(X.to(GPU)) == GPU
        assert torch.equal(gather(X, [N, N - 1]), torch.cat([X, X[:-1]]))
        assert torch.equal(reduced(X.T), X.T) and torch.equal(of_the_first(X), X)
        assert exchange(X, 1, 1, (3, 6)).device.type == "cpu"
    assert len(met) == 5 and {x.device.type for x in met} == {GPU.type}
    assert all(x.is_contiguous() for x in met)
