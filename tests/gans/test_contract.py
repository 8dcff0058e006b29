"""Every GAN of the zoo keeps the contract, on every backbone."""

from itertools import product

import pytest
import torch

from gans._backbones import BACKBONES
from imagesets import Spec
from lab import registry
from lab.errors import UsageError

NAMES = [entry.name for entry in registry.entries("gans")]
ADVERSARIAL = [name for name in NAMES if registry.load("gans", name).Discriminator is not None]
ON_ALL = [*product(NAMES, BACKBONES)]


def make(name, size=16, channels=1, width=4, backbone="cnn"):
    """A GAN's module, its settings, and its networks, of which the second may be None."""
    module = registry.load("gans", name)
    config = module.Config(width=width, latent=6, backbone=backbone)
    spec = Spec(channels, size, ("a", "b"), ("train", "test"), {"train": 2, "test": 2})
    torch.manual_seed(0)
    networks = (make and make(config, spec) for make in (module.Generator, module.Discriminator))
    return module, config, *networks


@pytest.mark.parametrize("size, channels", [(16, 1), (28, 3)])
@pytest.mark.parametrize("name, backbone", ON_ALL)
def test_shapes_and_ranges(name, backbone, size, channels):
    _, config, generator, discriminator = make(name, size, channels, backbone=backbone)
    images = generator(torch.randn(3, config.latent))
    assert images.shape == (3, channels, size, size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert images.min() < 0, "in [-1, 1], and not in [0, 1]"
    if discriminator is not None:
        scores, features = discriminator(images)
        assert scores.shape == (3,) and scores.dtype == torch.float32
        assert len(features) >= 2
        assert all(len(feature) == 3 and feature.isfinite().all() for feature in features.values())


@pytest.mark.parametrize("name, backbone", ON_ALL)
def test_other_sizes_are_refused(name, backbone):
    with pytest.raises(UsageError, match="17 x 17"):
        make(name, 17, backbone=backbone)


def optimizer_of(network, config):
    return torch.optim.Adam(network.parameters(), 2e-3, (config.beta1, config.beta2))


@pytest.mark.parametrize("name, backbone", ON_ALL)
def test_each_loss_reaches_every_parameter_of_its_network(name, backbone):
    """At the second step: what starts at 0 keeps the gradient from what is before it."""
    module, config, generator, discriminator = make(name, backbone=backbone)
    optimizer = optimizer_of(generator, config)
    for _ in range(2):
        real, fake = torch.rand(5, 1, 16, 16) * 2 - 1, generator(torch.randn(5, config.latent))
        if discriminator is not None:
            discriminator.zero_grad()
            loss, logs = module.discriminator_loss(discriminator, real, fake.detach(), config)
            loss.backward()
            assert loss.ndim == 0 and loss.isfinite()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in discriminator.parameters())
            assert all(log.ndim == 0 for log in logs.values())
        loss, logs = module.generator_loss(discriminator, fake, real, config)
        assert loss.ndim == 0 and loss.isfinite() and all(log.ndim == 0 for log in logs.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())


@pytest.mark.parametrize("name, backbone", [*product(ADVERSARIAL, BACKBONES)])
def test_the_discriminator_learns_to_tell_sets_apart(name, backbone):
    module, config, _, discriminator = make(name, backbone=backbone)
    optimizer = optimizer_of(discriminator, config)
    real, fake = torch.full((16, 1, 16, 16), 0.5), torch.full((16, 1, 16, 16), -0.5)
    noise = torch.Generator().manual_seed(0)
    for _ in range(60):
        jitter = 0.1 * torch.randn(2, 16, 1, 16, 16, generator=noise)
        loss, _ = module.discriminator_loss(discriminator, real + jitter[0], fake + jitter[1], config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    discriminator.eval()
    assert discriminator(real)[0].mean() > discriminator(fake)[0].mean() + 0.2


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_moves_towards_the_real_images(name):
    """With the discriminator, if there is one, in step: the mean of what is generated comes nearer to a flat grey."""
    module, config, generator, discriminator = make(name)
    optimizers = [optimizer_of(network, config) for network in (generator, discriminator) if network is not None]
    noise = torch.Generator().manual_seed(0)
    means = []
    for _ in range(80):
        real = 0.5 + 0.1 * torch.randn(16, 1, 16, 16, generator=noise)
        fake = generator(torch.randn(16, config.latent, generator=noise))
        means.append(fake.mean().item())
        if means[-1] > 0.4:  # which is all that is asked
            break
        if discriminator is not None:
            optimizers[1].zero_grad()
            module.discriminator_loss(discriminator, real, fake.detach(), config)[0].backward()
            optimizers[1].step()
        optimizers[0].zero_grad()
        module.generator_loss(discriminator, fake, real, config)[0].backward()
        optimizers[0].step()
    assert means[0] < 0.2 and max(means) > 0.4


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_documented_and_checked(name):
    config = registry.config_class("gans", name)
    assert all(field.description for field in config.model_fields.values())
    with pytest.raises(UsageError, match="learning_rate"):
        config.parse({"learning_rate": -1})
