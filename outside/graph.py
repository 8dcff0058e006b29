"""Layers of networks that torch.fx can trace, such as torchvision's.

A layer is a node of the network's graph, which is a single operation, or a module, which stands for its last node.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from lab.errors import first_line
from outside.layers import Layers, copy_of

FEWEST_STAGES = 4
"""Of so many modules beside each other that are made of modules, none is opened."""
_TRACED: WeakKeyDictionary[nn.Module, list[str]] = WeakKeyDictionary()


def layers(network: nn.Module) -> Layers:
    """What can be had of a network that can be traced."""
    paths = [node.split(".") for node in _nodes(network)]
    known = {".".join(path[: i + 1]) for path in paths for i in range(len(path))}
    return Layers(known, parts(network), stages(network), logits(network), partial(copying_extractor, network))


def parts(network: nn.Module) -> list[str]:
    """The network's modules in order of execution, the head last.

    A module with more than half of the graph's nodes is opened, and so on within it, unless it holds no module, or is
    one of four or more beside each other that are made of modules: those are the network's stages, however deep one of
    them is. For ResNets these are conv1, bn1, relu, maxpool, layer1 to layer4, avgpool and fc; of VGG, whose `features`
    are most of the network, each of them.
    """
    modules = {name: any(module.children()) for name, module in network.named_modules()}
    return list(_parts(_nodes(network), modules, ""))


def stages(network: nn.Module) -> list[str]:
    """Those of the `parts` before the head that are made of modules themselves; where none is, the poolings.

    For ResNets these are layer1 to layer4; of VGG, a plain row of layers, its five poolings.
    """
    modules, before_head = dict(network.named_modules()), parts(network)[:-1]
    composed = [part for part in before_head if any(modules[part].children())]
    return composed or [part for part in before_head if isinstance(modules[part], nn.MaxPool2d | nn.AvgPool2d)]


def logits(network: nn.Module) -> tuple[str, str]:
    """The two layers that give the logits: the head, if there are parts, and the last node."""
    last = _nodes(network)[-1]
    return (parts(network) or [last])[-1], last


@torch.no_grad()
def untraceable(network: nn.Module, x: Tensor) -> str:
    """Why torch.fx cannot trace a network, in a few words; empty where it can, which is tried on images x."""
    training = network.training
    try:
        with redirect_stdout(sys.stderr):
            last = _nodes(network)[-1]
            traced = copying_extractor(network, {last: last})(x)[last]
            same = torch.allclose(traced, network(x), rtol=1e-3, atol=1e-5, equal_nan=True)
    except (Exception, SystemExit) as error:  # tracing runs code of others with stand-ins for tensors
        return first_line(error)
    finally:
        network.train(training)  # which tracing leaves changed when it fails
    return "" if same else "the graph leaves out what is done in place, and gives another output"


def extractor(network: nn.Module, layers: Mapping[str, str]) -> nn.Module:
    """A network that gives a dict of the outputs of `layers`, by the name that each is given; in the mode of `network`.

    No function or module in it works in place: a layer's output would be overwritten by the next before it is read.
    """
    with redirect_stdout(sys.stderr):  # what the network prints as it is traced is no result
        found: Any = create_feature_extractor(network, return_nodes=dict(layers), suppress_diff_warning=True)
    for module in found.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    for graph in (found.train_graph, found.eval_graph):
        for node in graph.nodes:
            if node.kwargs.get("inplace"):
                node.kwargs = {**node.kwargs, "inplace": False}
    found.recompile()
    extracting: nn.Module = found
    return extracting


def copying_extractor(network: nn.Module, layers: Mapping[str, str]) -> nn.Module:
    """As `extractor`, but whatever a network does in place, such as `x.relu_()`: outputs are copied when they are made.

    In training, where copies would add up gradients in another order, `extractor` is what is used.
    """
    found: Any = extractor(network, layers)
    for graph in (found.train_graph, found.eval_graph):
        *_, output = graph.nodes
        for node in output.all_input_nodes:
            with graph.inserting_after(node):
                copied = graph.call_function(copy_of, (node,))
            output.replace_input_with(node, copied)
    found.recompile()
    copying: nn.Module = found
    return copying


def _nodes(network: nn.Module) -> list[str]:
    """The names of the graph's nodes, in order of execution; a network is traced once."""
    if network not in _TRACED:
        _TRACED[network] = get_graph_node_names(network, suppress_diff_warning=True)[1]
    return _TRACED[network]


def _parts(nodes: Sequence[str], modules: Mapping[str, bool], prefix: str) -> Iterator[str]:
    """The parts within `prefix`; `modules` tells of each module whether it is made of others."""
    inside = (node.removeprefix(prefix).partition(".")[0] for node in nodes if node.startswith(prefix))
    found = [name for name in dict.fromkeys(prefix + first for first in inside) if name in modules]
    few = sum(modules[name] for name in found) < FEWEST_STAGES
    for name in found:
        if few and 2 * sum(node.startswith(f"{name}.") for node in nodes) > len(nodes):
            yield from [*_parts(nodes, modules, f"{name}.")] or [name]
        else:
            yield name
