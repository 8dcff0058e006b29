"""The ways from one image to another."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import imagesets
from gans import _backbones
from gans._config import GanConfig
from gans._interpolation import interpolations, slerp
from gans._snapshots import drawn_noise
from imagesets import Spec


@given(st.floats(0.01, 3.1), st.floats(0.1, 10), st.floats(0, 1))
def test_a_share_of_the_way_is_that_share_of_the_angle(angle, norm, share):
    """In the plane, where a point of the way is known: on the circle at share * angle."""
    one = torch.tensor([norm, 0.0], dtype=torch.float64)
    other = norm * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    (found,) = slerp(one, other, torch.tensor([share], dtype=torch.float64))
    expected = norm * torch.tensor([math.cos(share * angle), math.sin(share * angle)], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_the_ends_are_the_ends_whatever_their_norms_and_no_point_is_short():
    one, other = (
        torch.randn(100, generator=torch.Generator().manual_seed(0)),
        torch.randn(100, generator=torch.Generator().manual_seed(1)),
    )
    way = slerp(one, 2 * other, torch.linspace(0, 1, 11))
    torch.testing.assert_close(way[[0, -1]], torch.stack([one, 2 * other]))
    assert way.norm(dim=1).min() > 0.95 * one.norm()


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, -2.0])
def test_a_way_along_a_line_is_straight_and_finite(factor):
    one = torch.randn(8, generator=torch.Generator().manual_seed(0))
    way = slerp(one, factor * one, torch.tensor([0, 0.5, 1]))
    torch.testing.assert_close(way, torch.stack([one, (1 + factor) / 2 * one, factor * one]), atol=1e-6, rtol=1e-5)


def trained(conditional):
    config = GanConfig(width=4, latent=6, conditional=conditional)
    spec = Spec(1, 16, ("a", "b", "c"), ("train", "test"), {"train": 2, "test": 2})
    torch.manual_seed(0)
    generator = _backbones.generator(config, spec, norm="none").eval()
    return SimpleNamespace(generator=generator, latent=6)


def shown(gan, noise, *labels):
    with torch.no_grad():
        return imagesets.to_uint8(gan.generator(noise[None], *(torch.tensor([label]) for label in labels)))[0]


def near(one, other):
    """The same image, but for what rounding makes of weights in place of labels."""
    return (one.int() - other.int()).abs().max() <= 1


def test_a_row_leads_from_one_latent_to_another():
    gan = trained(False)
    rows, noise = interpolations(gan, 3, 5, seed=2), drawn_noise(6, 6, 2)
    assert [row.shape for row in rows] == [(5, 1, 16, 16)] * 3
    for i, row in enumerate(rows):
        assert near(row[0], shown(gan, noise[2 * i])) and near(row[-1], shown(gan, noise[2 * i + 1]))
        assert len({image.numpy().tobytes() for image in row}) == 5


def test_of_a_conditional_gan_rows_are_of_a_class_each_and_then_lead_from_class_to_class():
    gan = trained(True)
    rows, noise = interpolations(gan, 4, 5, seed=2), drawn_noise(8, 6, 2)
    assert [row.shape for row in rows] == [(5, 1, 16, 16)] * 8
    for i, (within, between) in enumerate(zip(rows[:4], rows[4:], strict=True)):
        assert near(within[0], shown(gan, noise[2 * i], i % 3)) and near(
            within[-1], shown(gan, noise[2 * i + 1], i % 3)
        )
        assert near(between[0], shown(gan, noise[2 * i], i % 3))
        assert near(between[-1], shown(gan, noise[2 * i], (i + 1) % 3))
