"""The losses against closed forms."""

import math

import pytest
import torch
from torch import nn

from gans import dcgan, wgan_gp


class Linear(nn.Module):
    """A critic whose gradient is known: the same weight at every pixel, times a factor for each sample."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return self.weight * x.flatten(1).sum(1), {}


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0, -3.0])
def test_the_penalty_of_a_linear_critic(weight):
    real, fake = torch.rand(6, 1, 4, 4), torch.rand(6, 1, 4, 4)
    critic = Linear(weight)
    # The gradient has 16 equal entries: its norm is 4 |weight| at every point.
    penalty = wgan_gp.gradient_penalty(critic, real, fake)
    assert penalty.item() == pytest.approx((4 * abs(weight) - 1) ** 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, critic.weight)
    assert gradient.isfinite()
    if weight:
        assert gradient.item() == pytest.approx(2 * (4 * abs(weight) - 1) * 4 * math.copysign(1, weight), rel=1e-4)


class Quadratic(nn.Module):
    """A critic whose gradient is the point itself, which tells where the penalty looked."""

    def forward(self, x):
        return x.flatten(1).square().sum(1) / 2, {}


def test_the_penalty_looks_between_the_pairs_with_one_coefficient_a_sample():
    seen = []
    critic = Quadratic()
    critic.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    real, fake = torch.rand(50, 1, 3, 3), torch.rand(50, 1, 3, 3) + 5
    penalty = wgan_gp.gradient_penalty(critic, real, fake)
    mix = (seen[0] - real) / (fake - real)
    assert (mix - mix[:, :, :1, :1]).abs().max() < 1e-5
    assert mix.min() >= 0 and mix.max() <= 1 and mix[:, 0, 0, 0].std() > 0.15
    norms = seen[0].flatten(1).norm(dim=1)
    assert penalty.item() == pytest.approx((norms - 1).square().mean().item(), rel=1e-5)


def test_the_penalty_stays_in_float32_under_autocast():
    types = []
    critic = nn.Sequential(nn.Flatten(), nn.Linear(9, 1))
    critic[1].register_forward_hook(lambda module, inputs, output: types.append(output.dtype))

    class Scored(nn.Module):
        def forward(self, x):
            return critic(x)[:, 0], {}

    with torch.autocast("cpu", torch.bfloat16):
        wgan_gp.gradient_penalty(Scored(), torch.rand(2, 1, 3, 3), torch.rand(2, 1, 3, 3))
        Scored()(torch.rand(2, 1, 3, 3))
    assert types == [torch.float32, torch.bfloat16]


def test_wgan_losses():
    config = wgan_gp.Config(penalty=10)
    critic = Linear(0.5)  # gradient norm 2, so the penalty is 1
    real, fake = torch.full((3, 1, 4, 4), 0.25), torch.full((3, 1, 4, 4), -0.5)
    loss, logs = wgan_gp.discriminator_loss(critic, real, fake, config)
    assert loss.item() == pytest.approx(-4 - 2 + 10, rel=1e-5)
    assert logs["wasserstein"].item() == pytest.approx(6)
    assert wgan_gp.generator_loss(critic, fake, real, config)[0].item() == pytest.approx(4)


def test_dcgan_losses():
    critic, config = Linear(1.0), dcgan.Config()
    real, fake = torch.full((2, 1, 1, 1), 2.0), torch.full((2, 1, 1, 1), -1.0)
    expected = math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))
    assert dcgan.discriminator_loss(critic, real, fake, config)[0].item() == pytest.approx(expected)
    assert dcgan.generator_loss(critic, fake, real, config)[0].item() == pytest.approx(math.log1p(math.exp(1)))
