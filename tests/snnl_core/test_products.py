"""Products by either library against float64, and which library is taken, where and for how long."""

import os
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnl_core import SoftNearestNeighborLoss, entanglement, products
from snnl_core import soft_nearest_neighbor_loss as snnl
from snnl_core.distances import full_precision
from snnl_core.kernel import KEPT, Kernel
from snnl_core.pairs import all_pairs
from snnl_core.tiles import Points, Workspace, tile_size

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def unnamed(monkeypatch):
    """No library is named yet, and what a test names is forgotten after it."""
    monkeypatch.delenv(products.VARIABLE, raising=False)
    with products.restored():
        yield


@pytest.fixture(params=products.WAYS)
def library(request, monkeypatch):
    """Each of them, whatever the size of a product."""
    monkeypatch.setattr(products, "FEWEST", 0)
    products.use(request.param)
    return request.param


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check(found, a, b):
    """Found are the sums over the last dimension of a (n, 1, d) b (1, m, d), to the error that any order has."""
    a, b = a.double(), b.double()
    slack = (a.shape[1] + 3) * torch.finfo(torch.float32).eps * (a.abs() @ b.abs().T)
    assert found.dtype == torch.float32
    assert bool(((found - a @ b.T).abs() <= slack).all())


@pytest.mark.parametrize("n, m, d", [(1, 1, 1), (1, 40, 3), (33, 5, 1), (64, 130, 67), (512, 2048, 31), (48, 40, 2049)])
def test_products_are_exact_float32_by_either_library(library, n, m, d):
    a, b, plus = draw(n, d), draw(m, d, seed=1), draw(m, seed=2)
    one = torch.ones(n, 1)
    with full_precision(CPU):
        for out in (None, torch.empty(n, m)):
            check(products.inner(a, b, out=out), a, b)
            shifted = products.inner(a, b, factor=-2, plus=plus, out=out)
            check(shifted, torch.cat([-2 * a, one], 1), torch.cat([b, plus[:, None]], 1))
            check(products.inner(a, b, factor=0.7, out=out), 0.7 * a, b)
        weights, into = draw(n, m, seed=3), draw(n, d, seed=4)
        check(products.combined(weights, b), weights, b.T)
        sums = into.clone()
        products.add_combined(sums, weights, b)
        check(sums, torch.cat([weights, torch.eye(n)], 1), torch.cat([b, into]).T)
        check(products.combined(weights.T, a), weights.T, a.T)
        check(products.gram(a), a, a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_tiles_begin_where_the_library_writes_fast(library, dtype):
    x = torch.zeros(3000, 2, dtype=dtype)
    rows, entries = tile_size(x)
    many, few = (Points(part, part[:, 0].long(), part[:, 0].long()) for part in (x, x[:33]))
    for a, shape in (
        (few, (1, 1)),
        (few, (33, 7)),
        (few, (33, 33)),
        (many, (1, 3000)),
        (many, (rows, entries // rows)),
        (many, (rows, entries // rows - 1)),
        (many, (rows - 1, entries // (rows - 1))),
    ):
        room = Workspace(a, a, 2)
        for tensor in (*room.tensors(shape), products.empty(shape, x)):
            assert tensor.shape == shape
            if library == products.ONEDNN:
                assert tensor.is_contiguous()
            else:
                assert tensor.stride(1) == 1 and tensor[:, 0].data_ptr() % products.LINE == 0
                assert tensor.stride(0) * tensor.element_size() % products.LINE == 0
        one, other = (tensor.fill_(value) for value, tensor in enumerate(room.tensors(shape)))
        assert not one.any() and other.all()  # neither reaches into the other


def strided(data, rows, columns, seed):
    """A matrix that is whole, every other column of one, one turned, or one row again and again."""
    kind = data.draw(st.sampled_from(["whole", "columns", "rows", "turned", "one"]))
    whole = draw(2 * rows, 2 * columns, seed=seed)
    parts = {"whole": whole[:rows, :columns].contiguous(), "columns": whole[:rows, ::2], "rows": whole[::2, :columns]}
    parts |= {"turned": draw(columns, rows, seed=seed).T, "one": whole[:1, :columns].expand(rows, columns)}
    return parts[kind]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_strides_and_dtypes_change_no_product(data):
    n, m, d = (data.draw(st.integers(0 if name == "n" else 1, 40)) for name in "nmd")
    a, b, weights = strided(data, n, d, 0), strided(data, m, d, 1), strided(data, n, m, 2)
    with pytest.MonkeyPatch.context() as patch, full_precision(CPU):
        patch.setattr(products, "FEWEST", 0)
        patch.setenv(products.VARIABLE, products.ONEDNN)
        for tile in (False, True):
            check(products.inner(a, b, tile=tile), a, b)
        check(products.combined(weights, b), weights, b.T)
        sums = torch.zeros(n, d)
        products.add_combined(sums, weights, b)
        check(sums, weights, b.T)
        assert torch.equal(products.inner(a.double(), b.double()), a.double() @ b.double().T)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_what_lies_beside_rows_changes_no_product(data):
    """Tiles are rows amid a matrix: at its beginning, at its end, or all of it."""
    d = data.draw(st.integers(1, 9))
    (a, kept), (b, kept_b) = (amid(data, d, seed) for seed in (0, 1))
    plus, weights = draw(len(kept_b), seed=2), draw(len(kept), len(kept_b), seed=3)
    with pytest.MonkeyPatch.context() as patch, full_precision(CPU):
        patch.setattr(products, "FEWEST", 0)
        patch.setenv(products.VARIABLE, products.ONEDNN)
        sums = torch.zeros(len(kept), d)
        products.add_combined(sums, weights, kept_b)
        check(sums, weights, kept_b.T)
        for whole, rows in ((a, kept), (b, kept_b)):
            outside = torch.ones(len(whole), dtype=torch.bool)
            start = rows.storage_offset() // d
            outside[start : start + len(rows)] = False
            whole[outside] = torch.nan
        one = torch.ones(len(kept), 1)
        for factor in (1, -2):
            found = products.inner(kept, kept_b, factor=factor, plus=plus, tile=True)
            check(found, torch.cat([factor * kept, one], 1), torch.cat([kept_b, plus[:, None]], 1))
            check(products.inner(kept, kept_b, factor=factor, tile=True), factor * kept, kept_b)


def amid(data, d, seed):
    """A matrix, and some of its rows."""
    rows, before, after = (data.draw(st.integers(low, 200)) for low in (1, 0, 0))
    whole = draw(before + rows + after, d, seed=seed)
    return whole, whole[before : before + rows]


@pytest.mark.parametrize("temperature", [50.0, "minimize"])
def test_classes_of_other_sizes_ask_for_no_other_shapes(monkeypatch, temperature):
    """oneDNN compiles code for each."""
    shapes, linear = [], products._linear

    def seen(a, b, plus):
        shapes.append((len(a), *b.shape))
        return linear(a, b, plus)

    products.use(products.ONEDNN)
    assert products._works()
    monkeypatch.setattr(products, "_linear", seen)
    x, loss = draw(1500, 32).requires_grad_(), SoftNearestNeighborLoss(temperature)
    for seed in range(4):
        labels = torch.randint(4, (len(x),), generator=torch.Generator().manual_seed(seed))
        loss(x, labels).backward()
    assert 4 * len(set(shapes)) < len(shapes)
    for rows, others, inner in set(shapes):
        assert rows % products.ROWS_BY == 0
        assert (others if inner == 32 else inner) % products.COLUMNS_BY == 0


def test_tiles_that_are_kept_stay_within_their_bound(library):
    labels = torch.randint(4, (1500,), generator=torch.Generator().manual_seed(0))
    for d in range(48, 96, 4):
        x = draw(1500, d)
        kernel = Kernel.of(all_pairs(x, labels).points, torch.tensor(0.01))
        with full_precision(CPU), torch.no_grad():
            kernel.masses(keep=True)
        held = sum(tile.untyped_storage().nbytes() // tile.element_size() for tile in kernel.kept.values())
        assert 2 * x.numel() < held <= KEPT * x.numel()


def test_the_faster_library_is_taken_where_it_clearly_is(monkeypatch):
    for mkl, onednn, found in ((1.0, 1.0, "mkl"), (1.4, 1.0, "mkl"), (2.0, 1.0, "onednn"), (1.0, 2.0, "mkl")):
        taken = iter([mkl, onednn] * products.ROUNDS)  # in turn, so that what disturbs one disturbs the other
        monkeypatch.setattr(products, "_seconds", lambda work, taken=taken: next(taken))
        with products.restored():
            assert products.way() == found == os.environ[products.VARIABLE]
            assert products.way() == found  # though nothing more is timed
    assert products.VARIABLE not in os.environ


def test_the_libraries_are_timed_with_one_thread(monkeypatch):
    """Several wait for each other: on a busy machine half of all processes took the slower library for the faster."""
    threads, seen = torch.get_num_threads(), []
    monkeypatch.setattr(products, "_seconds", lambda work: seen.append(torch.get_num_threads()) or 1.0)
    try:
        torch.set_num_threads(3)
        assert products._faster() == "mkl"
        assert torch.get_num_threads() == 3 and {*seen} == {1}
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(time.get_clock_info("thread_time").resolution >= products.FINE, reason="no fine clock of threads")
def test_time_that_others_have_the_processor_does_not_count():
    """As on a busy machine, where what comes second would look slow."""
    assert products._seconds(lambda: time.sleep(0.05)) < 0.01
    assert products._seconds(lambda: sum(range(200_000))) > 0


def test_the_variable_names_it(monkeypatch):
    monkeypatch.setattr(products, "_seconds", None)  # nothing is timed
    monkeypatch.setenv(products.VARIABLE, "onednn")
    assert products.way() == "onednn"
    with products.restored():
        products.use("mkl")
        assert products.way() == "mkl"
    assert products.way() == "onednn"
    monkeypatch.setenv(products.VARIABLE, "blas")
    with pytest.raises(ValueError, match="SNNL_PRODUCTS is 'blas'; known: mkl, onednn"):
        products.way()


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError, None])
def test_torch_without_the_operator_multiplies_as_usual(monkeypatch, error):
    """It is absent, refuses, takes other arguments, or gives something else."""

    def linear(a, b, plus):
        if error:
            raise error("no such operator")
        return a.new_zeros(len(a), len(b))

    monkeypatch.setattr(products, "_linear", linear)
    monkeypatch.setattr(products, "_works", products._works.__wrapped__)
    monkeypatch.setattr(products, "FEWEST", 0)
    assert products._faster() == "mkl"
    products.use("onednn")
    a, b = draw(3, 4), draw(5, 4, seed=1)
    assert torch.equal(products.inner(a, b), a @ b.T)


def test_the_engine_finds_the_same_by_either_library(library, path, reference):
    x, labels = draw(40, 6).requires_grad_(), torch.arange(40) % 3
    with torch.autocast("cpu", torch.bfloat16):  # which is switched off inside
        loss = snnl(x, labels, 5.0)
    loss.backward()
    exact = x.detach().double().requires_grad_()
    expected = reference(exact, labels, 5.0).mean()
    expected.backward()
    torch.testing.assert_close(loss, expected.float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(x.grad, exact.grad.float(), rtol=0, atol=1e-5 * float(exact.grad.abs().max()))
    found, precise = (entanglement(points.detach(), labels) for points in (x, exact))
    assert found.loss == pytest.approx(precise.loss, rel=1e-5)
    torch.testing.assert_close(found.class_pairs, precise.class_pairs.float(), rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="this torch has no such switch")
def test_a_caller_who_computes_in_bf16_changes_nothing(library):
    a, b, switch = draw(64, 64), draw(64, 64, seed=1), torch.backends.mkldnn.matmul
    before, switch.fp32_precision = switch.fp32_precision, "bf16"
    try:
        with full_precision(CPU):
            check(products.inner(a, b), a, b)
            check(products.combined(a, b), a, b.T)
    finally:
        switch.fp32_precision = before
