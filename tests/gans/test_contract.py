"""Every GAN of the zoo keeps the contract."""

import pytest
import torch

from gans._networks import SIZES
from imagesets import Spec
from lab import registry
from lab.errors import UsageError

NAMES = [entry.name for entry in registry.entries("gans")]


def make(name, size=16, channels=1, width=4):
    module = registry.load("gans", name)
    config = module.Config(width=width, latent=6)
    spec = Spec(channels, size, ("a", "b"), ("train", "test"), {"train": 2, "test": 2})
    torch.manual_seed(0)
    return module, config, module.Generator(config, spec), module.Discriminator(config, spec)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_ranges(name, size, channels):
    _, config, generator, discriminator = make(name, size, channels)
    images = generator(torch.randn(3, config.latent))
    assert images.shape == (3, channels, size, size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    logits, features = discriminator(images)
    assert logits.shape == (3,)
    assert len(features) >= 2
    assert all(len(feature) == 3 and feature.isfinite().all() for feature in features.values())


@pytest.mark.parametrize("size", [8, 17, 30, 128])
@pytest.mark.parametrize("name", NAMES)
def test_other_sizes_are_refused(name, size):
    with pytest.raises(UsageError, match=f"{size} x {size}"):
        make(name, size)


@pytest.mark.parametrize("name", NAMES)
def test_each_loss_reaches_every_parameter_of_its_network(name):
    module, config, generator, discriminator = make(name)
    real, fake = torch.rand(5, 1, 16, 16) * 2 - 1, generator(torch.randn(5, config.latent))
    loss, logs = module.discriminator_loss(discriminator, real, fake.detach(), config)
    loss.backward()
    assert loss.ndim == 0 and loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in discriminator.parameters())
    assert all(log.ndim == 0 for log in logs.values())
    loss, logs = module.generator_loss(discriminator, fake, real, config)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_discriminator_learns_to_tell_sets_apart(name):
    module, config, _, discriminator = make(name)
    optimizer = torch.optim.Adam(discriminator.parameters(), 2e-3, (config.beta1, config.beta2))
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
def test_settings_are_documented_and_checked(name):
    config = registry.config_class("gans", name)
    assert all(field.description for field in config.model_fields.values())
    with pytest.raises(UsageError, match="learning_rate"):
        config.parse({"learning_rate": -1})
