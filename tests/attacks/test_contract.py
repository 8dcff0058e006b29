"""Every attack keeps the contract."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import CLASSES, SIZE, Net, images_of, trained

from attacks._frame import attacked
from attacks._target import Target
from lab import registry
from lab.errors import UsageError

NAMES = [entry.name for entry in registry.entries("attacks")]
SMALL = {"steps": 4, "step": 0.5, "queries": 12, "restarts": 2}
STRONG = {"steps": 20, "step": 0.2, "queries": 120}
NORMS = ("linf", "l2")


def config_of(name, strength=SMALL, **values):
    config = registry.load("attacks", name).Config
    return config.parse({**{key: value for key, value in strength.items() if key in config.model_fields}, **values})


def accuracy(name, x, labels):
    """Of the network, or of the neighbours for who attacks those."""
    target = trained()
    target.network.eval()
    with torch.no_grad():
        logits, features = target.logits(x), target.features(x)
        found = target.knn.predict(features, logits).labels if name == "neighbor" else logits.argmax(1)
    target.network.train()
    return float((found == labels).double().mean())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(
    data=st.data(),
    norm=st.sampled_from(NORMS),
    eps=st.floats(0, 1) | st.sampled_from([0.0, 1e-30, 1e-9, 1 / 255, 1.0]),
    seed=st.integers(0, 2**40),
    double=st.booleans(),
)
def test_what_comes_out_is_in_the_ball_and_in_the_range(name, data, norm, eps, seed, double):
    values = st.sampled_from([0.0, 1.0]) | st.floats(0, 1, width=32)
    n = data.draw(st.integers(1, 3))
    pixels = data.draw(st.lists(values, min_size=n * SIZE**2, max_size=n * SIZE**2))
    x = torch.tensor(pixels, dtype=torch.float64).view(n, 1, SIZE, SIZE)
    found = attacked(name, trained(), x, torch.arange(n) % CLASSES, config_of(name, norm=norm, eps=eps), seed=seed)
    assert found.shape == x.shape and found.dtype == x.dtype
    assert found.min() >= 0 and found.max() <= 1
    change = (found - x).flatten(1)
    size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert (size <= eps * (1 + 1e-12) + 1e-15).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_changes_with_eps_0(name, norm):
    x, labels = images_of(20, 2)
    assert torch.equal(attacked(name, trained(), x, labels, config_of(name, norm=norm, eps=0)), x)


@pytest.mark.parametrize("norm, eps", [("linf", 1.0), ("l2", 200.0)])
@pytest.mark.parametrize("name", NAMES)
def test_without_a_bound_accuracy_falls_to_chance(name, norm, eps):
    """Within three standard deviations of guessing; and the network knows the images as they are."""
    x, labels = images_of(90, 2)
    found = attacked(name, trained(), x, labels, config_of(name, STRONG, norm=norm, eps=eps))
    guessing = 1 / CLASSES
    assert accuracy(name, x, labels) > 0.95
    assert accuracy(name, found, labels) <= guessing + 3 * (guessing * (1 - guessing) / len(x)) ** 0.5


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES)
def test_an_attack_does_better_than_noise(name, norm):
    x, labels = images_of(90, 2)
    eps = {"linf": 0.25, "l2": 1.4}[norm]
    found = {
        one: accuracy(name, attacked(one, trained(), x, labels, config_of(one, STRONG, norm=norm, eps=eps)), labels)
        for one in (name, "noise")
    }
    assert found[name] < found["noise"] - 0.1 or name == "noise"


@pytest.mark.parametrize("name", NAMES)
def test_the_network_and_the_random_state_are_as_before(name):
    target, (x, labels) = trained(), images_of(4, 2)
    target.network.conv.eval()
    target.network.head.bias.requires_grad_(False)
    modes = [module.training for module in target.network.modules()]
    weights = {key: value.clone() for key, value in target.network.state_dict().items()}
    torch.manual_seed(5)
    state, given_x = torch.get_rng_state(), x.clone()
    with torch.no_grad():
        found = attacked(name, target, x, labels, config_of(name))
    with torch.inference_mode():
        assert torch.equal(attacked(name, target, x, labels, config_of(name)), found)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, given_x) and not found.requires_grad
    assert [module.training for module in target.network.modules()] == modes and any(modes) and not all(modes)
    assert [p.requires_grad for p in target.network.parameters()] == [True] * 5 + [False]
    assert all(p.grad is None for p in target.network.parameters())
    assert all(torch.equal(value, weights[key]) for key, value in target.network.state_dict().items())
    target.network.train()
    target.network.head.bias.requires_grad_(True)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_fails_is_left_as_it_was(name):
    class Failing(Net):
        def forward(self, x):
            raise RuntimeError("no more memory")

    network, (x, labels) = Failing().double(), images_of(2, 2)
    if name != "noise":
        with pytest.raises(RuntimeError, match="no more memory"):
            attacked(name, Target(network, trained().knn), x, labels, config_of(name))
    assert network.training and all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_and_batches_do_not(name, norm):
    x, labels = images_of(11, 2)
    config, target = config_of(name, norm=norm, eps=0.2), trained()
    found = attacked(name, target, x, labels, config, seed=3)
    assert torch.equal(attacked(name, target, x, labels, config, seed=3), found)
    for batch in (1, 4):
        other = attacked(name, target, x, labels, config, seed=3, batch=batch)
        torch.testing.assert_close(other, found, rtol=0, atol=1e-9)
    first = attacked(name, target, x[:3], labels[:3], config, seed=3)
    torch.testing.assert_close(first, found[:3], rtol=0, atol=1e-9)
    if name in ("noise", "pgd", "square"):
        assert not torch.equal(attacked(name, target, x, labels, config, seed=4), found)


@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_it_finds_the_same_images(gpu, name):
    """The fitted rows lie on the processor, as those of a trained classifier do."""
    few = {"steps": 1, "restarts": 1, "queries": 6}
    (x, labels), target, config = images_of(4, 2), trained(), config_of(name, few, norm="l2", eps=1.0)
    expected = attacked(name, target, x, labels, config)
    there = Target(deepcopy(target.network).to(gpu), target.knn)
    found = attacked(name, there, x.to(gpu), labels.to(gpu), config)
    assert found.device.type == gpu.type
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_documented_and_checked(name):
    config = registry.config_class("attacks", name)
    assert all(field.description for field in config.model_fields.values())
    with pytest.raises(UsageError, match=r"eps: values are in \[0, 1\]"):
        config.parse({"eps": 1.5})
    assert config.parse({"eps": 1.5, "norm": "l2"}).eps == 1.5
    with pytest.raises(UsageError, match=r"eps: .*greater than or equal to 0"):
        config.parse({"eps": -0.1})
    with pytest.raises(UsageError, match=r"Unknown setting 'nrm'; did you mean 'norm'\?"):
        config.parse({"nrm": "l2"})


@pytest.mark.parametrize("name", NAMES)
def test_other_images_are_refused(name):
    x, labels = images_of(3, 2)
    refused = [
        (2 * x - 1, labels, ValueError, r"must be in \[0, 1\]"),
        (x * float("nan"), labels, ValueError, r"must be in \[0, 1\]"),
        ((255 * x).byte(), labels, TypeError, "floating and classes int64, not torch.uint8"),
        (x, labels.float(), TypeError, "int64, not torch.float64 and torch.float32"),
        (x[0], labels, ValueError, r"\(n, c, h, w\) and classes \(n,\), not \(1, 6, 6\)"),
        (x, labels[:2], ValueError, r"and \(2,\)"),
    ]
    for images, classes, kind, words in refused:
        with pytest.raises(kind, match=words):
            attacked(name, trained(), images, classes, config_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_no_images_give_none(name):
    x, labels = images_of(3, 2)
    assert attacked(name, trained(), x[:0], labels[:0], config_of(name)).shape == (0, 1, SIZE, SIZE)
