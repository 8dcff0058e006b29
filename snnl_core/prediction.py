"""What Deep k-nearest neighbours predicts from p-values, and how ties are decided."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, repr=False)
class DeepKNNPrediction:
    """What the neighbours say of n inputs.

    Attributes:
        labels: of largest p-value (n,). Ties go to the smaller nonconformity, then to the larger logit where logits
            were given, then to the first class.
        credibility: the p-value of that label (n,), in [0, 1]: how well the training set supports the prediction. It is
            a p-value, not a probability of being right.
        confidence: 1 minus the largest p-value of the other labels (n,); 1 with a single class.
        p_values: of every label (n, classes), in float64.
        nonconformity: neighbours with another label, over all layers (n, classes), in [0, layers k].
        neighbors: positions among the fitted rows, nearest first (n, k), by layer.
        distances: to these neighbours (n, k), by layer. Their mean is a score of strangeness without ties.
        classes: the labels, ascending (classes,).
    """

    labels: Tensor
    credibility: Tensor
    confidence: Tensor
    p_values: Tensor
    nonconformity: Tensor
    neighbors: dict[str, Tensor]
    distances: dict[str, Tensor]
    classes: Tensor

    def __repr__(self) -> str:
        """One line: of how many inputs, and their mean credibility; the rest by name."""
        layers = {name: tuple(found.shape) for name, found in self.neighbors.items()}
        return (
            f"DeepKNNPrediction(n={len(self.labels)}, classes={len(self.classes)}, neighbors={layers}, "
            f"mean credibility={float(self.credibility.mean()):.4g})"
        )

    @classmethod
    def of(
        cls,
        p_values: Tensor,
        nonconformity: Tensor,
        neighbors: dict[str, Tensor],
        distances: dict[str, Tensor],
        classes: Tensor,
        *,
        logits: Tensor | None,
        known: Tensor,
    ) -> "DeepKNNPrediction":
        """From what was found, on the device of the p-values; `known` are the classes that may be predicted."""
        device = p_values.device
        codes = _most_likely(p_values, nonconformity, None if logits is None else logits.to(device), known)
        credibility, confidence = _credibility_and_confidence(p_values, codes)
        classes = classes.to(device, copy=True)
        return cls(classes[codes], credibility, confidence, p_values, nonconformity, neighbors, distances, classes)


def _most_likely(p_values: Tensor, scores: Tensor, logits: Tensor | None, known: Tensor) -> Tensor:
    """The label of largest p-value of each point, as a number (n,).

    Ties go to the smaller nonconformity, then to the larger logit where logits are given, then to the first class.

    Args:
        p_values: (n, classes).
        scores: nonconformity (n, classes).
        logits: (n, classes), or None.
        known: which classes may be chosen (classes,), at least one.
    """
    left = known.expand_as(p_values)
    for preferred in (p_values, -scores.double()) + (() if logits is None else (logits.double(),)):
        held = preferred.masked_fill(~left, -torch.inf)
        left = left & (held == held.amax(1, keepdim=True))
    first = torch.arange(left.shape[1], 0, -1, device=left.device)
    return (left * first).argmax(1)


def _credibility_and_confidence(p_values: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """The p-value of the chosen label (n,), and 1 minus the largest of the other labels' (n,), 1 if there are none."""
    chosen = codes[:, None]
    others = p_values.scatter(1, chosen, 0.0)
    return p_values.gather(1, chosen)[:, 0], 1 - others.amax(1)
