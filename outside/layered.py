"""Foreign networks in the form of our own ones: images in [-1, 1] as they take them, and their layers by name."""

import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lab.errors import NO_MEMORY, Say, UsageError, WorkbenchError, first_line, out_of_memory
from outside import graph, hooks, own
from outside.torchvision import SCHEME

Normalize = Literal["imagenet", "none"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in [0, 1], with which torchvision's weights were trained."""
COLOURS = 3
LOGITS = "logits"
"""What a network's own output is called beside its hidden layers."""
UNFIT = re.compile(r"shape|size|dimension|channel|height|width", re.IGNORECASE)
"""What errors speak of where images do not fit a network."""
GREY = f"to have {COLOURS} channels, but got 1 "
"""What torch says of grey images and a network that takes colour."""
CALLERS = ("outside", "evaluation", "torch")
"""Who calls the code of others: an error's place is not there."""


@dataclass(frozen=True)
class Shown:
    """How a foreign network is shown images: side in pixels, range and channels; None for those of the images."""

    size: int | None
    normalize: Normalize
    channels: int | None

    def __call__(self, images: Tensor) -> Tensor:
        return prepare(images, self.size, self.normalize, self.channels or images.shape[1])


class Layered(nn.Module):
    """Images (b, c, h, w) in [-1, 1] -> a foreign network's logits (b, classes), and its hidden layers by name."""

    def __init__(self, extractor: nn.Module, shown: Shown) -> None:
        """From what `extractor` gave with `hidden`."""
        super().__init__()
        self.extractor, self.shown = extractor, shown

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        found = differentiable(self.extractor, self.shown(images))
        logits = found.pop(LOGITS).float()
        return logits, {name: channels_first(name, layer, len(images)) for name, layer in found.items()}


def usual(model: str, size: int | None, normalize: Normalize | None) -> Shown:
    """How a network is shown images of this side: normalised as it is usual, unless that is given."""
    foreign = model.startswith(SCHEME)
    chosen = normalize or ("imagenet" if foreign else "none")
    return Shown(size, chosen, COLOURS if foreign or chosen == "imagenet" else None)


def prepare(images: Tensor, size: int | None, normalize: Normalize, channels: int = COLOURS) -> Tensor:
    """Images (b, c, h, w) in [-1, 1] in the asked-for number of channels, side (None for their own) and range."""
    x = images.add(1).div(2).expand(-1, channels, -1, -1)
    if size is not None and x.shape[2:] != (size, size):
        x = nn.functional.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
    if normalize == "none":
        return x
    return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]


@torch.inference_mode()
def run(network: nn.Module, batch: Tensor) -> Any:
    """What a foreign network gives for prepared images, without gradients; raises what `differentiable` raises."""
    return differentiable(network, batch)


def differentiable(network: nn.Module, batch: Tensor) -> Any:
    """What a foreign network gives for prepared images, with gradients where they are asked for.

    Raises:
        UsageError: it takes no images of this shape.
        WorkbenchError: it fails for another reason.
    """
    with running(f"The network fails on images of {batch.shape[-1]} x {batch.shape[-1]} pixels"):
        return network(batch)


@contextmanager
def running(problem: str) -> Iterator[None]:
    """Code of others runs on images: what it prints goes to stderr, away from results.

    Raises:
        UsageError: it takes no images of this shape; the message begins with the problem.
        WorkbenchError: it fails for another reason.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (Exception, SystemExit) as error:  # code of others raises errors of every kind
        raise _failing(problem, error) from error


def _failing(problem: str, error: Exception | SystemExit) -> WorkbenchError:
    """The error of a network whose code raised one: it proposes colours or another size where the images do not fit,
    else it tells where in the code it arose."""
    if out_of_memory(error):
        return WorkbenchError(NO_MEMORY)
    if isinstance(error, RuntimeError | ValueError | AssertionError) and UNFIT.search(str(error)):
        remedy = (
            "Add --normalize imagenet, which makes three channels"
            if GREY in str(error)
            else "Try another --size, as 224"
        )
        return UsageError(f"{problem} ({first_line(error)}). {remedy}.")
    places = [
        f" ({frame.f_code.co_filename}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in CALLERS
        and Path(frame.f_code.co_filename).is_file()  # code that torch.fx made is in none
    ]
    return WorkbenchError(f"{problem}: {type(error).__name__}: {first_line(error)}{''.join(places[-1:])}.")


def extractor(
    model: str, network: nn.Module, asked: Sequence[str] | None, images: Tensor, say: Say, *, hidden: bool = False
) -> nn.Module:
    """A network that gives a dict of the outputs of its layers: those asked for, or its modules.

    Layers are modules and nodes of the network's graph where torch.fx can trace it, else modules, by forward hooks.

    Args:
        model: what the network is called.
        network: prepared images -> logits.
        asked: names of layers; None for the modules that give a tensor with one row an image, or with `hidden` for
            the stages, if there are two or more.
        images: some prepared images.
        say: is told, in a line, if there is no graph.
        hidden: leave out what gives the logits, and give these as `logits`.

    Raises:
        UsageError: the network takes no images of this shape; a layer that is asked for is not there, or not hidden.
        WorkbenchError: the network fails otherwise, its output is no logits, or there is no layer.
    """
    if asked is not None and not asked:
        raise UsageError("--layers needs at least one name.")
    network = getattr(network, "_orig_mod", network)  # what torch.compile gives shows none of its modules
    own.check_logits(model, run(network, images), len(images))
    reason = graph.untraceable(network, images)
    if reason:
        say(f"{model}: torch.fx cannot trace it ({reason}), so its layers are its modules, by forward hooks.")
    layers = hooks.layers(network, images) if reason else graph.layers(network)
    names = layers.usual(hidden=hidden) if asked is None else layers.checked(asked)
    if hidden and asked is not None and set(asked) & set(layers.logits):
        raise UsageError(f"Layer {min(set(asked) & set(layers.logits))!r} gives the logits and is no hidden layer.")
    names = [name for name in names if not (hidden and name in layers.logits)]
    if asked is None:
        found = run(layers.giving({name: name for name in names}), images)
        names = [name for name in names if _is_layer(found[name], len(images))]
    if not names:
        raise WorkbenchError(f"{model} has no module whose output is a tensor with one row an image; see --layers.")
    return layers.giving({**{name: name for name in names}, **({layers.logits[1]: LOGITS} if hidden else {})})


def channels_first(name: str, layer: Any, n: int) -> Tensor:
    """A layer's output with its channels first, where torchvision's transformers have them last.

    Raises:
        UsageError: it is no floating tensor with one row for each of n images.
    """
    if not _is_layer(layer, n):
        raise UsageError(f"Layer {name!r} gives no floating tensor with one row an image.")
    if layer.ndim == 3:  # (b, tokens, c)
        return layer.transpose(1, 2).unsqueeze(3)
    last = layer.ndim == 4 and layer.shape[1] == layer.shape[2] != layer.shape[3]  # maps are square, as images are
    return layer.permute(0, 3, 1, 2) if last else layer


def _is_layer(output: Any, n: int) -> bool:
    return isinstance(output, Tensor) and output.is_floating_point() and output.shape[:1] == (n,)
