"""The losses against closed forms."""

import math

import pytest
import torch
from torch import nn

from gans import dcgan, lsgan, r3gan, ragan, sngan, wgan_gp


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
    torch.manual_seed(0)  # or a coefficient next to 0 or 1 is now and then beyond it by a rounding
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


@pytest.mark.parametrize("gan", [dcgan, lsgan])
def test_real_and_generated_batches_are_normalised_apart(gan):
    critic, passed = Linear(1.0), []
    critic.register_forward_pre_hook(lambda _, inputs: passed.append(inputs[0]))
    sides = flat(2.0, 3.0), flat(-1.0, 0.0)
    gan.discriminator_loss(critic, *sides, gan.Config())
    assert all(one is other for one, other in zip(passed, sides, strict=True))


def flat(*values):
    """Images of one pixel."""
    return torch.tensor(values).view(-1, 1, 1, 1)


def softplus(x):
    return math.log1p(math.exp(x))


def test_sngan_losses():
    critic, config = Linear(1.0), sngan.Config()
    real, fake = flat(0.5, 3.0), flat(-0.25, -2.0)
    expected = (0.5 + 0) / 2 + (0.75 + 0) / 2  # beyond 1 and -1 nothing is lost
    assert sngan.discriminator_loss(critic, real, fake, config)[0].item() == pytest.approx(expected)
    assert sngan.generator_loss(critic, fake, real, config)[0].item() == pytest.approx(1.125)


def test_lsgan_losses():
    critic, config = Linear(1.0), lsgan.Config()
    real, fake = flat(0.5, 3.0), flat(-0.5, 1.0)
    expected = (0.25 + 4) / 4 + (0.25 + 1) / 4
    assert lsgan.discriminator_loss(critic, real, fake, config)[0].item() == pytest.approx(expected)
    assert lsgan.generator_loss(critic, fake, real, config)[0].item() == pytest.approx((2.25 + 0) / 4)


def test_ragan_losses_compare_with_the_other_sides_mean():
    critic, config = Linear(1.0), ragan.Config()
    real, fake = flat(0.5, 3.5), flat(-1.0, 2.0)  # means 2 and 0.5
    expected = (softplus(0.0) + softplus(-3.0)) / 2 + (softplus(-3.0) + softplus(0.0)) / 2
    assert ragan.discriminator_loss(critic, real, fake, config)[0].item() == pytest.approx(expected)
    expected = (softplus(3.0) + softplus(0.0)) / 2 + (softplus(0.0) + softplus(3.0)) / 2
    assert ragan.generator_loss(critic, fake, real, config)[0].item() == pytest.approx(expected)


def test_ragan_takes_each_side_for_itself():
    """Of sides that are spread otherwise, which the terms tell apart."""
    critic, config = Linear(1.0), ragan.Config()
    real, fake = flat(0.0, 4.0), flat(-1.0, 0.0)  # means 2 and -0.5
    expected = (softplus(-0.5) + softplus(-4.5)) / 2 + (softplus(-3.0) + softplus(-2.0)) / 2
    assert ragan.discriminator_loss(critic, real, fake, config)[0].item() == pytest.approx(expected)
    expected = (softplus(3.0) + softplus(2.0)) / 2 + (softplus(0.5) + softplus(4.5)) / 2
    assert ragan.generator_loss(critic, fake, real, config)[0].item() == pytest.approx(expected)


def test_r3gan_losses_compare_pairs_and_hold_the_gradient_at_both():
    config = r3gan.Config(penalty=3)
    real, fake = flat(1.0, 3.0), flat(-1.0, 2.0)
    loss, logs = r3gan.discriminator_loss(Linear(0.5), real, fake, config)
    pairs = (softplus(-1.0) + softplus(-0.5)) / 2
    assert loss.item() == pytest.approx(pairs + 1.5 * (0.25 + 0.25))
    assert logs["r1"].item() == logs["r2"].item() == pytest.approx(0.25)
    pairs = (softplus(1.0) + softplus(0.5)) / 2
    assert r3gan.generator_loss(Linear(0.5), fake, real, config)[0].item() == pytest.approx(pairs)
    # The gradient of this critic is the point itself.
    _, logs = r3gan.discriminator_loss(Quadratic(), real, fake, config)
    assert (logs["r1"].item(), logs["r2"].item()) == (pytest.approx(5.0), pytest.approx(2.5))


def test_the_penalties_of_r3gan_are_of_the_gradients_whole_norm():
    """The sum over an image's pixels, the mean over images."""
    images = torch.zeros(3, 1, 4, 4)
    loss, logs = r3gan.discriminator_loss(Linear(0.5), images, images, r3gan.Config(penalty=0.1))
    assert logs["r1"].item() == logs["r2"].item() == pytest.approx(16 * 0.25)
    assert loss.item() == pytest.approx(math.log(2) + 0.05 * 8)


def test_the_penalties_of_r3gan_can_be_descended_on():
    critic = Linear(2.0)
    config = r3gan.Config(penalty=1)
    same = flat(1.0, 1.0)  # pairs that say nothing: the loss is that of the penalties, 2 / 2 weight^2
    r3gan.discriminator_loss(critic, same, same, config)[0].backward()
    assert critic.weight.grad.item() == pytest.approx(4.0)
