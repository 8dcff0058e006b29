"""Points of many dimensions in the plane."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

AXES = 50
"""Principal axes that are kept at most before t-SNE."""


def plane(points: "np.ndarray[Any, Any]", perplexity: float, seed: int) -> "np.ndarray[Any, Any]":
    """Points (n, d) in the plane, float32 (n, 2): principal components, then t-SNE (van der Maaten and Hinton 2008).

    Points that are all one stay together, at 0.
    """
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if not np.ptp(points, axis=0).any():  # t-SNE would divide by their spread
        return np.zeros((len(points), 2), np.float32)
    reduced = PCA(min(AXES, *points.shape), random_state=seed).fit_transform(points)
    coordinates = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    found: np.ndarray[Any, Any] = coordinates.astype("float32")
    return found
