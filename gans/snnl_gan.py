"""SNNL-GAN: a generator without an adversary, which entangles real and generated images (Frosst et al. 2019).

The paper (arXiv 1902.01889) puts the soft nearest neighbor loss (SNNL) in the discriminator's place: the generator
maximises that of a batch of real and as many generated images, at its best temperature, in pixel space, where that
means something: MNIST. So it is with `saturating`, and so it does not learn at this scale: at first the sides are
apart, and the gradient vanishes. (At a fixed temperature all images became the mean of the real ones.)

By default the loss is turned as Goodfellow et al. (2014) turn the generator's: not the probability that a neighbor is
of its own side is minimised, but that it is of the other side is maximised. Its gradient is largest where the sides are
apart, and images that are all the same are the worst. The temperature is a share of the mean squared distance of real
images; DCGAN's generator, Adam 2e-4 with betas (0.5, 0.999), 100 latent dimensions, and a batch of 256, in which
neighbors are nearer. With `space` the images are entangled in the features of a classifier that was trained on the same
images and stays as it is, where neighbors are alike in kind rather than in pixels. No published recipe is known; a
training costs a third of DCGAN's.
"""

from functools import partial
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from gans import _backbones
from gans._config import GanConfig
from gans._entangled import neighbor_losses, snnl
from lab.config import HIDDEN
from lab.errors import UsageError

VERSION = 1


class Config(GanConfig):
    """SNNL-GAN's recipe; there is no discriminator that takes steps or has features."""

    ENTANGLES: ClassVar[bool] = True

    batch: int = Field(256, ge=2, le=65_536, description="images in a batch, over all processes")
    critic_steps: Literal[1] = Field(1, description="generator updates a batch", json_schema_extra=HIDDEN)
    conditional: Literal[False] = Field(False, description="no network is told of labels", json_schema_extra=HIDDEN)
    snnl_weight: Literal[0] = Field(0, description="the objective has no other term", json_schema_extra=HIDDEN)
    temperature: float = Field(0.05, gt=0, description="share of the mean squared distance of two real images")
    space: Literal["pixels", "classifier"] = Field(
        "pixels",
        description="where images are to be entangled; classifier: the last hidden layer of a small, frozen one",
    )
    saturating: bool = Field(False, description="maximise the SNNL itself at its best temperature, as the paper does")

    @model_validator(mode="after")
    def _has_one_temperature(self) -> Self:
        if self.saturating and self.temperature != type(self).model_fields["temperature"].default:
            raise UsageError("temperature: saturating takes the best one of each batch: leave one of the two out.")
        return self

    @property
    def guided(self) -> bool:
        """Whether images are entangled in the features of a classifier."""
        return self.space == "classifier"


Generator = partial(_backbones.generator, norm="batch")
Discriminator = None


def generator_loss(d: nn.Module | None, fake: Tensor, real: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """-log of the probability that a neighbor is of the other side, a mean over both; or minus the SNNL.

    Of images (b, c, h, w), or of what the last hidden layer of `d`, a frozen classifier, makes of them.
    """
    if d is not None:
        real, fake = (list(d(images)[1].values())[-1] for images in (real, fake))
    if config.saturating:
        return -snnl(real, fake), {}
    own, other = neighbor_losses(real, fake, config.temperature)
    return other, {"snnl": own}
