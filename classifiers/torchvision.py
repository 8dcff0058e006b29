"""Torchvision: any of its classifiers by name (`model`), its weights random.

The features are the outputs of nodes of the network's graph: those named in `nodes`, else of its main stages, e.g.
layer1 to layer4 of a ResNet, the poolings of VGG, the encoder's layers of a vision transformer. The networks take three
channels: grey images are repeated to three. Those that were made for 224 x 224 shrink small images fast, and some
cannot take them, which building says. A network with dropout draws it from torch's global generator.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from pydantic import Field
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from classifiers._config import ClassifierConfig
from classifiers._images import check_batch, check_classes
from imagesets import Spec
from lab.errors import UsageError, first_line, unknown_name

VERSION = 1
CHANNELS = 3
LOGITS = "logits"
FEWEST_STAGES = 3
"""A network of fewer parts than these has its largest part opened."""


class Config(ClassifierConfig):
    """The recipe of a network of torchvision."""

    model: str = Field("resnet18", description="torchvision's name of the network")
    nodes: tuple[str, ...] = Field(
        (), description="nodes of the network's graph that are its hidden layers, in order; none for its main stages"
    )

    @property
    def hidden_layers(self) -> tuple[str, ...] | None:
        """The nodes that are named; None for the main stages, which only building tells."""
        return tuple(dict.fromkeys(self.nodes)) or None


class TorchvisionClassifier(nn.Module):
    """Images (b, c, h, w) in [-1, 1] -> logits (b, classes) float32, and the nodes' outputs by name."""

    def __init__(self, extractor: nn.Module, nodes: Sequence[str], spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.nodes = nodes
        self.extractor = extractor

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        check_batch(x, self.spec)
        outputs = self.extractor(x.expand(-1, CHANNELS, -1, -1))
        return outputs[LOGITS].float(), {node: outputs[node] for node in self.nodes}


def build(config: Config, spec: Spec) -> nn.Module:
    """The network, its weights drawn from torch's global generator.

    Raises:
        UsageError: the images have no two classes, the network or a node is unknown, or images of this size are too
            small for it.
    """
    check_classes(spec)
    network = _construct(config.model, spec)
    graph = get_graph_node_names(network, suppress_diff_warning=True)[1]
    head = _head(network, graph)
    nodes = config.hidden_layers or _main_stages(network, head)
    _check_nodes(nodes, graph, head)
    outputs = {**{node: node for node in nodes}, graph[-1]: LOGITS}
    extractor = create_feature_extractor(network, return_nodes=outputs, suppress_diff_warning=True)
    _work_out_of_place(extractor)
    return TorchvisionClassifier(extractor, nodes, spec)


def _construct(name: str, spec: Spec) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise unknown_name("network of torchvision", name, known)
    settings: dict[str, Any] = {"num_classes": len(spec.classes)}
    if name in ("googlenet", "inception_v3"):
        settings["aux_logits"] = False
    if name.startswith("vit_"):
        settings["image_size"] = spec.size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # two networks announce other random weights
            network: nn.Module = torchvision.models.get_model(name, weights=None, **settings)
        with torch.no_grad():
            network.eval()(torch.zeros(1, CHANNELS, spec.size, spec.size))
    except (AssertionError, RuntimeError, ValueError) as error:
        images = f"images of {spec.size} x {spec.size}"
        raise UsageError(f"{name} of torchvision cannot take {images}: {first_line(error)}") from error
    return network.train()


def _head(network: nn.Module, graph: Sequence[str]) -> str:
    """The part of the network that the logits come from: the last in its graph."""
    parts = {name for name, _ in network.named_children()}
    return next(part for part in (node.partition(".")[0] for node in reversed(graph)) if part in parts)


def _main_stages(module: nn.Module, head: str, prefix: str = "") -> Sequence[str]:
    """Names of the parts that themselves have parts, without the head; the largest of few is opened.

    A part that is one plain row of layers has its poolings as stages.
    """
    parts = {f"{prefix}{name}": child for name, child in module.named_children() if any(child.children())}
    stages = [name for name in parts if name != head]
    if not stages:
        kinds = nn.MaxPool2d | nn.AvgPool2d
        return [f"{prefix}{name}" for name, child in module.named_children() if isinstance(child, kinds)]
    if len(stages) >= FEWEST_STAGES:
        return stages
    largest = max(stages, key=lambda name: sum(p.numel() for p in parts[name].parameters()))
    i = stages.index(largest)
    return [*stages[:i], *_main_stages(parts[largest], head, f"{largest}."), *stages[i + 1 :]]


def _check_nodes(nodes: Sequence[str], graph: Sequence[str], head: str) -> None:
    paths = (node.split(".") for node in graph)
    known = {".".join(parts[: i + 1]) for parts in paths for i in range(len(parts))}
    for node in nodes:
        if node not in known:
            raise unknown_name("node", node, known)
        if node in (head, graph[-1]):
            raise UsageError(f"The node {node!r} gives the logits, which are no hidden layer.")


def _work_out_of_place(extractor: Any) -> None:
    """Let no operation of the extractor overwrite the output of another: it may be a feature."""
    for module in extractor.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    for graph in (extractor.train_graph, extractor.eval_graph):
        for node in graph.nodes:
            if node.kwargs.get("inplace"):
                node.kwargs = {**node.kwargs, "inplace": False}
    extractor.recompile()
