"""CNN: two convolutions and three fully connected layers, the paper's network for MNIST (Frosst et al. 2019).

Convolutions of 3 x 3 with 32 and 64 channels, each with ReLU and max pooling by 2; hidden layers of 256 and 128 units
with ReLU; logits. A convolution's features are taken after its pooling. No normalisation and no dropout, so that
several processes give what one gives. Recipe: Adam 1e-3, batch 128, constant step size.
"""

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers._config import ClassifierConfig
from classifiers._images import check_batch, check_classes
from imagesets import Spec
from lab.training.maps import channels_last_gradient

VERSION = 1


class Config(ClassifierConfig):
    """The recipe of the CNN."""

    width: int = Field(
        32, ge=1, le=1024, description="channels of the first convolution; the later layers have 2, 8 and 4 times that"
    )

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        """The names of the network's features, in order."""
        return ("conv1", "conv2", "fc1", "fc2")


class CNN(nn.Module):
    """Images (b, c, h, w) in [-1, 1] -> logits (b, classes) float32, and the features conv1, conv2, fc1, fc2."""

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__()
        width = config.width
        self.spec = spec
        self.conv1 = nn.Conv2d(spec.channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.fc1 = nn.Linear(2 * width * (spec.size // 4) ** 2, 8 * width)
        self.fc2 = nn.Linear(8 * width, 4 * width)
        self.logits = nn.Linear(4 * width, len(spec.classes))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        check_batch(x, self.spec)
        conv1 = F.max_pool2d(F.relu(self.conv1(x)), 2)
        conv2 = F.max_pool2d(F.relu(self.conv2(conv1)), 2)
        fc1 = F.relu(self.fc1(channels_last_gradient(conv2).flatten(1)))
        fc2 = F.relu(self.fc2(fc1))
        return self.logits(fc2).float(), {"conv1": conv1, "conv2": conv2, "fc1": fc1, "fc2": fc2}


def build(config: Config, spec: Spec) -> nn.Module:
    """The network, its weights drawn from torch's global generator.

    Raises:
        UsageError: the images have no two classes.
    """
    check_classes(spec)
    return CNN(config, spec)
