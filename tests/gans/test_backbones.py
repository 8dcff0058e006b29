"""The networks that GANs share, on every size of image and with every normalisation."""

import pytest
import torch
from torch import nn

from gans import _backbones
from gans._backbones import BACKBONES
from gans._config import GanConfig
from imagesets import SIZES, Spec
from lab.errors import UsageError


def made(backbone, norm, size=16, channels=1):
    """A generator and a discriminator."""
    config = GanConfig(backbone=backbone, width=4, latent=6)
    spec = Spec(channels, size, ("a", "b"), ("train", "test"), {"train": 2, "test": 2})
    torch.manual_seed(0)
    return [make(config, spec, norm=norm) for make in (_backbones.generator, _backbones.discriminator)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_side_is_built_and_taken(backbone, channels, size):
    generator, discriminator = made(backbone, "batch", size, channels)
    images = generator(torch.randn(3, 6))
    assert images.shape == (3, channels, size, size)
    assert discriminator(images)[0].shape == (3,)


@pytest.mark.parametrize("size", [8, 17, 30, 128])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_other_sides_are_refused(backbone, size):
    with pytest.raises(UsageError, match=f"{size} x {size}"):
        made(backbone, "none", size)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("norm", ["batch", "none", "spectral"])
def test_images_do_not_begin_saturated_or_flat(backbone, norm):
    """Whatever the norm, the first images differ from one another, and few of their pixels are at an end."""
    generator, _ = made(backbone, norm, 32)
    images = generator(torch.randn(64, 6))
    assert images.std(0).mean() > 1e-3 and (images.abs() > 0.99).float().mean() < 0.2


@pytest.mark.parametrize("backbone", BACKBONES)
def test_spectral_normalisation_holds_every_layer_at_one(backbone):
    """After some passes the power iteration has found the largest singular value, which evaluation leaves there."""
    _, discriminator = made(backbone, "spectral", channels=3)
    for _ in range(30):
        discriminator(torch.rand(2, 3, 16, 16))
    layers = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) >= 3
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
        torch.testing.assert_close(norm, torch.tensor(1.0), rtol=0.05, atol=0)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_without_batch_statistics_a_score_is_its_images_own(backbone):
    """So that an objective may pass real and generated images at once."""
    for norm in ("none", "spectral"):
        _, discriminator = made(backbone, norm)
        discriminator.eval()
        one, other = torch.rand(2, 5, 1, 16, 16)
        both = discriminator(torch.cat([one, other]))[0]
        torch.testing.assert_close(both, torch.cat([discriminator(one)[0], discriminator(other)[0]]))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_feature_leads_back_to_the_images(backbone):
    """So that a generator can be trained by each of them."""
    _, discriminator = made(backbone, "none")
    images = torch.rand(2, 1, 16, 16, requires_grad=True)
    for feature in discriminator(images)[1].values():
        (gradient,) = torch.autograd.grad(feature.square().sum(), images, retain_graph=True)
        assert gradient.any()
