"""KID against torch-fidelity's of all points, and its standard error against many draws."""

import numpy as np
import pytest
import torch
from clouds import cloud, values
from scipy import stats
from torch_fidelity.metric_kid import kid_features_to_metric

from metrics import kernel
from metrics._sets import Jackknife, LeftOutError
from metrics.kernel import jackknife


def theirs(real, generated):
    settings = {"kid_subsets": 1, "kid_subset_size": len(real), "verbose": False}
    found = kid_features_to_metric(generated.double(), real.double(), **settings)
    return found["kernel_inception_distance_mean"]


@pytest.mark.parametrize("n", [4, 19, 20, 21, 130])
def test_it_is_torch_fidelitys_of_all_points(n):
    real, generated = cloud(0, n), cloud(1, n, shift=0.3)
    assert jackknife(real, generated).whole == pytest.approx(theirs(real, generated), rel=1e-9, abs=1e-12)


def test_leaving_a_part_out_is_measuring_the_others():
    from metrics._sets import parts

    real, generated = cloud(0, 63), cloud(1, 63, spread=1.2)
    sides = parts(real, generated)
    for part, found in enumerate(jackknife(real, generated).without):
        left = [torch.cat(side[:part] + side[part + 1 :]) for side in sides]
        assert found == pytest.approx(jackknife(*left).whole, rel=1e-9, abs=1e-12)


def test_sets_of_different_sizes_are_compared():
    real, generated = cloud(0, 50), cloud(1, 12)
    kernels = [
        (a.double() @ b.double().T / 6 + 1) ** 3 for a, b in ((real, real), (generated, generated), (real, generated))
    ]
    within = [(one.sum() - one.trace()) / (len(one) * (len(one) - 1)) for one in kernels[:2]]
    assert jackknife(real, generated).whole == pytest.approx(float(sum(within) - 2 * kernels[2].mean()), rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_the_standard_error_is_the_spread_over_draws_and_the_mean_has_no_bias(shift):
    found = [values(kernel.measure(cloud(2 * s, 80, 3), cloud(2 * s + 1, 80, 3, shift=shift))) for s in range(100)]
    kid, stderr = (torch.tensor([one["joint", name] for one in found]) for name in ("kid", "kid_stderr"))
    assert 0.7 < float(stderr.mean() / kid.std()) < 1.6
    if not shift:
        assert abs(float(kid.mean())) < 4 * float(kid.std()) / 10


def test_too_few_points_are_told():
    with pytest.raises(LeftOutError, match="kid: needs 4 points a side; there are 3"):
        kernel.measure(cloud(0, 3), cloud(1, 3))


def test_leaving_out_single_values_gives_the_standard_error_of_a_mean_and_the_variance_without_its_bias():
    values = np.array([0.3, 1.7, 0.4, 2.9, 1.1])
    left = [np.delete(values, place) for place in range(5)]
    mean, variance = (Jackknife(float(of(values)), [float(of(one)) for one in left]) for of in (np.mean, np.var))
    assert mean.stderr == pytest.approx(stats.sem(values)) and mean.unbiased == pytest.approx(values.mean())
    assert mean.half_width == pytest.approx(stats.t.ppf(0.975, 4) * stats.sem(values))
    assert variance.unbiased == pytest.approx(values.var(ddof=1))
