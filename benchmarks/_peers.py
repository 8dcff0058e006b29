"""The fastest product of a shape, and the exact nearest neighbours of others, to compare the engine with."""

from functools import partial

import _rounds
import torch
from _losses import product

from snnl_core import products
from snnl_core.distances import full_precision

ROWS, COLUMNS = 512, 2048
"""Of a tile of products."""


def faiss_search(q, n, d, k):
    """faiss's flat index by Euclidean distance, filled, by how it keeps the nearest: in heaps, or in a reservoir."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index, queries = faiss.IndexFlatL2(d), torch.randn(q, d, device="cpu").numpy()
    index.add(torch.randn(n, d, device="cpu").numpy())

    def search(reservoir_from):
        faiss.cvar.distance_compute_min_k_reservoir = reservoir_from
        index.search(queries, k)

    return {"heaps": partial(search, k + 1), "reservoir": partial(search, 1)}


def scikit_learn_nearest(n, d):
    """scikit-learn's brute force: the nearest other point of each."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(torch.randn(n, d, device="cpu").numpy())
    return found.kneighbors


def fastest_product(x):
    """O's work: the same product, in one piece or in tiles by either library, whichever is the fastest."""
    x = x.detach()
    out = torch.empty(len(x), len(x))

    def in_tiles(name):
        with products.restored(), full_precision(x.device):
            products.use(name)
            for rows in range(0, len(x), ROWS):
                for columns in range(0, len(x), COLUMNS):
                    tile = out[rows : rows + ROWS, columns : columns + COLUMNS]
                    products.inner(x[rows : rows + ROWS], x[columns : columns + COLUMNS], out=tile)

    ways = [product(x), *(partial(in_tiles, name) for name in products.WAYS)]
    return min(ways, key=lambda way: min(_rounds.seconds(way) for _ in range(3)))
