"""Settings that every GAN shares, and those of a training. Free of torch, so that a plan can read them."""

import itertools
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from imagesets import Name, Spec
from imagesets._config import OfImages
from lab import registry
from lab.config import HIDDEN, Config
from lab.errors import UsageError
from lab.training.compute import Compute


class GanConfig(Config):
    """The recipe of a GAN: its networks' size and its two optimizers."""

    DEPENDS_ON_LENGTH: ClassVar[bool] = False
    """Whether a longer run begins otherwise than a shorter one."""
    DIFFERENTIATES_TWICE: ClassVar[bool] = False
    """Whether the discriminator's loss differentiates a gradient, which torch.compile cannot: it is left as it is."""
    ENTANGLES: ClassVar[bool] = False
    """Whether the objective is made with the soft nearest neighbor loss: the engine is then a part of what decides."""

    backbone: Literal["cnn", "resnet"] = Field("cnn", description="the networks; resnet costs several times more")
    conditional: bool = Field(False, description="learn to generate each class by itself, where images have labels")
    latent: int = Field(100, ge=1, le=65_536, description="dimensions of the latent noise")
    width: int = Field(
        64, ge=1, le=1024, description="channels at the widest resolution; each halving of the side doubles them"
    )
    batch: int = Field(128, ge=2, le=65_536, description="images in a batch, over all processes")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's step size, for both networks")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    critic_steps: int = Field(1, ge=1, le=1000, description="discriminator updates for each generator update")
    ema_kimg: float = Field(
        10.0,
        ge=0,
        description="half-life of the generator's weight average in kimg (at most 5% of the training so far)",
    )
    snnl_weight: float = Field(
        0.0,
        description="reward of the generator for the SNNL of real and generated images in the discriminator's layers",
    )

    def classes_in(self, spec: Spec) -> int:
        """How many classes the networks are told of: 0 if they are told of none.

        Raises:
            UsageError: they are to be told, and the images have no labels.
        """
        if self.conditional and not spec.classes:
            raise UsageError("conditional: the images have no labels: take some that have, or leave it out.")
        return len(spec.classes) if self.conditional else 0

    @property
    def guided(self) -> bool:
        """Whether the objective is in the features of a frozen classifier of the images, which another cell trains."""
        return False

    @property
    def entangles(self) -> bool:
        """Whether the engine decides a part of the result."""
        return self.ENTANGLES or self.snnl_weight != 0


class TrainingConfig(OfImages, Compute):
    """A run of the adversarial loop."""

    gan: Annotated[str, registry.known("gans")] = Field(description="the GAN", json_schema_extra=HIDDEN)
    settings: SerializeAsAny[GanConfig] = Field(
        default_factory=GanConfig, validate_default=True, description="the GAN's recipe", json_schema_extra=HIDDEN
    )
    imageset: Name = Field("digits", description="the images to learn; folder:PATH or zip:PATH for your own")
    kimg: float = Field(
        100.0, gt=0, le=1e9, description="length, in thousands of real images shown to the discriminator"
    )
    seed: int = Field(0, ge=0, description="seed of weights, batches and noise")
    snapshot_kimg: float = Field(
        0.5,
        ge=0.001,
        le=1e9,
        description="keep the generator at 0, at this, at 4, 9, 16, ... times this, and at the end",
    )
    snapshots: tuple[float, ...] | None = Field(
        None, description="keep the generator at these kimg instead", json_schema_extra=HIDDEN
    )

    @field_validator("settings", mode="before")
    @classmethod
    def _of_the_gan(cls, settings: Any, info: ValidationInfo) -> Any:
        return registry.settings_of("gans", info.data.get("gan"), settings)

    @model_validator(mode="after")
    def _is_a_step_or_more(self) -> Self:
        if self.steps_at(self.kimg) < 1:
            raise UsageError(
                f"kimg: {self.kimg:g} is less than one generator step, which takes {self.images_per_step} images."
            )
        self.check_batch(self.settings.batch)
        return self

    @property
    def images_per_step(self) -> int:
        """Real images that the discriminator sees for one update of the generator."""
        return self.settings.batch * self.settings.critic_steps

    def steps_at(self, kimg: float) -> int:
        """The number of generator updates nearest to `kimg`."""
        return round(kimg * 1000 / self.images_per_step)

    @property
    def kept_at(self) -> tuple[float, ...]:
        """The kimg at which the generator is kept. By `snapshot_kimg`, a longer run keeps what a shorter one does."""
        if self.snapshots is not None:
            return self.snapshots
        times = (round(self.snapshot_kimg * i**2, 3) for i in itertools.count())
        return (*itertools.takewhile(lambda time: time < self.kimg, times), self.kimg)

    @property
    def about(self) -> dict[str, str | int]:
        """What rows say of the training."""
        weight = self.settings.snnl_weight
        added = {"setting": f"snnl_weight = {weight:g}"} if weight else {}
        return {"model": self.gan, "imageset": self.imageset, "seed": self.seed, **added}
