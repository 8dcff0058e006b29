"""The networks that the GANs share, a file each. Networks and objectives are two axes: any GAN works on any of them.

A GAN's file names the normalisation of its networks, and the setting `backbone` says which networks they are.
"""

from torch import nn

from gans._backbones import cnn, resnet
from gans._backbones.norms import Norm
from gans._config import GanConfig
from imagesets import Spec

BACKBONES = {"cnn": cnn, "resnet": resnet}


def generator(config: GanConfig, spec: Spec, *, norm: Norm) -> nn.Module:
    """The backbone's generator: latent (b, z), and labels (b,) if it is conditional, -> images (b, c, h, w) in [-1, 1].

    Raises:
        UsageError: no backbone builds images of that size, or they have no labels to be conditional on.
    """
    classes, backbone = config.classes_in(spec), BACKBONES[config.backbone]
    network: nn.Module = backbone.Generator(spec, config.latent, config.width, norm, classes)
    return network


def discriminator(config: GanConfig, spec: Spec, *, norm: Norm) -> nn.Module:
    """The backbone's discriminator: images (b, c, h, w) -> unbounded scores (b,), and named features.

    If it is conditional it takes labels (b,), too; without them its scores are of the images alone.

    Raises:
        UsageError: no backbone takes images of that size, or they have no labels to be conditional on.
    """
    network: nn.Module = BACKBONES[config.backbone].Discriminator(spec, config.width, norm, config.classes_in(spec))
    return network
