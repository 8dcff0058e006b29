"""The sliced Wasserstein distance and MIND, against closed forms and scipy's distance along lines."""

import pytest
import torch
from clouds import cloud, values
from scipy.stats import wasserstein_distance

from metrics import sliced
from metrics.sliced import mean_transport


def test_a_shift_costs_its_square_divided_by_the_dimensions():
    """The mean square of a unit vector's product with a shift is |shift|^2 / d."""
    real = cloud(0, 50, 8)
    found = values(sliced.measure(real, real + torch.full((8,), 0.5)))
    assert found["joint", "mind"] == pytest.approx(3 * 8 * 0.25, rel=0.1)
    assert found["joint", "sliced_wasserstein"] ** 2 * 3 * 8 == pytest.approx(found["joint", "mind"])


def test_in_one_dimension_it_is_the_transport_of_the_line():
    real, generated = cloud(0, 80, 1), cloud(1, 80, 1, spread=2.0)
    one, other = real.flatten(), generated.flatten()
    pairs = (one.sort().values - other.sort().values).double()
    assert mean_transport(real, generated) == pytest.approx(float(pairs.square().mean()), rel=1e-5)
    assert wasserstein_distance(one, other) == pytest.approx(float(pairs.abs().mean()), rel=1e-5)


def test_order_and_place_do_not_matter_and_the_random_state_is_left_alone():
    real, generated = cloud(0), cloud(1, shift=0.5)
    before = torch.get_rng_state()
    found = mean_transport(real, generated)
    assert torch.equal(before, torch.get_rng_state())
    assert mean_transport(real.flip(0), generated) == pytest.approx(found, rel=1e-5)
    assert mean_transport(generated, real) == pytest.approx(found, rel=1e-5)
    assert mean_transport(real + 100, generated + 100) == pytest.approx(found, rel=1e-3)
    assert mean_transport(real, real.flip(0)) == pytest.approx(0, abs=1e-9)


def test_more_points_of_one_distribution_come_nearer():
    near = [mean_transport(cloud(0, n), cloud(1, n)) for n in (50, 500)]
    assert near[1] < near[0] / 3


def test_unequal_sets_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        mean_transport(cloud(0, 10), cloud(1, 11))
