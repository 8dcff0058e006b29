"""Layers of networks that torch.fx cannot trace: the outputs of their modules, by forward hooks."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from outside.layers import Layers, copy_of

Hook = Callable[[str, Any], None]


class Hooked(nn.Module):
    """A network that gives a dict of the outputs of `layers`, its modules, by the name that each is given.

    Of a module that is called several times it is the last one.

    Outputs are copies: what comes after a module may work in place.
    """

    def __init__(self, network: nn.Module, layers: Mapping[str, str]) -> None:
        super().__init__()
        self.network, self.layers = network, dict(layers)

    def forward(self, x: Tensor) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with _hooked(self.network, self.layers, lambda name, output: found.update({name: copy_of(output)})):
            self.network(x)
        return {given: found[name] for name, given in self.layers.items()}


def layers(network: nn.Module, x: Tensor) -> Layers:
    """What can be had of a network, as far as it is called for images x."""
    names = called(network, x)
    return Layers(names, parts(names), [], logits(names), partial(Hooked, network))


@torch.inference_mode()
def called(network: nn.Module, x: Tensor) -> list[str]:
    """The modules that a network calls for x, each once, in the order in which they are done."""
    found: dict[str, None] = {}
    scripted = torch.jit.ScriptModule  # takes no hooks
    names = [name for name, module in network.named_modules() if name and not isinstance(module, scripted)]
    hooked = _hooked(network, names, lambda name, _: found.update({name: None}))
    with redirect_stdout(sys.stderr), hooked:
        network(x)
    return list(found)


def parts(called: Sequence[str], within: str = "") -> list[str]:
    """The outermost of the modules that are called.

    One that holds more than half of them is opened, unless it holds none but itself; so are those inside it.
    """
    found = []
    inside = [name for name in called if name.startswith(within)]
    for name in (one for one in inside if not any(one.startswith(f"{other}.") for other in inside)):
        held = sum(f"{other}.".startswith(f"{name}.") for other in called)
        found += (parts(called, f"{name}.") if 2 * held > len(called) else []) or [name]
    return found


def logits(called: Sequence[str]) -> tuple[str, str]:
    """The two layers that give the logits: the last part, if there is any, and the whole network, which has no name."""
    return (parts(called) or [""])[-1], ""


def _tell(hook: Hook, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
    hook(name, output)


@contextmanager
def _hooked(network: nn.Module, names: Iterable[str], hook: Hook) -> Iterator[None]:
    """Call the hook with the name and the output of each of these modules whenever it is done."""
    modules = dict(network.named_modules())
    with ExitStack() as handles:
        for name in names:
            handles.callback(modules[name].register_forward_hook(partial(_tell, hook, name)).remove)
        yield
