"""Networks of torchvision by name: their weights from a file, their layers, and an extractor of features."""

import difflib
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from lab.errors import UsageError, WorkbenchError, unknown_name
from lab.training.draws import derive_seed
from outside.files import read_weights

SCHEME = "torchvision:"
SHOWN = 3
"""How many of the tensors that do not fit an error names."""


def build(reference: str, weights: Path | None, seed: int) -> nn.Module:
    """The classifier `torchvision:NAME` in evaluation mode, with the weights of a file or random ones by seed.

    The number of classes is that of the file's weights.

    Raises:
        UsageError: the reference is not of torchvision, or the name is unknown.
        WorkbenchError: the file is not of weights, or they do not fit.
    """
    name = _name(reference)
    model = _construct(name, seed)
    if weights is not None:
        found = read_weights(weights)
        head = next(reversed(model.state_dict()))  # every classifier of torchvision ends in its head
        if head in found and found[head].shape[:1] != model.state_dict()[head].shape[:1]:
            model = _construct(name, seed, num_classes=len(found[head]))
        _fit(model, found, f"{weights} does not fit {name}")
    return model.eval()


def default_layers(model: nn.Module) -> list[str]:
    """The modules of the network, in order of execution; one that holds more than half of its operations is opened.

    For ResNet-18 these are conv1, bn1, relu, maxpool, layer1 to layer4, avgpool and fc; of VGG, whose `features` are
    most of the network, each of them.
    """
    nodes = _nodes(model)
    return _blocks(nodes, {name for name, _ in model.named_modules()}, "", len(nodes))


def check_layers(model: nn.Module, names: Iterable[str]) -> list[str]:
    """The names, if the network has them: nodes of its graph, or modules, which stand for their last node.

    Raises:
        UsageError: there is no name, or one is unknown; the message tells the nearest.
    """
    nodes = _nodes(model)
    known = {".".join(parts[: i + 1]) for parts in (node.split(".") for node in nodes) for i in range(len(parts))}
    chosen = list(dict.fromkeys(names))
    if not chosen:
        raise UsageError("--layers needs at least one name.")
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UsageError(
                f"Unknown layer {name!r}{hint} Known are, among others: {', '.join(default_layers(model))}."
            )
    return chosen


def extractor(model: nn.Module, layers: Sequence[str]) -> nn.Module:
    """A network that gives a dict of the layers' outputs.

    Nothing in it works in place: a layer's output would be overwritten by the next before it is read.
    """
    network = create_feature_extractor(model, return_nodes=list(layers), suppress_diff_warning=True)
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    for node in network.graph.nodes:
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    network.recompile()
    return network.eval()


def _name(reference: str) -> str:
    name = reference.removeprefix(SCHEME)
    if name == reference:
        raise UsageError(f"--model {reference!r}: only networks of torchvision are known; write {SCHEME}resnet18.")
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise unknown_name("network of torchvision", name, known)
    return name


def _construct(name: str, seed: int, **settings: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # two networks announce other random weights
        torch.manual_seed(derive_seed(seed, "weights"))
        model: nn.Module = torchvision.models.get_model(name, weights=None, **settings)
    return model


def _fit(model: nn.Module, weights: dict[str, Tensor], problem: str) -> None:
    own = model.state_dict()
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    shapes = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(value.shape)}"
        for key, value in own.items()
        if key in weights and weights[key].shape != value.shape
    ]
    faults = {"missing": missing, "unknown": [key for key in weights if key not in own], "of another shape": shapes}
    if any(faults.values()):
        parts = [f"{len(names)} {fault} ({_some(names)})" for fault, names in faults.items() if names]
        raise WorkbenchError(f"{problem}: of its tensors, {', '.join(parts)}.")
    model.load_state_dict(weights, strict=False)


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])


def _nodes(model: nn.Module) -> list[str]:
    nodes: list[str] = get_graph_node_names(model, suppress_diff_warning=True)[1]
    return nodes


def _blocks(nodes: Sequence[str], modules: set[str], prefix: str, total: int) -> list[str]:
    inside = [node for node in nodes if node.startswith(prefix)]
    heads = dict.fromkeys(prefix + node.removeprefix(prefix).partition(".")[0] for node in inside)
    found = []
    for block in (head for head in heads if head in modules):
        size = sum(node.startswith(f"{block}.") for node in nodes)
        found += _blocks(nodes, modules, f"{block}.", total) if 2 * size > total else [block]
    return found
