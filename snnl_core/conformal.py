"""Conformal p-values: how many calibration points are at least as strange as this one would be with this label.

A calibration set that no model has seen and that is exchangeable with what comes gives the distribution of the
nonconformity score under the true label (Vovk, Gammerman and Shafer 2005). Three formulas, for a score a, calibration
scores a_1 ... a_m and U uniform on (0, 1]:

    valid       (#{a_i >= a} + 1) / (m + 1)                   P(p <= e) <= e for the true label, at any e
    smoothed    (#{a_i > a} + U (#{a_i = a} + 1)) / (m + 1)   P(p <= e) = e: ties are broken at random
    paper       #{a_i >= a} / m                               as published by Papernot and McDaniel (2018); not valid
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from snnl_core.distances import check_integers, check_keys, check_tensor

Mode = Literal["valid", "smoothed", "paper"]
LEVEL = 0.05
"""A calibration set from which no p-value can reach this level is warned of."""


def check_mode(mode: str) -> None:
    """Raise ValueError, naming the modes, unless it is one."""
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; known: {', '.join(get_args(Mode))}.")


@dataclass(frozen=True)
class Calibration:
    """Scores of calibration points under their true labels.

    Attributes:
        scores: (m,).
        codes: the true labels, as numbers from 0 (m,).
        classes: how many labels there are.
    """

    scores: Tensor
    codes: Tensor
    classes: int

    def __post_init__(self) -> None:
        """Raise ValueError where there is not one score for each label, or a label is none of the classes."""
        if self.scores.shape != self.codes.shape or self.scores.ndim != 1:
            shapes = f"{tuple(self.scores.shape)} and {tuple(self.codes.shape)}"
            raise ValueError(f"scores and codes of a calibration are {shapes}: one each is needed.")
        if len(self.codes) and not 0 <= int(self.codes.min()) <= int(self.codes.max()) < self.classes:
            raise ValueError(f"codes of a calibration are not those of {self.classes} classes, from 0 up.")

    @classmethod
    def of(cls, state: Mapping[str, Tensor], classes: int, most: int) -> "Calibration":
        """That of a state: copies of its `scores`, from 0 to `most`, and of its `codes`.

        Raises:
            TypeError: it is no mapping, or scores or codes are not integers.
            ValueError: a key is missing or unknown, there is no row, or scores or codes are impossible.
        """
        check_keys("calibration", state, ("scores", "codes"))
        check_tensor("calibration 'scores'", state["scores"])
        check_integers("calibration 'codes'", state["codes"])
        found = cls(state["scores"], state["codes"].to(torch.int64, copy=True), classes)
        check_integers("calibration 'scores'", found.scores)
        found = replace(found, scores=found.scores.to(torch.int64, copy=True))
        least, largest = (int(end) for end in found.scores.aminmax()) if len(found.scores) else (0, -1)
        if not 0 <= least <= largest <= most:
            rows = f"from {least} to {largest}" if len(found.scores) else "of no row"
            raise ValueError(f"scores of a calibration are {rows}; these layers give some from 0 to {most}.")
        return found

    @property
    def counts(self) -> Tensor:
        """The calibration points of each class (classes,)."""
        return torch.bincount(self.codes, minlength=self.classes)

    def p_values(
        self, scores: Tensor, mode: Mode, *, class_conditional: bool = False, uniform: Tensor | None = None
    ) -> Tensor:
        """The p-value of every label, in float64.

        Args:
            scores: nonconformity of each label (n, classes), of the dtype of the calibration scores.
            mode: the formula.
            class_conditional: compare each label with the calibration points of its class alone (Mondrian). Without
                any, `paper` has no value and gives 1, as `valid` does: nothing speaks against the label.
            uniform: U for each point (n,), in float64, needed for `smoothed`. It serves all labels of the point, so
                that of two labels the one that conforms better never has the smaller p-value.

        Returns:
            (n, classes), in [0, 1].
        """
        own, codes = self.scores.to(scores.device), self.codes.to(scores.device)
        if not class_conditional:
            return _p_values(own.sort().values, scores, mode, uniform)
        columns = enumerate(scores.unbind(1))
        return torch.stack([_p_values(own[codes == code].sort().values, c, mode, uniform) for code, c in columns], 1)

    def warn(self, labels: Tensor, *, class_conditional: bool) -> None:
        """Warn of classes that are missing, by their labels (classes,), and of too few points for small p-values."""
        counts, size = self.counts, len(self.scores)
        missing = labels[counts == 0].tolist()
        if missing:
            effect = "nothing shows whether p-values hold for it"
            if class_conditional:
                effect = "its p-values will be 1, so that no confidence is above 0, and it will not be predicted"
            warnings.warn(f"no calibration row is of class {', '.join(map(str, missing))}: {effect}.", stacklevel=5)
        if class_conditional:
            size = int(counts[counts > 0].min())
        if 1 / (size + 1) > LEVEL:
            what = f"{size} calibration rows{' of a class' if class_conditional else ''} are few"
            warnings.warn(f"{what}: a valid p-value is at least {1 / (size + 1):.3g}, never {LEVEL}.", stacklevel=5)


def _p_values(calibration: Tensor, scores: Tensor, mode: Mode, uniform: Tensor | None) -> Tensor:
    """Of scores (n,) or (n, c) against ascending ones (m,)."""
    size, scores = len(calibration), scores.contiguous()
    reached = (size - torch.searchsorted(calibration, scores)).double()
    if mode == "valid":
        return (reached + 1) / (size + 1)
    if mode == "paper":
        return reached / size if size else torch.ones_like(reached)
    if uniform is None:
        raise ValueError("smoothed p-values need a uniform number for each point.")
    above = (size - torch.searchsorted(calibration, scores, right=True)).double()
    uniform = uniform.view(-1, *[1] * (scores.ndim - 1))
    return (above + uniform * (reached - above + 1)) / (size + 1)


def uniform(n: int, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers on (0, 1] (n,), in float64, on the CPU; without a generator from torch's own."""
    return 1 - torch.rand(n, generator=generator, dtype=torch.float64, device="cpu")
