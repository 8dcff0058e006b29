"""Measures as tests of whether two sets of images differ: in which direction each is worse, and where alarm begins.

The critical value is a quantile of the measure's values on real against real. Of N values and one more, exchangeable
with them, that one lies beyond the k-th most extreme with probability k / (N + 1) at most, so k = 0.05 (N + 1), rounded
down, keeps the promised rate of false alarms, over draws of the N values; of either tail half of that.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lab.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

Tail = Literal["low", "high", "either"]
Key = tuple[str, str]
"""Side and metric of a row."""
FALSE_ALARMS = 0.05
FEWEST = 39
"""Values from which on either tail has one."""
WORSE: Mapping[Key, Tail] = {
    ("joint", "entanglement"): "low",
    ("generated", "entanglement"): "low",
    ("real", "entanglement"): "low",
    ("real", "coverage"): "low",
    ("joint", "one_nn_accuracy"): "either",
    ("generated", "one_nn_accuracy"): "either",
    ("real", "one_nn_accuracy"): "either",
    ("joint", "fid"): "high",
    ("joint", "fid_infinity"): "high",
    ("joint", "kid"): "high",
    ("joint", "sliced_wasserstein"): "high",
    ("joint", "mind"): "high",
    ("generated", "precision"): "low",
    ("real", "recall"): "low",
    ("generated", "density"): "either",
    ("real", "ball_coverage"): "low",
    ("generated", "vendi"): "either",
    ("generated", "spread"): "either",
    ("generated", "class_kl"): "high",
    ("generated", "class_entropy"): "either",
    ("generated", "modes"): "low",
    ("generated", "copied"): "high",
}
"""In which direction a value speaks against generated images; measures that are best in the middle have two."""
GAP = "_gap"
GAPS: Mapping[Key, Tail] = {
    (side, f"{metric}{GAP}"): "low" if metric == "copied" else tail
    for (side, metric), tail in WORSE.items()
    if metric not in {"coverage", "class_kl", "class_entropy", "modes", "vendi", "spread"}
}
"""The same of held-out minus training values: worse where the training images are nearer."""
OF_TRAINING: Mapping[Key, Tail] = {("generated", "memorized"): "high", **GAPS}
"""Measures that need the training images."""
ALL: Mapping[Key, Tail] = {**WORSE, **OF_TRAINING}


def critical_values(null: Sequence[float] | Any, tail: Tail) -> tuple[float, float]:
    """Below which and above which a value alarms, from values of the null; infinite where a tail does not count.

    Raises:
        UsageError: there are fewer than 39 values.
    """
    import numpy as np

    values, parts = np.sort(np.asarray(null, dtype=np.float64)), 2 if tail == "either" else 1
    if len(values) < FEWEST:
        raise UsageError(f"a critical value needs {FEWEST} draws of real against real; there are {len(values)}.")
    k = int(FALSE_ALARMS / parts * (len(values) + 1) + 1e-9)
    low = -np.inf if tail == "high" else values[k - 1]
    high = np.inf if tail == "low" else values[-k]
    return float(low), float(high)


def alarms(values: "Sequence[float] | Any", critical: tuple[float, float]) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Whether each value lies beyond the critical ones."""
    import numpy as np

    found = np.asarray(values, dtype=np.float64)
    return (found < critical[0]) | (found > critical[1])
