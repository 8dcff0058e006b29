"""Maps of points in the plane."""

import numpy as np
import pytest

from tasks._plane import plane


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_points_that_are_all_one_stay_together(value):
    """t-SNE divides by their spread, and the process would end there."""
    found = plane(np.full((40, 8), value, np.float32), 5.0, 0)
    assert found.dtype == np.float32 and found.shape == (40, 2) and not found.any()


def test_clusters_stay_apart():
    points = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    points[30:] += 20
    found = plane(points, 10.0, 0)
    one, other = found[:30], found[30:]
    apart = np.linalg.norm(one.mean(0) - other.mean(0))
    assert found.dtype == np.float32 and apart > 2 * max(one.std(), other.std())
