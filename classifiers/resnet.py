"""ResNet: residual blocks with the activation before the convolution (He et al. 2016, arXiv 1603.05027).

A stem convolution, three stages of blocks of two convolutions each, at 16, 32 and 64 channels times a width factor,
the side halved before the second and the third; norm, ReLU, mean pooling, one linear layer. The default, two blocks a
stage, has 14 layers from image to logits, near the 15 of the network that the paper measured on CIFAR-10 (Frosst et al.
2019). Recipe: SGD 0.1 with momentum 0.9 and weight decay 1e-4, batch 128, cosine, shifts; the recipe for CIFAR-10 also
mirrors images (`augmentation` flip-shift), which is wrong for characters.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers._config import ClassifierConfig
from classifiers._images import check_batch, check_classes
from imagesets import Spec
from lab.training.maps import channels_last_gradient

VERSION = 1
CHANNELS = (16, 32, 64)
"""Channels of the three stages at width 1."""


class Config(ClassifierConfig):
    """The recipe of the ResNet."""

    width: int = Field(1, ge=1, le=64, description="factor of the stages' 16, 32 and 64 channels")
    depth: int = Field(2, ge=1, le=100, description="residual blocks of each of the three stages")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="the optimizer")
    learning_rate: float = Field(0.1, gt=0, description="the step size at the start")
    weight_decay: float = Field(1e-4, ge=0, description="factor of the weights that is added to their gradient")
    schedule: Literal["constant", "cosine", "exponential"] = Field(
        "cosine", description="course of the step size over the training; cosine ends at 0"
    )
    augmentation: Literal["none", "shift", "flip-shift"] = Field(
        "shift", description="random change of training images: shifted, or mirrored left to right as well"
    )

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        """The names of the network's features, in order."""
        return ("stem", *(f"block{i}" for i in range(1, 3 * self.depth + 1)))


class Block(nn.Module):
    """x (b, channels, h, w) -> (b, out, h / stride, w / stride): x plus two convolutions, each after norm and ReLU.

    Where the shape changes, the shortcut is a 1 x 1 convolution of the activated input.
    """

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        same = channels == out and stride == 1
        self.shortcut = None if same else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(activated)
        return kept + self.conv2(F.relu(self.norm2(self.conv1(activated))))


class ResNet(nn.Module):
    """Images (b, c, h, w) in [-1, 1] -> logits (b, classes) float32, and the features stem, block1, block2, ...

    A feature is the sum that leaves its block, before any norm or activation.
    """

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__()
        stages = [channels * config.width for channels in CHANNELS]
        channels = [stages[0], *(stage for stage in stages for _ in range(config.depth))]
        self.spec = spec
        self.stem = nn.Conv2d(spec.channels, channels[0], 3, padding=1, bias=False)
        self.blocks = nn.ModuleDict(
            {
                name: Block(channels[i], channels[i + 1], 2 if i in (config.depth, 2 * config.depth) else 1)
                for i, name in enumerate(config.hidden_layers[1:])
            }
        )
        self.norm = nn.BatchNorm2d(channels[-1])
        self.logits = nn.Linear(channels[-1], len(spec.classes))
        self.apply(_he_weights)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        check_batch(x, self.spec)
        x = self.stem(x)
        features = {"stem": x}
        for name, block in self.blocks.items():
            x = features[name] = block(x)
        pooled = channels_last_gradient(F.relu(self.norm(x))).mean((2, 3))
        return self.logits(pooled).float(), features


def build(config: Config, spec: Spec) -> nn.Module:
    """The network, its weights drawn from torch's global generator.

    Raises:
        UsageError: the images have no two classes.
    """
    check_classes(spec)
    return ResNet(config, spec)


def _he_weights(module: nn.Module) -> None:
    """He et al.'s start: convolutions N(0, 2 / fan-out)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
