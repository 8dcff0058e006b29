"""MLP: fully connected layers with ReLU on the pixels, the plainest network whose hidden layers can be entangled.

Recipe: three hidden layers of 512 units, Adam 1e-3, batch 128, constant step size. No normalisation and no dropout,
so that several processes give what one gives.
"""

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers._config import ClassifierConfig
from classifiers._images import check_batch, check_classes
from imagesets import Spec

VERSION = 1


class Config(ClassifierConfig):
    """The recipe of the MLP."""

    width: int = Field(512, ge=1, le=16384, description="units of each hidden layer")
    depth: int = Field(3, ge=1, le=100, description="hidden layers")

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        """The names of the network's features, in order."""
        return tuple(f"fc{i}" for i in range(1, self.depth + 1))


class MLP(nn.Module):
    """Images (b, c, h, w) in [-1, 1] -> logits (b, classes) float32, and the features fc1, fc2, ... (b, width)."""

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__()
        units = [spec.channels * spec.size**2, *[config.width] * config.depth]
        self.spec = spec
        self.layers = nn.ModuleDict(
            {name: nn.Linear(units[i], units[i + 1]) for i, name in enumerate(config.hidden_layers)}
        )
        self.logits = nn.Linear(config.width, len(spec.classes))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        check_batch(x, self.spec)
        x, features = x.flatten(1), {}
        for name, layer in self.layers.items():
            x = features[name] = F.relu(layer(x))
        return self.logits(x).float(), features


def build(config: Config, spec: Spec) -> nn.Module:
    """The network, its weights drawn from torch's global generator.

    Raises:
        UsageError: the images have no two classes.
    """
    check_classes(spec)
    return MLP(config, spec)
