"""What the measurements demand of logits, of labels, and of one number a sample; and the rows that they give."""

import torch
from torch import Tensor

from snnl_core.distances import check_integers

Row = dict[str, str | float | int]
"""A measured value by the name `value`, what was measured as `metric`, and whatever else tells rows apart."""
SUM = torch.finfo(torch.bfloat16).eps
"""How far a row of probabilities may be from summing to 1: a softmax of bfloat16 is, and its row may be wider since."""
ABOVE = 1e-3
"""How far above 1 a number of a wide dtype may be."""


def check_logits(logits: Tensor) -> None:
    """Raise TypeError or ValueError unless the logits are floating, (n, classes), finite, and there is one."""
    if not logits.is_floating_point():
        raise TypeError(f"logits must be floating, not {logits.dtype}.")
    if logits.ndim != 2 or logits.numel() == 0:
        raise ValueError(f"logits must be (n, classes), at least one, not {tuple(logits.shape)}.")
    if not logits.isfinite().all():
        raise ValueError("logits must be finite.")


def check_labelled(scores: Tensor, labels: Tensor) -> None:
    """Raise unless the scores are floating, finite, (n, classes) with n > 0, and the labels (n,) are classes."""
    if not scores.is_floating_point():
        raise TypeError(f"logits and probabilities must be floating, not {scores.dtype}.")
    check_integers("labels", labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or scores.numel() == 0:
        shapes = f"{tuple(scores.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"(n, classes) and as many labels (n,) are needed, at least one, not {shapes}.")
    if not scores.isfinite().all():
        raise ValueError("logits and probabilities must be finite.")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        low, high, last = int(labels.min()), int(labels.max()), scores.shape[1] - 1
        raise ValueError(f"labels must be in 0 to {last}, not {low} to {high}.")


def check_vector(name: str, values: Tensor) -> None:
    """Raise TypeError or ValueError, naming them, unless the values are real numbers (n,), n > 0, and none is NaN."""
    if values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} must be real numbers, not {values.dtype}.")
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} must be (n,), at least one, not {tuple(values.shape)}.")
    if values.isnan().any():
        raise ValueError(f"{name} must not be NaN; {int(values.isnan().sum())} of {len(values)} are.")


def check_unit(name: str, values: Tensor) -> None:
    """As `check_vector`, and raise unless the values are floating and in [0, 1], up to their rounding."""
    if not values.is_floating_point():
        raise TypeError(f"{name} must be floating, not {values.dtype}.")
    check_vector(name, values)
    if values.min() < 0 or values.max() > 1 + max(ABOVE, torch.finfo(values.dtype).eps):
        raise ValueError(f"{name} must be in [0, 1], not {float(values.min()):g} to {float(values.max()):g}.")


def check_correct(correct: Tensor, n: int) -> None:
    """Raise TypeError or ValueError unless `correct` is bool (n,)."""
    if correct.dtype != torch.bool:
        raise TypeError(f"correct must be bool, not {correct.dtype}.")
    if correct.shape != (n,):
        raise ValueError(f"correct must be ({n},), one for each confidence, not {tuple(correct.shape)}.")
