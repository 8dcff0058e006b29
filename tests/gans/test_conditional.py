"""Networks that are told of classes; those that are not are what they were before there were such."""

import hashlib
from itertools import product
from pathlib import Path

import pytest
import torch
from making import NOWHERE

from gans import _backbones
from gans._backbones import BACKBONES
from gans._config import GanConfig, TrainingConfig
from gans._labels import Labelled, drawn_labels, rows_by_class
from gans._loop import begin, train_step
from imagesets import ImageSet, Spec
from lab import registry
from lab.errors import UsageError
from tasks import train_gan

SPEC = Spec(1, 16, ("a", "b", "c"), ("train", "test"), {"train": 2, "test": 2})
ADVERSARIAL = [e.name for e in registry.entries("gans") if registry.load("gans", e.name).Discriminator is not None]
BEFORE = {
    ("cnn", "batch"): ("4260716f", 72.0315, 0.040872, 4.9028e-05),
    ("cnn", "none"): ("e041cda1", 489.602, 0.58579, 0.00022804),
    ("cnn", "spectral"): ("934fee1f", 86.0324, 0.011674, 0.0023194),
    ("resnet", "batch"): ("d753b425", 641.896, 0.46632, 13.304),
    ("resnet", "none"): ("2de1d63c", 324.312, 0.17039, 0.37551),
    ("resnet", "spectral"): ("d94ba8a0", 641.912, 0.029395, 0.047848),
}
"""Of networks from seed 0, as they were when none was told of classes: a digest of the names of all that they hold, the
sum of its sizes, and the mean sizes of 8 images' pixels and scores."""


@pytest.mark.parametrize("backbone, norm", BEFORE)
def test_networks_that_are_not_told_are_what_they_were(backbone, norm):
    config = GanConfig(backbone=backbone, width=4, latent=6)
    torch.manual_seed(0)
    generator, discriminator = (
        make(config, SPEC, norm=norm) for make in (_backbones.generator, _backbones.discriminator)
    )
    names = " ".join([*generator.state_dict(), *discriminator.state_dict()])
    sizes = [float(x.double().abs().sum()) for one in (generator, discriminator) for x in one.state_dict().values()]
    images = generator(torch.randn(8, 6)).detach()
    scores = discriminator.eval()(images)[0].detach()
    digest, *expected = BEFORE[backbone, norm]
    assert hashlib.sha256(names.encode()).hexdigest()[:8] == digest
    found = [sum(sizes), float(images.double().abs().mean()), float(scores.double().abs().mean())]
    assert found == pytest.approx(expected, rel=1e-3)


def make(name, backbone):
    module = registry.load("gans", name)
    config = module.Config(width=4, latent=6, backbone=backbone, conditional=True)
    torch.manual_seed(0)
    return module, config, module.Generator(config, SPEC), module.Discriminator(config, SPEC)


@pytest.mark.parametrize("name, backbone", [*product(ADVERSARIAL, BACKBONES)])
def test_each_loss_reaches_what_is_learned_of_classes(name, backbone):
    """At the second step, as in `test_contract`."""
    module, config, generator, discriminator = make(name, backbone)
    labels = torch.tensor([0, 1, 2, 1, 0])
    d = Labelled(discriminator, labels)
    optimizer = torch.optim.Adam(generator.parameters(), 2e-3)
    for _ in range(2):
        real, fake = torch.rand(5, 1, 16, 16) * 2 - 1, generator(torch.randn(5, 6), labels)
        discriminator.zero_grad()
        module.discriminator_loss(d, real, fake.detach(), config)[0].backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in discriminator.parameters())
        optimizer.zero_grad()
        module.generator_loss(d, fake, real, config)[0].backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("norm", ["batch", "none", "spectral"])
def test_labels_add_their_inner_product_with_the_features(backbone, norm):
    """Against the definition; an image's score is its own, whatever stands beside it in a pass."""
    config = GanConfig(backbone=backbone, width=4, latent=6, conditional=True)
    discriminator = _backbones.discriminator(config, SPEC, norm=norm).eval()
    images, labels, seen = torch.rand(6, 1, 16, 16), torch.tensor([0, 1, 2, 2, 1, 0]), []
    discriminator.head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    alone, scores = discriminator(images)[0], discriminator(images, labels)[0]
    learned = discriminator.projection.weight
    added = torch.stack([learned[label] @ point for label, point in zip(labels, seen[0], strict=True)])
    torch.testing.assert_close(scores, alone + added)
    both = Labelled(discriminator, labels)(torch.cat([images, images.flip(0)]))[0]
    torch.testing.assert_close(both, torch.cat([scores, discriminator(images.flip(0), labels)[0]]))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_is_learned_of_classes_is_held_at_one_where_layers_are(backbone):
    config = GanConfig(backbone=backbone, width=4, latent=6, conditional=True)
    discriminator = _backbones.discriminator(config, SPEC, norm="spectral")
    for _ in range(30):
        discriminator(torch.rand(2, 1, 16, 16), torch.tensor([0, 1]))
    norm = torch.linalg.matrix_norm(discriminator.projection.weight.detach(), ord=2)
    torch.testing.assert_close(norm, torch.tensor(1.0), rtol=0.05, atol=0)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_weights_of_one_class_are_its_label(backbone):
    config = GanConfig(backbone=backbone, width=4, latent=6, conditional=True)
    generator = _backbones.generator(config, SPEC, norm="batch").eval()
    noise, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 1, 0])
    images = generator(noise, labels)
    torch.testing.assert_close(generator(noise, torch.eye(3)[labels]), images)
    assert not torch.equal(generator(noise, 2 - labels), images)


def begun(gan="sngan", **settings):
    config = {"gan": gan, "settings": {"width": 4, "latent": 8, "batch": 32, "conditional": True, **settings}}
    fixed = {"kimg": 1, "snapshots": (), "precision": "float32", "device": "cpu"}
    return begin(TrainingConfig.parse({**config, **fixed}), NOWHERE)


@pytest.mark.parametrize("gan", ["sngan", "lsgan"])
def test_the_loop_teaches_each_class_its_own_images(gan):
    """White ones of class 3, black ones of class 7: labels of real and generated images go together all the way."""
    training = begun(gan, learning_rate=2e-3)
    labels = torch.arange(256) % 2
    pixels = (1 - labels).to(torch.uint8).mul(255).view(-1, 1, 1, 1).expand(-1, 1, 16, 16).contiguous()
    training.images = ImageSet(pixels, 3 + 4 * labels)
    for _ in range(80):
        train_step(training)
    generator, noise = training.state.bare["generator"].eval(), torch.randn(16, 8)
    white, black = (generator(noise, torch.full((16,), label)).mean() for label in (3, 7))
    assert white > black + 0.3


def test_the_generator_and_its_average_know_the_shares_of_the_classes():
    training = begun()
    shares = torch.bincount(training.images.labels) / len(training.images)
    for network in (training.state.bare["generator"], training.state.ema):
        assert network.classes.shares.equal(shares)


def test_labels_are_drawn_in_the_shares_of_the_classes_by_seed():
    generator = begun().state.ema
    generator.classes.shares.copy_(torch.tensor([0.5, 0.3, 0, 0, 0, 0, 0, 0, 0, 0.2]))
    drawn, again, others = (drawn_labels(generator, 4000, seed) for seed in (0, 0, 1))
    assert drawn.equal(again) and not drawn.equal(others)
    shares = torch.bincount(drawn, minlength=10) / 4000
    assert (shares - generator.classes.shares).abs().max() < 0.04  # five standard errors
    assert set(drawn.tolist()) == {0, 1, 9}


def test_rows_by_class_share_the_images_out_and_are_none_where_there_are_too_few():
    generator = begun().state.ema
    assert [len(row) for row in rows_by_class(generator, 64)] == [7] * 4 + [6] * 6
    assert [row.unique().tolist() for row in rows_by_class(generator, 10)] == [[label] for label in range(10)]
    assert rows_by_class(generator, 9) is None and rows_by_class(torch.nn.Linear(1, 1), 9) is None


def test_images_without_labels_are_refused_and_a_gan_that_has_no_network_to_tell():
    spec = Spec(1, 16, (), ("train", "test"), {"train": 64, "test": 2})
    settings = {"gan": "dcgan", "settings": {"conditional": True}, "imageset": "images:none", "spec": spec}
    with pytest.raises(UsageError, match="conditional: the images have no labels"):
        TrainingConfig.parse(settings).settings.classes_in(spec)
    with pytest.raises(UsageError, match="conditional"):
        TrainingConfig.parse({"gan": "snnl-gan", "settings": {"conditional": True}})


def test_the_setting_changes_no_key_of_those_without_it():
    plain, said, told = (
        train_gan.cell(train_gan.Config.parse({"gan": "dcgan", "settings": settings}), Path()).key
        for settings in ({}, {"conditional": False}, {"conditional": True})
    )
    assert plain == said != told
