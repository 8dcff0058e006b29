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
    """The backbone's generator: latent (b, z) -> images (b, c, h, w) in [-1, 1].

    Raises:
        UsageError: no backbone builds images of that size.
    """
    network: nn.Module = BACKBONES[config.backbone].Generator(spec, config.latent, config.width, norm)
    return network


def discriminator(config: GanConfig, spec: Spec, *, norm: Norm) -> nn.Module:
    """The backbone's discriminator: images (b, c, h, w) -> unbounded scores (b,), and named features.

    Raises:
        UsageError: no backbone takes images of that size.
    """
    network: nn.Module = BACKBONES[config.backbone].Discriminator(spec, config.width, norm)
    return network
