"""Any attack on any images: in batches that change nothing, on a network that is left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor, nn

from attacks._config import AttackConfig
from attacks._draws import Draws
from attacks._target import Target
from lab import registry
from lab.training.modes import evaluating

BATCH = 250


def attacked(
    name: str, target: Target, x: Tensor, labels: Tensor, config: AttackConfig, *, seed: int = 0, batch: int = BATCH
) -> Tensor:
    """The images that the attack `name` makes, in the ball around x and in [0, 1], in evaluation mode of the network.

    Neither `batch` nor the order of the images changes more than rounding does; a seed means the same on any device.

    Args:
        name: of `snnl list attacks`.
        target: what is attacked, where x is.
        x: images (n, c, h, w), floating, in [0, 1].
        labels: their classes, whole numbers (n,).
        config: the attack's own settings.
        seed: decides what is drawn for the i-th image.
        batch: images at a time.

    Raises:
        UsageError: the name is unknown, or the target lacks what it attacks.
        TypeError, ValueError: x or labels are not as they should be.
    """
    check_images(x, labels)
    if not len(x):
        return x.clone()
    module: ModuleType = registry.load("attacks", name)
    found = []
    with held_still(target.network), torch.inference_mode(False), torch.enable_grad():
        for places in torch.arange(len(x), device="cpu").split(batch):
            own = places.to(x.device)
            draws = Draws.by(seed, places.tolist())
            found.append(module.attack(target, x[own].clone(), labels[own].clone(), config, draws).detach())
    return torch.cat(found)


def check_images(x: Tensor, labels: Tensor) -> None:
    """Raise TypeError or ValueError unless x are floating images (n, c, h, w) in [0, 1], with a class each (n,)."""
    if not x.is_floating_point() or labels.dtype != torch.int64:
        raise TypeError(f"images are floating and classes int64, not {x.dtype} and {labels.dtype}.")
    if x.ndim != 4 or labels.shape != x.shape[:1]:
        raise ValueError(f"images are (n, c, h, w) and classes (n,), not {tuple(x.shape)} and {tuple(labels.shape)}.")
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError("images must be in [0, 1].")


@contextmanager
def held_still(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, its parameters without gradients; after that each module is as it was."""
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        with evaluating(network):
            yield
    finally:
        for parameter, wanted in flags:
            parameter.requires_grad_(wanted)
