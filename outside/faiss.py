"""Approximate nearest neighbours by an index of faiss (the extra `faiss`), for `DeepKNN(index=...)`."""

from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.errors import UsageError
from snnl_core.approximate import Build, Index
from snnl_core.distances import Distance, prepare

CHUNK = 1 << 24
"""Numbers that are copied at a time, beside the copy that the index keeps."""
LEARNT, LEARNT_NUMBERS = 1 << 16, 1 << 27
"""Points that an index learns its cells and codes from, at most, and numbers in them."""


def faiss_index(description: str) -> Build:
    """What makes an index of faiss of each layer: by L2, or for the cosine distance by inner products of unit vectors.

    Args:
        description: of faiss's `index_factory`, such as `HNSW32` or `IVF256,Flat`; after a colon, parameters of the
            search, as `HNSW32:efSearch=200` or `IVF256,Flat:nprobe=16`.

    Raises:
        UsageError: faiss is not installed; or, when an index is made, the description or a parameter is none of its,
            or there are too few points.
    """
    if find_spec("faiss") is None:
        raise UsageError("An approximate index needs faiss-cpu: pip install 'snnl-workbench[faiss]'.")
    return partial(_build, description)


def _build(description: str, points: Tensor, distance: Distance) -> Index:
    import faiss

    factory, _, parameters = description.partition(":")
    metric = faiss.METRIC_INNER_PRODUCT if distance == "cosine" else faiss.METRIC_L2
    n, d = points.shape
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        index = faiss.index_factory(d, factory, metric)
        if not index.is_trained:
            index.train(_array(points[:: -(-n // max(1, min(LEARNT, LEARNT_NUMBERS // d)))], distance))
        for part in points.split(max(1, CHUNK // d)):
            index.add(_array(part, distance))
        if parameters:
            faiss.ParameterSpace().set_index_parameters(index, parameters)  # type: ignore[arg-type]
    except RuntimeError as error:  # whose message begins with the place in faiss's code
        raise UsageError(f"faiss makes no index {description!r} of {n} points: {_last(error)}.") from error
    return partial(_propose, index, distance)


def _propose(index: Any, distance: Distance, queries: Tensor, k: int) -> Tensor:
    return torch.from_numpy(index.search(_array(queries, distance), k)[1])


def _array(points: Tensor, distance: Distance) -> "np.ndarray[Any, Any]":
    """Points (n, d) as faiss takes them: float32, of one length for the cosine distance."""
    x = points.detach().cpu()
    return np.ascontiguousarray(prepare(x if x.dtype == torch.float64 else x.float(), distance).float().numpy())


def _last(error: Exception) -> str:
    return str(error).strip().rpartition(": ")[2]
