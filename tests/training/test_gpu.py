"""Both loops on a GPU: the losses of a processor, as far as rounding lets them be, and a checkpoint that goes on there.

A pretended GPU, on which whatever touches two devices fails, computes what the processor computes. A real one rounds
otherwise, in every layer, forwards and backwards. That is less than rounding each weight to 4 digits (of base 2) fewer,
so its losses may be off by what such weights, in several draws, change them by, or a few times that: draws differ.
"""

import pytest
import torch
from making import NOWHERE
from pretended import CALLED, GPU, UNORDERED, pretended_gpu
from torch.utils._pytree import tree_leaves

import classifiers._loop
import gans._loop
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.interrupts import Interrupted
from lab.training import checkpoint, frame
from snnl_core import products
from tasks import train_classifier, train_gan

STEPS, DRAWS, TIMES = 3, 3, 4
ROUNDED = {"float32": 2.0**-20, "tf32": 2.0**-7, "bf16": 2.0**-5}
"""Four digits fewer than the arithmetic of the passes has."""
GAN = {"kimg": 1.0, "settings": {"width": 4, "latent": 4, "batch": 32}}
CLASSIFIER = {"classifier": "cnn", "settings": {"width": 4, "batch": 64}, "epochs": 1, "snnl_layers": ("conv2", "fc2")}
FORMS = {
    "dcgan": (gans._loop, train_gan, {"gan": "dcgan", **GAN}),
    "wgan-gp": (gans._loop, train_gan, {"gan": "wgan-gp", **GAN}),
    "snnl-gan": (gans._loop, train_gan, {"gan": "snnl-gan", **GAN}),
    "minimum": (classifiers._loop, train_classifier, {**CLASSIFIER, "alpha": -0.02}),
    "learned": (classifiers._loop, train_classifier, {**CLASSIFIER, "alpha": 0.02, "temperature": "learn"}),
}
OTHERS = {
    "conditional": (
        gans._loop,
        train_gan,
        {"gan": "sngan", **GAN, "settings": {**GAN["settings"], "backbone": "resnet", "conditional": True}},
    ),
    "resnet": (
        classifiers._loop,
        train_classifier,
        {"classifier": "resnet", "settings": {"batch": 64}, "epochs": 1, "alpha": -0.02},
    ),
}
"""What else is to give the same bits twice on a GPU: embeddings, enlarged maps, spectral norms, strides."""


def config(form, device="cpu", precision="float32"):
    _, task, values = {**FORMS, **OTHERS}[form]
    return task.Config.parse({**values, "imageset": "digits", "device": device, "precision": precision})


def losses(form, device="cpu", precision="float32", disturbed=0.0, draw=0):
    """What the first steps of a training leave, by name: float64 (steps,)."""
    loop = {**FORMS, **OTHERS}[form][0]
    with products.restored():
        training = loop.begin(config(form, device, precision), NOWHERE)
        generator = torch.Generator().manual_seed(draw)
        for network in training.state.networks().values():
            for parameter in network.parameters():
                noise = 2 * torch.rand(parameter.shape, generator=generator, device="cpu") - 1
                parameter.data.mul_((1 + disturbed * noise).to(parameter.device))
        for _ in range(STEPS):
            loop.train_step(training)
        assert parameter.device.type == training.accelerator.device.type in (device, GPU.type)
        training.settle()
    return {key: value.double() for key, value in training.history.items()}


@pytest.fixture
def pretended(monkeypatch):
    """A pretended GPU is the device of what is trained; its fused optimizers are the plain ones."""
    accelerator = frame.Accelerator
    monkeypatch.setattr(accelerator, "device", property(lambda self: GPU))
    for name in ("Adam", "SGD"):
        made = getattr(torch.optim, name)
        monkeypatch.setattr(torch.optim, name, lambda *rest, fused=False, made=made, **more: made(*rest, **more))
    with pretended_gpu():
        yield


@pytest.mark.parametrize("form", [form for form in FORMS if form != "learned"])  # its hooks do not follow it there
def test_nothing_of_a_step_meets_what_lies_elsewhere(request, form):
    expected = losses(form)
    request.getfixturevalue("pretended")
    found = losses(form)
    assert found.keys() == expected.keys()
    for key, values in found.items():
        torch.testing.assert_close(values, expected[key], rtol=1e-4, atol=1e-5, equal_nan=True, msg=str(key))
    assert not CALLED & UNORDERED, "else it would not go on there bit for bit"


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ROUNDED)
@pytest.mark.parametrize("form", FORMS)
def test_the_losses_are_those_of_the_processor(form, precision):
    expected = losses(form)
    others = [losses(form, disturbed=ROUNDED[precision], draw=draw) for draw in range(DRAWS)]
    try:
        found = losses(form, "cuda", precision)
    finally:
        frame.set_gpu_arithmetic()
    assert found.keys() == expected.keys()
    for key, values in found.items():
        if key[0] in ("no_repeat", "vanished_gradient"):
            assert torch.equal(values, expected[key])
            continue
        within = TIMES * torch.stack([(other[key] - expected[key]).abs() for other in others]).amax(0)
        assert bool(((values - expected[key]).abs() <= within).all()), (key, values, expected[key], within)


@pytest.mark.cuda
@pytest.mark.parametrize("form", [*FORMS, *OTHERS])
def test_steps_give_the_same_bits_twice(form):
    one, other = losses(form, "cuda"), losses(form, "cuda")
    assert all(torch.equal(values.nan_to_num(), other[key].nan_to_num()) for key, values in one.items())


@pytest.mark.cuda
@pytest.mark.parametrize("form", ["dcgan", "learned"])
def test_a_checkpoint_goes_on_there(tmp_path, monkeypatch, form):
    """With the very numbers that it was saved with, and to the end."""
    loop, task, _ = FORMS[form]
    local = {"data": str(tmp_path), "download": False, "checkpoint_minutes": 0}
    made = CellFolder.create(task.cell(config(form, "cuda"), tmp_path), tmp_path, local)
    step, done = loop.train_step, []

    def stops(training):
        if training.step == 2:
            raise KeyboardInterrupt
        step(training)

    def goes_on(training):
        if not done:
            saved = checkpoint.newest_first(made.path / "checkpoints")[0]
            files = checkpoint.read(saved, made.key).files
            assert all(data == files[name] for name, data in training.state.files().items() if name != "rest.pt")
            assert torch.cuda.is_available() and training.accelerator.device.type == "cuda"
            rest = training.state.rest().values()
            tensors = [leaf for part in rest for leaf in tree_leaves(part.state_dict()) if torch.is_tensor(leaf)]
            assert {leaf.device.type for leaf in tensors if leaf.ndim} == {"cuda"}
        done.append(training.step)
        step(training)

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, Interrupted)):
        patch.setattr(loop, "train_step", stops)
        work(made)
    monkeypatch.setattr(loop, "train_step", goes_on)
    work(made)
    assert made.done and done[0] == 2 and made.environment["device"] == "cuda"
