"""Every classifier keeps the contract."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from imagesets import Spec
from lab import registry
from lab.errors import UsageError

NAMES = [entry.name for entry in registry.entries("classifiers")]
SMALL = {"width": 4, "depth": 2}


def spec_of(channels=1, size=16, classes=3):
    names = tuple("abcdefghij"[:classes])
    return Spec(channels, size, names, ("train", "test"), {"train": 8, "test": 8})


def recipe(name):
    """The classifier's settings, its size small where it has one."""
    config = registry.load("classifiers", name).Config
    return config.parse({key: value for key, value in SMALL.items() if key in config.model_fields})


def make(name, seed=0, **images):
    config = recipe(name)
    torch.manual_seed(seed)
    return config, registry.load("classifiers", name).build(config, spec_of(**images))


def batch_of(channels=1, size=16, n=6):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, channels, size, size, generator=generator) * 2 - 1, torch.arange(n) % 3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 28, 32, 64])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_named_features(name, size, channels):
    config, network = make(name, size=size, channels=channels)
    x, _ = batch_of(channels, size)
    for training in (True, False):
        logits, features = network.train(training)(x)
        assert logits.shape == (6, 3) and logits.dtype == torch.float32
        assert len(features) >= 2
        assert config.hidden_layers in (None, tuple(features))
        assert all(len(feature) == 6 and feature.isfinite().all() for feature in features.values())
        assert len({id(feature) for feature in features.values()} | {id(logits)}) == len(features) + 1


@pytest.mark.parametrize("name", NAMES)
def test_logits_stay_float32_under_autocast(name):
    with torch.autocast("cpu", torch.bfloat16):
        assert make(name)[1](batch_of()[0])[0].dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_reaches_every_parameter_and_a_step_lowers_it(name):
    _, network = make(name)
    x, labels = batch_of()
    loss = F.cross_entropy(network(x)[0], labels)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    torch.optim.SGD(network.parameters(), 1e-3).step()
    with torch.no_grad():
        assert F.cross_entropy(network(x)[0], labels) < loss


@pytest.mark.parametrize("name", NAMES)
def test_the_features_lead_to_the_logits(name):
    """Each feature is what the network goes on from: the logits' gradient reaches it."""
    logits, features = make(name)[1](batch_of()[0])
    gradients = torch.autograd.grad(logits.square().sum(), list(features.values()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_kept_in_a_file(name, tmp_path):
    x, _ = batch_of()
    saved, other = make(name, seed=0)[1], make(name, seed=1)[1]
    saved(x)  # moves the running statistics of norms
    save_file({key: value.contiguous() for key, value in saved.state_dict().items()}, tmp_path / "a.safetensors")
    other.load_state_dict(load_file(tmp_path / "a.safetensors"))
    expected, found = saved.eval()(x), other.eval()(x)
    assert torch.equal(expected[0], found[0])
    assert all(torch.equal(expected[1][layer], found[1][layer]) for layer in expected[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_the_weights(name):
    first, again, other = (make(name, seed)[1].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_memory_format_changes_nothing_but_rounding(name, channels):
    x, _ = batch_of(channels)
    network = make(name, channels=channels)[1].eval().double()
    expected = network(x.double())
    found = network.to(memory_format=torch.channels_last)(x.double().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-6)
    for layer in expected[1]:
        torch.testing.assert_close(found[1][layer], expected[1][layer], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_documented_and_checked(name):
    config = registry.config_class("classifiers", name)
    assert all(field.description for field in config.model_fields.values())
    with pytest.raises(UsageError, match="learning_rate"):
        config.parse({"learning_rate": -1})
    with pytest.raises(UsageError, match=r"Unknown setting 'batches'; did you mean 'batch'\?"):
        config.parse({"batches": 3})


@pytest.mark.parametrize("name", NAMES)
def test_other_images_are_refused(name):
    _, network = make(name)
    with pytest.raises(ValueError, match=r"grey images of 16 x 16, \(b, 1, 16, 16\), not \(6, 3, 16, 16\)"):
        network(batch_of(channels=3)[0])
    with pytest.raises(ValueError, match=r"not \(6, 1, 28, 28\)"):
        network(batch_of(size=28)[0])


@pytest.mark.parametrize("classes, found", [(0, "no"), (1, "1")])
@pytest.mark.parametrize("name", NAMES)
def test_images_without_classes_are_refused(name, classes, found):
    with pytest.raises(UsageError, match=f"at least 2 classes; these have {found}"):
        make(name, classes=classes)
