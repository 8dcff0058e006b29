"""What measures are called in the report, and which family of them is measured together."""

from collections.abc import Mapping

from tasks import _power

NAMES: Mapping[str, str] = {
    "one_nn_accuracy": "1-NN accuracy",
    "fid": "FID",
    "fid_infinity": "FID, infinite n",
    "kid": "KID",
    "sliced_wasserstein": "sliced Wasserstein",
    "mind": "MIND",
    "coverage": "coverage of classes",
    "ball_coverage": "coverage",
    "vendi": "Vendi score",
    "class_kl": "KL of classes",
    "class_entropy": "entropy of classes",
    "memorized": "memorised",
}
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "entanglement": ("entanglement", "coverage"),
    "nearest neighbour": ("one_nn_accuracy",),
    "Frechet": ("fid", "fid_infinity"),
    "kernel": ("kid",),
    "sliced": ("sliced_wasserstein", "mind"),
    "manifolds": ("precision", "recall", "density", "ball_coverage"),
    "diversity": ("vendi", "spread"),
    "classes": ("class_kl", "class_entropy", "modes"),
    "training": ("memorized",),
}
"""The metrics of each family, whose time `tasks.measure_null` takes."""
FAMILY_OF: Mapping[str, str] = {metric: family for family, metrics in FAMILIES.items() for metric in metrics}
SIDED = ("entanglement", "one_nn_accuracy")
"""Measures of which there are three, one a side."""


def called(key: _power.Key) -> str:
    """What people call a measure of a side, or its gap."""
    side, metric = key
    bare = metric.removesuffix(_power.GAP)
    name = NAMES.get(bare, bare)
    if bare == "entanglement":
        name = {"joint": "joint entanglement", "generated": "generated side", "real": "real side"}[side]
    elif bare in SIDED and side != "joint":
        name = f"{name}, {side}"
    return f"{name}, gap" if metric != bare else name
