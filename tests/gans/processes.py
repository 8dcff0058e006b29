"""What the tests of several processes run in each of them: gradients of patterns, and trainings."""

import sys
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import imagesets
from gans import wgan_gp
from gans._config import TrainingConfig
from gans._loop import GanTraining, begin, train_step
from lab import registry
from lab.processes import rank, share, world_size

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from chunked import ChunkedBatchNorm
from making import NOWHERE

BATCH, STEPS = 16, 3
SETTINGS = {"width": 4, "latent": 8, "batch": BATCH, "critic_steps": 2}


def critic() -> nn.Module:
    """The same critic in every process."""
    torch.manual_seed(0)
    return wgan_gp.Discriminator(wgan_gp.Config(width=4), imagesets.spec("digits", Path())).double()


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """This process's part of a batch of real and of generated images."""
    draw = torch.Generator().manual_seed(1)
    real, fake = torch.rand(2, BATCH, 1, 16, 16, generator=draw, dtype=torch.float64) * 2 - 1
    return share(real), share(fake) * 0.3


def wasserstein(d: nn.Module) -> torch.Tensor:
    """The critic's loss without the penalty."""
    real, fake = images()
    scores = d(torch.cat([real, fake]))[0]
    return scores[len(real) :].mean() - scores[: len(real)].mean()


def penalty(d: nn.Module) -> torch.Tensor:
    """Ten times the penalty, between the same points in every pattern."""
    real, fake = images()
    draw = torch.Generator().manual_seed(2)
    mix = share(torch.rand(BATCH, 1, 1, 1, generator=draw, dtype=torch.float64))
    between = torch.lerp(real, fake, mix).requires_grad_()
    (gradient,) = torch.autograd.grad(d(between)[0].sum(), between, create_graph=True)
    return 10 * (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()


def one_backward(d, bare):
    (wasserstein(d) + penalty(d)).backward()


def penalty_on_the_bare_model(d, bare):
    (wasserstein(d) + penalty(bare)).backward()


def penalty_first_and_not_synchronised(d, bare):
    with d.no_sync() if isinstance(d, DistributedDataParallel) else nullcontext():
        penalty(d).backward()
    wasserstein(d).backward()


def everything_on_the_bare_model(d, bare):
    (wasserstein(bare) + penalty(bare)).backward()


def penalty_last(d, bare):
    wasserstein(d).backward()
    penalty(d).backward()


def only_the_penalty_synchronised(d, bare):
    with d.no_sync() if isinstance(d, DistributedDataParallel) else nullcontext():
        wasserstein(d).backward()
    penalty(d).backward()


PATTERNS = {
    "one backward": (one_backward, {}),
    "penalty on the bare model": (penalty_on_the_bare_model, {}),
    "penalty first, not synchronised": (penalty_first_and_not_synchronised, {}),
    "everything on the bare model": (everything_on_the_bare_model, {}),
    "static graph": (one_backward, {"static_graph": True}),
    "penalty last": (penalty_last, {}),
    "only the penalty synchronised": (only_the_penalty_synchronised, {}),
}


def gradient(name: str) -> dict:
    """The gradient that a pattern leaves after its first step, and the error of its second step, if any."""
    pattern, settings = PATTERNS[name]
    bare = critic()
    d = DistributedDataParallel(bare, broadcast_buffers=False, **settings) if world_size() > 1 else bare
    pattern(d, bare)
    found = {"gradient": torch.cat([p.grad.flatten() for p in bare.parameters()]), "error": ""}
    try:
        pattern(d, bare)
    except RuntimeError as error:
        found["error"] = str(error)
    return found


class NoNorm(nn.Module):
    """In the place of BatchNorm: its gains and biases alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def on_the_bare_model(training: GanTraining) -> None:
    training.state.wrapped["discriminator"] = training.state.bare["discriminator"]


def static_graph(training: GanTraining) -> None:
    training.state.wrapped["discriminator"]._set_static_graph()


WRONG = {"everything on the bare model": on_the_bare_model, "static graph": static_graph}
"""The patterns that are wrong in silence, done to a whole training."""


def trained(gan: str, *, norm: bool, chunked: bool, wrong: str = "", **settings: object) -> dict:
    """Everything that a few steps of the loop leave: weights, average, and the optimizers' moments."""
    critic_steps = {"critic_steps": 1} if registry.load("gans", gan).Discriminator is None else {}
    about = {"gan": gan, "settings": {**SETTINGS, **critic_steps, **settings}, "kimg": 1, "snapshots": ()}
    config = TrainingConfig.parse({**about, "precision": "float32", "device": "cpu"})
    own = ChunkedBatchNorm if chunked else nn.BatchNorm2d
    with mock.patch.object(nn, "BatchNorm2d", own if norm else NoNorm):
        training = begin(config, NOWHERE)
    if wrong:
        WRONG[wrong](training)
    for _ in range(STEPS):
        train_step(training)
    return state_of(training)


def state_of(training: GanTraining) -> dict:
    """All tensors of a training."""
    state = training.state
    found = {}
    for name, network in state.networks().items():
        found |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    for name, optimizer in state.optimizers.items():
        for index, slot in optimizer.state_dict()["state"].items():
            found |= {f"{name}.optimizer.{index}.{key}": value for key, value in slot.items()}
    losses = {key[0]: torch.stack([step[key] for step in training.losses]) for key in training.losses[0]}
    found |= {f"losses.{key}": training.accelerator.reduce(value, "mean") for key, value in losses.items()}
    return found


GANS = [entry.name for entry in registry.entries("gans")]
CASES = {
    **{
        f"{gan}, {said}": {"gan": gan, "norm": norm} for gan in GANS for said, norm in (("norm", True), ("none", False))
    },
    "dcgan, entangled": {"gan": "dcgan", "norm": False, "snnl_weight": 1.0},
    "sngan, residual": {"gan": "sngan", "norm": False, "backbone": "resnet"},
    "sngan, conditional": {"gan": "sngan", "norm": False, "conditional": True},
    "snnl-gan, saturating": {"gan": "snnl-gan", "norm": False, "saturating": True},
}
"""Trainings, with BatchNorm where it is in the networks, or nothing in its place."""


def all_trained() -> dict:
    """Every case, by name, and of several processes each wrong way of WGAN-GP, in float64 from end to end.

    There, what the number of processes does to the result stands far above what rounding does, on any processor.
    """
    torch.set_default_dtype(torch.float64)
    with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        found = {name: trained(**case, chunked=world_size() == 1) for name, case in CASES.items()}
        if world_size() > 1:
            found |= {f"wgan-gp, {name}": trained("wgan-gp", norm=False, chunked=False, wrong=name) for name in WRONG}
    return found


def main(out: Path) -> None:
    """Run everything and save what came out."""
    found = all_trained()
    found |= {name: gradient(name) for name in PATTERNS}
    if rank() == 0:
        torch.save(found, out)
