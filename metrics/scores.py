"""Scores of foreign inputs: one number an input, LARGER for a more foreign one, in float64.

From logits: the negative maximum softmax probability (Hendrycks and Gimpel 2017), the energy (Liu et al. 2020), and
the entropy of the softmax. From the distances to the nearest training points: that to the k-th (Sun et al. 2022, who
take Euclidean distances between features of length 1), and the mean of the first k.
"""

import math

from torch import Tensor

from metrics._arguments import check_logits


def negative_maximum_softmax(logits: Tensor) -> Tensor:
    """-max_c softmax(logits)_c of each input (n,), in [-1, -1 / classes].

    Float64 tells probabilities apart up to 1 - 1e-16; of logits farther apart than 37, all are -1.

    Args:
        logits: floating (n, classes), finite.

    Raises:
        TypeError: logits are not floating.
        ValueError: logits are not (n, classes), empty, or not finite.
    """
    check_logits(logits)
    return -logits.double().softmax(1).amax(1)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-T log sum_c exp(logit_c / T) of each input (n,), any real number (Liu et al. 2020, equation 4).

    Unlike the softmax it changes when a constant is added to all logits.

    Args:
        logits: floating (n, classes), finite.
        temperature: T > 0, in units of the logits.

    Raises:
        TypeError, ValueError: as `negative_maximum_softmax`, or the temperature is not positive and finite.
    """
    check_logits(logits)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive and finite, not {temperature}.")
    return -temperature * (logits.double() / temperature).logsumexp(1)


def entropy(logits: Tensor) -> Tensor:
    """-sum_c p_c log p_c of the softmax p of each input (n,), in nats, in [0, log classes].

    Arguments and errors are those of `negative_maximum_softmax`.
    """
    check_logits(logits)
    logarithms = logits.double().log_softmax(1)
    return -(logarithms.exp() * logarithms).sum(1)


def kth_neighbor_distance(distances: Tensor, k: int | None = None) -> Tensor:
    """The distance to the k-th nearest training point of each input (n,), in the unit of the distances.

    Args:
        distances: floating (n, neighbours), those to the nearest points, nearest first. `nearest_neighbors` gives
            squared Euclidean ones: squared or not, the order of the inputs is the same.
        k: from 1 to neighbours; default all of them.

    Raises:
        TypeError: distances are not floating.
        ValueError: distances are not (n, neighbours), empty, negative, NaN or not ascending, or k is impossible.
    """
    return _nearest(distances, k)[:, -1]


def mean_neighbor_distance(distances: Tensor, k: int | None = None) -> Tensor:
    """The mean distance to the k nearest training points of each input (n,); as `kth_neighbor_distance`.

    Here squared distances give another order than distances: take the square root of squared ones.
    """
    return _nearest(distances, k).mean(1)


def _nearest(distances: Tensor, k: int | None) -> Tensor:
    if not distances.is_floating_point():
        raise TypeError(f"distances must be floating, not {distances.dtype}.")
    if distances.ndim != 2 or distances.numel() == 0:
        raise ValueError(f"distances must be (n, neighbours), at least one, not {tuple(distances.shape)}.")
    if not (distances >= 0).all() or (distances[:, 1:] < distances[:, :-1]).any():
        raise ValueError("distances must be at least 0, and ascending in each row.")
    if k is not None and not 1 <= k <= distances.shape[1]:
        raise ValueError(f"k = {k} of {distances.shape[1]} neighbours: k must be from 1 to {distances.shape[1]}.")
    return distances[:, :k].double()
