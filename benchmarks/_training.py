"""The workbench's loops on images of noise, for a benchmark to time."""

import torch

from classifiers._config import TrainingConfig as ClassifierConfig
from classifiers._loop import ClassifierTraining
from classifiers._objective import Objective
from classifiers._state import ClassifierState
from gans._config import TrainingConfig as GanConfig
from gans._loop import GanTraining
from gans._state import GanState
from imagesets import ImageSet, Spec
from lab import machine, registry
from lab.training.checkpoint import Arithmetic
from lab.training.draws import random_generator
from lab.training.frame import make_accelerator
from lab.training.precision import bf16_products

N = 4096


def noise(channels, size):
    """What N images of noise in ten classes are, and the images."""
    pixels = torch.randint(0, 256, (N, channels, size, size), dtype=torch.uint8, generator=random_generator(0))
    spec = Spec(channels, size, tuple("0123456789"), ("train", "test"), {"train": N, "test": 2})
    return spec, ImageSet(pixels, torch.arange(N) % 10)


def gan_training(name, settings, spec, images, precision, device):
    """The training of a GAN, at its start."""
    config = GanConfig(gan=name, settings=settings, spec=spec, precision=precision, device=device)
    gan, accelerator = registry.load("gans", name), make_accelerator(device, precision)
    return GanTraining(
        accelerator=accelerator,
        arithmetic=Arithmetic(device, precision),
        config=config,
        gan=gan,
        images=images,
        state=GanState(gan, config, accelerator),
    )


def classifier_training(name, settings, spec, images, precision, alpha, device):
    """The training of a classifier, at its start, with the SNNL of all its hidden layers where alpha is not 0."""
    values = {"settings": settings, "spec": spec, "epochs": 1000, "alpha": alpha, "precision": precision}
    config = ClassifierConfig.parse(values | {"classifier": name, "device": device})
    network = registry.load("classifiers", name).build(config.settings, spec)
    objective = Objective(alpha, config.settings.hidden_layers if alpha else ())
    accelerator = make_accelerator(device, precision)
    state = ClassifierState(network, objective, config, accelerator)
    every = torch.arange(len(images))
    return ClassifierTraining(
        accelerator=accelerator,
        arithmetic=Arithmetic(device, precision),
        config=config,
        images=images,
        fit=every,
        held=every[:0],
        state=state,
    )


def stepping(training):
    """Take one step of a training, and forget what it left."""

    def step():
        with bf16_products(training.arithmetic):
            training.take_step()
        training.losses.clear()

    return step


def about_the_machine(device="cpu"):
    """Its GPU, or its threads, and whether it computes in bf16, as people read it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} threads, bf16 in hardware: {machine.computes_in_bf16('cpu')}"
