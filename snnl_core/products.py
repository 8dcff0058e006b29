"""Products of matrices on processors, by whichever of torch's two libraries is clearly the faster one here.

`torch.mm` goes through MKL, which keeps its wide kernels from processors of other makers; oneDNN, which torch ships for
its layers, does not, and has a tile's product there in less than half of the time. Both are exact float32, and differ
in the last bits: the choice is made once a process, and whoever promises the same bits later keeps it (`use`).
What oneDNN does not take is multiplied as usual: float64, on GPUs, strided rows, and sizes that gain nothing.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from snnl_core.distances import full_precision
from snnl_core.shares import set_threads

MKL, ONEDNN = "mkl", "onednn"
WAYS = (MKL, ONEDNN)
VARIABLE = "SNNL_PRODUCTS"
"""The variable of the environment that names the library of this process and of those that it starts."""
CLEARLY = 1.6
"""oneDNN is taken where it is so many times as fast. Where MKL keeps to narrow kernels it is more than twice as fast,
elsewhere hardly faster: far from either, so that what else the machine does decides nothing."""
ROUNDS = 9
"""How often each is timed, in turn; the fastest time counts."""
FINE = 1e-5
"""Seconds: how finely a clock tells times that are to be compared."""
FEWEST, LARGEST = 1 << 18, 1 << 22
"""Multiplications from which oneDNN pays for being called, and entries of a product up to which it is the faster."""
LINE = 64
"""Bytes of a line of a processor's cache, at whose beginning rows are best written."""
ROWS_BY, COLUMNS_BY = 32, 128
"""For oneDNN the rows of a tile's product are rounded up to a multiple of the first, its columns, or what is summed
over, to one of the second: it compiles code for every shape anew, about a millisecond's work and 0.4 MB, and tiles have
as many shapes as classes have sizes."""
LONG, STRIPS = 2048, 4
"""Dimensions from which a symmetric product is worth being made of strips that begin at the diagonal, and how many."""


def way() -> str:
    """The library of this process: the one that the variable names, or that is now found and written there.

    So processes that this one starts take the same.

    Raises:
        ValueError: the variable names none.
    """
    named = os.environ.get(VARIABLE)
    if named in WAYS:
        return named
    use(named or _faster())
    return os.environ[VARIABLE]


def use(name: str) -> None:
    """Take a library from here on; where oneDNN is named and torch has none, torch.mm's is taken all the same.

    Raises:
        ValueError: the name is neither `mkl` nor `onednn`.
    """
    if name not in WAYS:
        raise ValueError(f"{VARIABLE} is {name!r}; known: {', '.join(WAYS)}.")
    os.environ[VARIABLE] = name


@contextmanager
def restored() -> Iterator[None]:
    """What is taken inside holds no longer than that."""
    before = os.environ.get(VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def inner(
    a: Tensor,
    b: Tensor,
    *,
    factor: float = 1.0,
    plus: Tensor | None = None,
    out: Tensor | None = None,
    tile: bool = False,
) -> Tensor:
    """factor a b' + plus, for a (n, d), b (m, d) and plus (m,): (n, m), in `out` or in a tensor of its own.

    With `tile`, its shape is one of many, and may be rounded: then it is part of a larger product. This and what
    follows is for where nothing is to be differentiated, within `distances.full_precision`.
    """
    if _suits(a.numel() * len(b), len(a) * len(b), a, b):
        if tile:
            return _tile(a, b, factor, plus)
        return _linear(a if factor == 1 else a * factor, b, plus)
    if plus is not None:
        return torch.addmm(plus, a, b.T, alpha=factor, out=out)
    if factor == 1:
        return torch.mm(a, b.T, out=out)
    out = a.new_empty(len(a), len(b)) if out is None else out
    return torch.addmm(out, a, b.T, beta=0, alpha=factor, out=out)


def combined(weights: Tensor, x: Tensor) -> Tensor:
    """The sums of points x (m, d) with weights (n, m): (n, d)."""
    return _linear(weights.contiguous(), x.T, None) if _combines(weights, x) else weights @ x


def add_combined(into: Tensor, weights: Tensor, x: Tensor) -> None:
    """Add those to a tensor (n, d); the weights are a tile's, and the points some of a matrix of finite numbers."""
    if _combines(weights, x):
        x, before, after = _with_neighbors(x, COLUMNS_BY)
        more = (before, after, 0, -len(weights) % ROWS_BY)
        weights = F.pad(weights, more) if any(more) else weights
        into += _linear(weights.contiguous(), x.T, None)[: len(into)]
    else:
        into.addmm_(weights, x)


def spacing(columns: int, x: Tensor) -> int:
    """Entries from a row to the next where a product of points like x is best written.

    MKL takes a third longer where rows begin amid a line of the cache. oneDNN writes to memory of its own, and reads
    rows that follow each other.
    """
    if x.is_cpu and way() == ONEDNN:
        return columns
    line = LINE // x.element_size()
    return _up_to(line, columns)


def empty(shape: tuple[int, int], x: Tensor) -> Tensor:
    """Memory for a product of a shape, with such rows."""
    return x.new_empty(shape[0], spacing(shape[1], x))[:, : shape[1]]


def entries(shape: tuple[int, int], x: Tensor) -> int:
    """Entries of the memory that a tile's product of points like x takes, at most."""
    rows, columns = shape
    if x.is_cpu and way() == ONEDNN:
        return _up_to(ROWS_BY, rows) * _up_to(COLUMNS_BY, columns)
    return rows * spacing(columns, x)


def gram(x: Tensor) -> Tensor:
    """x x' (n, n) of points (n, d), not much more than half of it computed where that pays."""
    n, d = x.shape
    if d < LONG:
        return inner(x, x)
    product, edges = x.new_empty(n, n), [n * i // STRIPS for i in range(STRIPS + 1)]
    for start, stop in pairwise(edges):
        product[start:stop, start:] = inner(x[start:stop], x[start:])
        product[stop:, start:stop] = product[start:stop, stop:].T
    return product


def _up_to(multiple: int, count: int) -> int:
    """A count, rounded up."""
    return -(-count // multiple) * multiple


def _combines(weights: Tensor, x: Tensor) -> bool:
    return _suits(weights.numel() * x.shape[1], len(weights) * x.shape[1], x)


def _suits(multiplications: int, entries: int, *whole: Tensor) -> bool:
    """Whether a product is one for oneDNN; `whole` is to be contiguous: by strides it takes a hundred times as long."""
    if multiplications < FEWEST or entries > LARGEST or not all(x.is_cpu and x.dtype == torch.float32 for x in whole):
        return False
    return way() == ONEDNN and all(x.is_contiguous() for x in whole) and _works()


def _tile(a: Tensor, b: Tensor, factor: float, plus: Tensor | None) -> Tensor:
    """factor a b' + plus, from a product of a rounded shape."""
    rows, columns = len(a), len(b)
    a, above, _ = _with_neighbors(a, ROWS_BY)
    b, before, after = _with_neighbors(b, COLUMNS_BY)
    if plus is not None and before + after:
        plus = F.pad(plus, (before, after))
    return _linear(a if factor == 1 else a * factor, b, plus)[above : above + rows, before : before + columns]


def _with_neighbors(x: Tensor, multiple: int) -> tuple[Tensor, int, int]:
    """Whole rows with those beside them in memory, so that they are a multiple, and how many are before and after.

    Rows beside which there are too few stay as they are.
    """
    rows, d, start = len(x), x.shape[1], int(x.storage_offset())
    more = -rows % multiple
    after = min(more, (x.untyped_storage().nbytes() // x.element_size() - start) // max(1, d) - rows)
    before = more - after
    if before * d > start:
        return x, 0, 0
    return x.as_strided((rows + more, d), (d, 1), start - before * d), before, after


def _linear(a: Tensor, b: Tensor, plus: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, plus, "none", [], "")
    return found


@cache
def _works() -> bool:
    """Whether the operator, which is torch's own and may change, is there and multiplies."""
    a, b, plus = (torch.arange(float(n), device="cpu") for n in (6, 12, 4))
    a, b = a.view(2, 3), b.view(4, 3)
    try:
        with full_precision(a.device):
            found = _linear(a, b, plus), _linear(a, b.T.contiguous().T, None)
        return torch.equal(found[0], a @ b.T + plus) and torch.equal(found[1], a @ b.T)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False


def _faster() -> str:
    """The library that has the product of a small tile sooner: some milliseconds' work.

    With one thread, and by its processor's time: several wait for each other, and where something else has their cores,
    that is what would be timed.
    """
    if not _works():
        return MKL
    a, b = torch.ones(256, 256, device="cpu"), torch.ones(1024, 256, device="cpu")
    works = {MKL: partial(torch.mm, a, b.T, out=a.new_empty(256, 1024)), ONEDNN: partial(_linear, a, b, None)}
    threads = torch.get_num_threads()
    try:
        set_threads(1)
        with torch.no_grad(), full_precision(a.device):
            rounds = [{name: _seconds(work) for name, work in works.items()} for _ in range(ROUNDS)]
    finally:
        set_threads(threads)
    mkl, onednn = (min(each[name] for each in rounds) for name in WAYS)
    return ONEDNN if mkl > CLEARLY * onednn else MKL


def _seconds(work: Callable[[], object]) -> float:
    """Those of the processor where the system counts them finely, which Windows does not."""
    clock = time.thread_time if time.get_clock_info("thread_time").resolution < FINE else time.perf_counter
    start = clock()
    work()
    return clock() - start
