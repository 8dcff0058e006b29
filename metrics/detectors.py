"""Detectors of foreign inputs that are fitted on features, by pytorch-ood (the extra `ood`): baselines.

Mahalanobis (Lee et al. 2018), relative Mahalanobis (Ren et al. 2021) and virtual-logit matching (ViM, Wang et al.
2022). Each scores queries, LARGER for a more foreign one, after a fit on training features; float32 arithmetic.
For the two Mahalanobis scores the features are centred and divided by one number for all, which changes no score:
pytorch-ood adds 1e-6 to the scatter whatever the scale, and is imprecise far from 0. It leaves the scatter undivided by
n and halves the one of the two; here both are squared Mahalanobis distances, the covariance divided by n.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from lab.errors import UsageError
from snnl_core.distances import check_finite, check_integers

SIZE = 2.0**10
"""What the features' spread is brought to: beside it what pytorch-ood adds is nothing, along the flattest axis too."""
SINGULAR = (
    "the covariance of the features cannot be inverted in float32: take fewer dimensions, e.g. their principal "
    "components, or more samples."
)
RESIDUAL = 1e-2
"""How far covariance times precision may be from the identity, in any entry, before scores are noise."""


def mahalanobis(features: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The squared Mahalanobis distance of each query to the nearest class mean (q,), >= 0, float32.

    The covariance is that within classes, one for all of them.

    Args:
        features: training features, floating (n, d), finite.
        labels: their classes (n,), integers.
        queries: floating (q, d), finite.

    Raises:
        UsageError: pytorch-ood is not installed.
        TypeError: features or queries are not floating, or labels not integers.
        ValueError: shapes do not fit, a row is not finite, there is none, or the covariance cannot be inverted in
            float32 (fewer samples than dimensions, or features that depend on each other).
    """
    detector, asked = _fitted("Mahalanobis", features, labels, queries)
    return detector.predict_features(asked) * (2 * len(features))


def relative_mahalanobis(features: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """`mahalanobis` less the squared distance to the mean of all training features, under their own covariance (q,).

    Arguments and errors are those of `mahalanobis`; scores can be negative.
    """
    detector, asked = _fitted("RMD", features, labels, queries)
    return detector.predict_features(asked) * len(features)


def vim(features: Tensor, queries: Tensor, weight: Tensor, bias: Tensor, dimensions: int) -> Tensor:
    """alpha |residual| - log sum_c exp(logit_c) of each query (q,), any real number, float32.

    The residual is what the principal subspace of the training features leaves; alpha makes its mean length there the
    mean of the largest logit.

    Args:
        features: training features before the last layer, floating (n, d), finite.
        queries: floating (q, d), finite.
        weight: of the last layer, (classes, d).
        bias: of the last layer, (classes,).
        dimensions: of the principal subspace, from 1 to d - 1.

    Raises:
        UsageError: pytorch-ood is not installed.
        TypeError: features or queries are not floating.
        ValueError: shapes do not fit, a row is not finite, there is none, the dimensions are impossible, or alpha is
            not positive and finite: nothing is left of the features, or their largest logit is negative on average.
    """
    _check(features, queries)
    d = features.shape[1]
    if weight.ndim != 2 or weight.shape[1] != d or bias.shape != weight.shape[:1]:
        raise ValueError(f"weight {tuple(weight.shape)} and bias {tuple(bias.shape)} do not fit {d} features.")
    if not 1 <= dimensions < d:
        raise ValueError(f"dimensions = {dimensions} of {d}: the principal subspace must have from 1 to {d - 1}.")
    known = torch.zeros(len(features), dtype=torch.long, device=features.device)
    detector = _detector("ViM")(None, dimensions, weight, bias).fit_features(features.float(), known)
    if not 0 < detector.alpha < float("inf"):
        raise ValueError(f"alpha = {detector.alpha:g}: the residual or the mean of the largest logit is not positive.")
    return detector.predict_features(queries.float())


def _fitted(name: str, features: Tensor, labels: Tensor, queries: Tensor) -> tuple[Any, Tensor]:
    """A Mahalanobis detector fitted on features in units of their own spread, and the queries in the same."""
    _check(features, queries)
    check_integers("labels", labels)
    if labels.shape != features.shape[:1]:
        raise ValueError(f"features {tuple(features.shape)} and labels {tuple(labels.shape)} do not fit.")
    centred = features.double() - features.double().mean(0)
    spread = centred.square().mean().sqrt() / SIZE
    codes = labels.unique(return_inverse=True)[1]  # pytorch-ood wants all of 0 to classes - 1
    try:
        detector = _detector(name)(None).fit_features((centred / spread).float(), codes)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise ValueError(SINGULAR) from error
    for suffix in ("", "background_")[: 1 + (name == "RMD")]:
        _check_inverse(getattr(detector, f"{suffix}cov"), getattr(detector, f"{suffix}precision"))
    return detector, ((queries.double() - features.double().mean(0)) / spread).float()


def _check_inverse(covariance: Tensor, precision: Tensor) -> None:
    product = covariance.double() @ precision.double()
    residual = float((product - torch.eye(len(product), dtype=product.dtype, device=product.device)).abs().max())
    if not residual <= RESIDUAL:
        raise ValueError(SINGULAR)


def _check(features: Tensor, queries: Tensor) -> None:
    for name, points in {"features": features, "queries": queries}.items():
        if not points.is_floating_point():
            raise TypeError(f"{name} must be floating, not {points.dtype}.")
        if points.ndim != 2 or points.numel() == 0 or points.shape[1] != features.shape[-1]:
            shapes = f"{tuple(features.shape)} and {tuple(queries.shape)}"
            raise ValueError(f"features (n, d) and queries (q, d) are needed, at least one, not {shapes}.")
        check_finite(points)


def _detector(name: str) -> Any:
    """A class of `pytorch_ood.detector`."""
    if find_spec("pytorch_ood") is None:
        raise UsageError("Mahalanobis scores and ViM need pytorch-ood: pip install 'snnl-workbench[ood]'.")
    from pytorch_ood import detector

    return getattr(detector, name)
