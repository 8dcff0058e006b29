"""Steps of the adversarial loop against a plain one: which batches, noise and optimizers, which term, which average."""

import copy
from pathlib import Path

import pytest
import torch
from making import NOWHERE
from torch.nn.modules.batchnorm import _BatchNorm

import imagesets
from gans import dcgan
from gans._config import TrainingConfig
from gans._loop import begin, train_step
from gans._state import GanState
from lab.training.draws import batch_indices, random_generator
from lab.training.frame import make_accelerator
from snnl_core import SoftNearestNeighborLoss

RECIPE = {"width": 2, "latent": 4, "batch": 16, "critic_steps": 2, "beta1": 0.3, "beta2": 0.8, "learning_rate": 0.01}
FIRST, STEPS, SHOWN = 39, 2, 32
"""The step that the loop is at, how many are taken, and images that the discriminator sees in each."""


def begun(gan="r3gan", precision="float32", **settings):
    """A training amid its course; without a norm, in which no gradient is rounding, unless another GAN is named."""
    about = {"gan": gan, "settings": {**RECIPE, **settings}, "kimg": 2, "seed": 3, "snapshots": ()}
    training = begin(TrainingConfig.parse({**about, "precision": precision, "device": "cpu"}), NOWHERE)
    training.state.step = FIRST
    return training


def entangled(real, fake):
    """The mean over the layers of the loss between the sides, at its best temperature."""
    sides = torch.arange(2 * RECIPE["batch"]) // RECIPE["batch"]
    each = [SoftNearestNeighborLoss()(torch.cat([real[name], fake[name]]).flatten(1), sides) for name in fake]
    return sum(each) / len(each)


def plainly(training):
    """What the same steps leave, by name: the generator, its average and the discriminator."""
    gan, settings, bare = training.gan, training.config.settings, training.state.bare
    networks = {name: copy.deepcopy(bare[name]) for name in ("generator", "discriminator")}
    generator, discriminator = networks.values()
    average = [parameter.clone() for parameter in training.state.ema.parameters()]
    optimizers = [torch.optim.Adam(network.parameters(), 0.01, (0.3, 0.8)) for network in networks.values()]
    images = imagesets.load("digits", "train", root=Path())

    def noise(purpose, index):
        return torch.randn(16, 4, generator=random_generator(3, "noise", purpose, index))

    def descend(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for step in range(FIRST, FIRST + STEPS):
        for index in (2 * step, 2 * step + 1):
            real = images.batch(batch_indices(len(images), 16, 3, index))
            with torch.no_grad():
                fake = generator(noise("discriminator", index))
            descend(optimizers[1], gan.discriminator_loss(discriminator, real, fake, settings)[0])
        fake = generator(noise("generator", step))
        loss = gan.generator_loss(discriminator, fake, real, settings)[0]
        if settings.snnl_weight:
            loss = loss - settings.snnl_weight * entangled(discriminator(real)[1], discriminator(fake)[1])
        descend(optimizers[0], loss)
        half_life = min(1000 * settings.ema_kimg, 0.05 * (step + 1) * SHOWN)
        decay = 0.5 ** (SHOWN / half_life)
        average = [decay * kept + (1 - decay) * new for kept, new in zip(average, generator.parameters(), strict=True)]
    return {"ema": average, **{name: [*network.parameters()] for name, network in networks.items()}}


@pytest.fixture
def doubles(monkeypatch):
    """All in float64, where Adam makes no step of what rounding leaves of a gradient."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("settings", [{}, {"ema_kimg": 0.03}, {"snnl_weight": 0.5}])
def test_steps_are_those_of_a_plain_loop(settings):
    """The average's half-life is 5 % of the training so far, or that of the settings where it is shorter."""
    training = begun(**settings)
    expected = plainly(training)
    for _ in range(STEPS):
        train_step(training)
    found = {name: [*network.parameters()] for name, network in training.state.networks().items()}
    assert found.keys() == expected.keys()
    for name in found:
        for one, other in zip(found[name], expected[name], strict=True):
            torch.testing.assert_close(one.detach(), other.detach(), rtol=0, atol=1e-9)


def test_an_average_without_a_half_life_is_the_generator():
    training = begun(ema_kimg=0)
    train_step(training)
    pairs = zip(training.state.ema.parameters(), training.state.bare["generator"].parameters(), strict=True)
    assert all(kept.equal(own) for kept, own in pairs)


def test_neither_network_computes_gradients_of_the_other(monkeypatch):
    training, seen = begun(), []
    gan, bare = training.gan, training.state.bare

    def spied(name, fake_at):
        own = getattr(gan, name)

        def loss(d, *images):
            learning = {parameter.requires_grad for parameter in bare["discriminator"].parameters()}
            seen.append((name, images[fake_at].requires_grad, learning))
            return own(d, *images)

        monkeypatch.setattr(gan, name, loss)

    spied("discriminator_loss", 1), spied("generator_loss", 0)
    train_step(training)
    assert seen == [("discriminator_loss", False, {True})] * 2 + [("generator_loss", True, {False})]
    assert all(parameter.requires_grad for parameter in bare["discriminator"].parameters())


PASSES = {
    "dcgan": "generator half, discriminator half, discriminator half, generator half, discriminator half",
    "wgan-gp": "generator half, discriminator half, discriminator single, generator half, discriminator half",
    "r3gan": "generator half, discriminator single, generator half, discriminator half",
}
"""Those of a step, in order: one in which a gradient is differentiated is in float32."""


@pytest.mark.parametrize("gan", PASSES)
def test_passes_are_in_the_precision_of_the_training_and_penalties_in_float32(gan):
    training, seen, kinds = begun(gan, "bf16", critic_steps=1), [], {torch.bfloat16: "half", torch.float32: "single"}
    bare = training.state.bare
    for name, layer in (("generator", bare["generator"].to_image), ("discriminator", bare["discriminator"].head)):
        layer.register_forward_hook(lambda _, __, out, name=name: seen.append(f"{name} {kinds[out.dtype]}"))
    train_step(training)
    assert ", ".join(seen) == PASSES[gan]
    assert {weight.dtype for network in bare.values() for weight in network.parameters()} == {torch.float32}


def test_a_row_is_the_mean_of_a_loss_over_its_steps():
    training = begun()
    training.history = {("loss", ""): torch.tensor([9.0, 1, 2, 6])}
    (row,) = training.rows(1, 4)
    assert (row["metric"], row["value"], row["n"], row["step"], row["kimg"]) == ("loss", 3, 3, 4, 4 * SHOWN / 1000)


def test_statistics_of_all_processes_are_in_every_network_and_the_average():
    about = {"gan": "dcgan", "settings": RECIPE, "kimg": 1, "sync_batchnorm": True}
    state = GanState(dcgan, TrainingConfig.parse(about), make_accelerator("cpu"))
    for network in state.networks().values():
        norms = {type(module) for module in network.modules() if isinstance(module, _BatchNorm)}
        assert norms == {torch.nn.SyncBatchNorm}
