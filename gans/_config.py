"""Settings that every GAN shares. Free of torch, so that a plan can read them."""

from pydantic import Field

from lab.config import Config


class GanConfig(Config):
    """The recipe of a GAN: its networks' size and its two optimizers."""

    latent: int = Field(100, ge=1, description="dimensions of the latent noise")
    width: int = Field(
        64, ge=1, le=1024, description="channels at the widest resolution; each halving of the side doubles them"
    )
    batch: int = Field(128, ge=2, description="images in a batch, over all processes")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's step size, for both networks")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    critic_steps: int = Field(1, ge=1, description="discriminator updates for each generator update")
    ema_kimg: float = Field(
        10.0,
        ge=0,
        description="half-life of the generator's weight average in kimg (at most 5% of the training so far)",
    )
