"""Detectors of pytorch-ood: against their formulas in float64, their direction, and what is refused."""

import math

import pytest
import torch

from lab.errors import UsageError
from metrics import detectors
from metrics.detection import auroc
from metrics.detectors import mahalanobis, relative_mahalanobis, vim

pytest.importorskip("pytorch_ood")


def draw(seed, n=1200, d=12, classes=3, scale=1.0, shift=0.0):
    """Features around three class means, with labels that are not 0 to 2, and queries: 100 like them, 100 far off."""
    generator = torch.Generator().manual_seed(seed)
    means = 3 * torch.randn(classes, d, generator=generator)
    codes, asked = torch.arange(n) % classes, torch.arange(100) % classes
    features = means[codes] + torch.randn(n, d, generator=generator)
    native = means[asked] + torch.randn(100, d, generator=generator)
    queries = torch.cat([native, 6 * torch.randn(100, d, generator=generator)])
    return scale * features + shift, 5 * codes - 3, scale * queries + shift


def naive(features, labels, queries, relative=False):
    """Squared Mahalanobis distances in float64, covariances divided by n."""
    x, q = features.double(), queries.double()

    def distance(mean, covariance):
        return torch.einsum("qi,ij,qj->q", q - mean, torch.linalg.inv(covariance), q - mean)

    kinds = labels.unique().tolist()
    means = {kind: x[labels == kind].mean(0) for kind in kinds}
    residual = x - torch.stack([means[kind] for kind in labels.tolist()])
    nearest = torch.stack([distance(means[kind], residual.T @ residual / len(x)) for kind in kinds]).amin(0)
    centred = x - x.mean(0)
    return nearest - distance(x.mean(0), centred.T @ centred / len(x)) if relative else nearest


@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (1e-4, 0.0), (1e3, 0.0), (1.0, 1e4)])
def test_against_the_formulas(scale, shift):
    features, labels, queries = draw(0, scale=scale, shift=shift)
    features, queries = features.double(), queries.double()
    for function, relative in ((mahalanobis, False), (relative_mahalanobis, True)):
        expected = naive(features, labels, queries, relative)
        found = function(features, labels, queries)
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().mean()))


@pytest.mark.parametrize("size", [1e3, 1e4])
def test_a_feature_in_other_units_changes_no_score(size):
    """What pytorch-ood adds to the scatter, whatever its size, is nothing beside that of the others."""
    features, labels, queries = draw(0)
    units = torch.tensor([size, *[1.0] * 11])
    for function, relative in ((mahalanobis, False), (relative_mahalanobis, True)):
        expected = naive(features, labels, queries, relative)
        found = function(features * units, labels, queries * units)
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().mean()))


def test_by_hand():
    """Class means at 0 and 10 in the plane, variance 2 along each axis: (3, 4) is 25 / 2 from the first."""
    cross = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    features = torch.cat([cross, cross + torch.tensor([10.0, 0.0])])
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    queries = torch.tensor([[3.0, 4.0], [10.0, 0.0]])
    assert mahalanobis(features, labels, queries).tolist() == pytest.approx([12.5, 0], abs=1e-4)
    # around (5, 0) the variance is 27 by 2: (3, 4) is 4 / 27 + 8 from it, (10, 0) 25 / 27
    assert relative_mahalanobis(features, labels, queries).tolist() == pytest.approx(
        [12.5 - 8 - 4 / 27, -25 / 27], abs=1e-4
    )


def test_vim_by_hand():
    """Logits (x, -x); of what training leaves beside x the mean length is 2, the mean of the largest logit 3."""
    features = torch.tensor([[3.0, 2.0], [3.0, -2.0], [-3.0, 2.0], [-3.0, -2.0]])
    weight, bias = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2)
    found = vim(features, torch.tensor([[3.0, 0.0], [3.0, 4.0]]), weight, bias, 1)
    energy = math.log(math.exp(3) + math.exp(-3))
    assert found.tolist() == pytest.approx([-energy, 1.5 * 4 - energy], abs=1e-4)


def test_twice_the_data_are_the_same_distances():
    features, labels, queries = draw(1)
    twice = torch.cat([features, features]), torch.cat([labels, labels])
    for function in (mahalanobis, relative_mahalanobis):
        torch.testing.assert_close(function(*twice, queries), function(features, labels, queries), rtol=1e-3, atol=1e-2)


def test_a_larger_score_is_more_foreign():
    features, labels, queries = draw(2)
    weight = torch.stack([features[labels == kind].mean(0) for kind in labels.unique().tolist()])
    scores = [function(features, labels, queries) for function in (mahalanobis, relative_mahalanobis)]
    scores.append(vim(features, queries, weight, torch.zeros(3), 3))
    for found in scores:
        assert found.shape == (200,) and found.isfinite().all()
        assert auroc(found[:100], found[100:]) > 0.95


def test_queries_do_not_depend_on_their_company():
    features, labels, queries = draw(3)
    alone = torch.cat([mahalanobis(features, labels, query[None]) for query in queries[:5]])
    torch.testing.assert_close(mahalanobis(features, labels, queries)[:5], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("function", [mahalanobis, relative_mahalanobis])
def test_noise_is_refused(function):
    """Fewer samples than dimensions, or few true ones: pytorch-ood's own squared distances are below 0 there."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(200) % 4
    few = torch.randn(200, 512, generator=generator)
    flat = torch.randn(200, 8, generator=generator) @ torch.randn(8, 64, generator=generator)
    twice = torch.randn(200, 16, generator=generator)[:, [*range(16), 4]]  # a pivot of exactly 0
    for features in (few, flat, torch.ones(200, 5), twice):
        with pytest.raises(ValueError, match="cannot be inverted in float32"):
            function(features, labels, features[:10])


def test_classes_so_far_apart_that_float32_cannot_invert_their_scatter_have_no_relative_score():
    features, labels, queries = draw(4)
    features, queries = features.clone(), queries.clone()
    features[:, 0] += 1e5 * labels
    mahalanobis(features, labels, queries)
    with pytest.raises(ValueError, match="cannot be inverted in float32"):
        relative_mahalanobis(features, labels, queries)


def test_dead_features_are_no_harm():
    """A unit that is 0 for all training samples adds nothing to queries where it is 0."""
    features, labels, queries = draw(5)
    padded = [torch.nn.functional.pad(x, (0, 4)) for x in (features, queries)]
    torch.testing.assert_close(
        mahalanobis(padded[0], labels, padded[1]), mahalanobis(features, labels, queries), rtol=1e-3, atol=1e-2
    )


FEATURES, LABELS, QUERIES = draw(6)
WEIGHT, BIAS = torch.ones(3, 12), torch.zeros(3)


@pytest.mark.parametrize(
    "features, queries, error, message",
    [
        (FEATURES.long(), QUERIES, TypeError, "features must be floating, not torch.int64"),
        (FEATURES, QUERIES.long(), TypeError, "queries must be floating, not torch.int64"),
        (FEATURES[0], QUERIES, ValueError, r"not \(12,\) and \(200, 12\)"),
        (FEATURES, QUERIES[:, :5], ValueError, r"not \(1200, 12\) and \(200, 5\)"),
        (FEATURES[:0], QUERIES, ValueError, "at least one"),
        (FEATURES, QUERIES[:0], ValueError, "at least one"),
        (FEATURES * math.nan, QUERIES, ValueError, "1200 of 1200 rows are not"),
        (FEATURES, QUERIES * math.inf, ValueError, "200 of 200 rows are not"),
    ],
)
def test_bad_features_are_refused(features, queries, error, message):
    for function in (mahalanobis, relative_mahalanobis):
        with pytest.raises(error, match=message):
            function(features, LABELS[: len(features)], queries)
    with pytest.raises(error, match=message):
        vim(features, queries, WEIGHT, BIAS, 3)


def test_bad_labels_and_layers_are_refused():
    with pytest.raises(TypeError, match="labels must be integers"):
        mahalanobis(FEATURES, LABELS.float(), QUERIES)
    with pytest.raises(ValueError, match=r"labels \(7,\) do not fit"):
        mahalanobis(FEATURES, LABELS[:7], QUERIES)
    with pytest.raises(ValueError, match=r"weight \(3, 5\) and bias \(3,\) do not fit 12 features"):
        vim(FEATURES, QUERIES, WEIGHT[:, :5], BIAS, 3)
    for dimensions in (0, 12, 13):
        with pytest.raises(ValueError, match=f"dimensions = {dimensions} of 12: .* from 1 to 11"):
            vim(FEATURES, QUERIES, WEIGHT, BIAS, dimensions)
    with pytest.raises(ValueError, match="the mean of the largest logit is not positive"):
        vim(FEATURES, QUERIES, 1e-3 * WEIGHT, BIAS - 9, 3)


def test_without_pytorch_ood_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setattr(detectors, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'snnl-workbench\[ood\]'"):
        mahalanobis(FEATURES, LABELS, QUERIES)
    with pytest.raises(UsageError, match=r"pip install 'snnl-workbench\[ood\]'"):
        vim(FEATURES, QUERIES, WEIGHT, BIAS, 3)
