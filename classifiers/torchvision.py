"""Torchvision: any of its classifiers by name (`model`), its weights random.

The features are the outputs of layers of the network's graph: those named in `nodes`, else of its stages, e.g. layer1
to layer4 of a ResNet, the poolings of VGG, the encoder's layers of a vision transformer (`outside.graph.stages`).
The networks take three channels: grey images are repeated to three. Those that were made for 224 x 224 shrink small
images fast, and some cannot take them, which building says. A network with dropout draws it from torch's global
generator.
"""

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from classifiers._config import ClassifierConfig
from classifiers._images import check_batch, check_classes
from imagesets import Spec
from lab.errors import UsageError, first_line
from outside import graph
from outside.torchvision import construct

VERSION = 1
CHANNELS = 3
LOGITS = "logits"


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
    layers = graph.layers(network)
    nodes = layers.checked(config.nodes) or layers.stages
    for node in nodes:
        if node in layers.logits:
            raise UsageError(f"The node {node!r} gives the logits, which are no hidden layer.")
    extractor = graph.extractor(network, {**{node: node for node in nodes}, layers.logits[1]: LOGITS})
    return TorchvisionClassifier(extractor, nodes, spec)


def _construct(name: str, spec: Spec) -> nn.Module:
    settings: dict[str, Any] = {"num_classes": len(spec.classes)}
    if name in ("googlenet", "inception_v3"):
        settings["aux_logits"] = False
    if name.startswith("vit_"):
        settings["image_size"] = spec.size
    try:
        network = construct(name, **settings)
        with torch.no_grad():
            network.eval()(torch.zeros(1, CHANNELS, spec.size, spec.size))
    except (AssertionError, RuntimeError, ValueError) as error:
        images = f"images of {spec.size} x {spec.size}"
        raise UsageError(f"{name} of torchvision cannot take {images}: {first_line(error)}") from error
    return network.train()
