"""Settings that every classifier shares, and those of a training. Free of torch, so that a plan can read them."""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from imagesets import Name
from imagesets._config import OfImages
from lab import registry
from lab.config import HIDDEN, Config
from lab.errors import UsageError, check_known
from lab.training.compute import Compute


def _temperature(value: Any) -> Any:
    if value in ("minimize", "learn"):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError("minimize, learn or a number above 0 is needed")
    return number


Temperature = Annotated[float | Literal["minimize", "learn"], BeforeValidator(_temperature)]


class ClassifierConfig(Config):
    """The recipe of a classifier: its optimizer, the course of its step size, its augmentation; its size is its own."""

    batch: int = Field(128, ge=2, description="images in a batch, over all processes")
    optimizer: Literal["sgd", "adam"] = Field("adam", description="the optimizer")
    learning_rate: float = Field(1e-3, gt=0, description="the step size at the start")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD's momentum; Adam has none of it")
    weight_decay: float = Field(0.0, ge=0, description="factor of the weights that is added to their gradient")
    schedule: Literal["constant", "cosine", "exponential"] = Field(
        "constant", description="course of the step size over the training; cosine ends at 0"
    )
    final_rate: float = Field(
        0.01, gt=0, le=1, description="share of the step size that an exponential schedule ends at"
    )
    augmentation: Literal["none", "shift", "flip-shift"] = Field(
        "none", description="random change of training images: shifted, or mirrored left to right as well"
    )

    @property
    def hidden_layers(self) -> tuple[str, ...] | None:
        """The names of the network's features, in order; None where only building it tells."""
        return None


class Supervision(Compute):
    """How a classifier is trained, whichever it is and on whichever images."""

    epochs: int = Field(10, ge=1, le=1_000_000, description="how often every image is shown")
    validation: float = Field(
        0.1, ge=0, lt=1, description="share of the train split that is kept apart to validate on, drawn by seed"
    )
    snnl_layers: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="hidden layers whose soft nearest neighbor loss is taken, separated by commas; not given: all",
    )
    temperature: Temperature = Field(
        "minimize", description="minimize: the best one of every batch and layer; learn: by gradient steps; or a number"
    )
    distance: Literal["sqeuclidean", "cosine"] = Field(
        "sqeuclidean", description="distance of features: squared Euclidean, or 1 - cos"
    )


class TrainingConfig(OfImages, Supervision):
    """A run of the supervised loop. With alpha 0 there is no soft nearest neighbor loss, whatever its settings are."""

    classifier: Annotated[str, registry.known("classifiers")] = Field(
        description="the classifier", json_schema_extra=HIDDEN
    )
    settings: SerializeAsAny[ClassifierConfig] = Field(
        default_factory=ClassifierConfig,
        validate_default=True,
        description="the classifier's recipe",
        json_schema_extra=HIDDEN,
    )
    imageset: Name = Field("digits", description="the images to learn; folder:PATH or zip:PATH for your own")
    alpha: float = Field(
        0.0,
        description="weight of the soft nearest neighbor loss of hidden layers beside the cross-entropy: negative "
        "entangles the classes there, as in the paper; positive disentangles them",
    )
    seed: int = Field(0, ge=0, description="seed of weights, batches, augmentation and the choice of validation images")
    snapshots: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (),
        description="epochs after which the weights are kept, too, besides the last",
        json_schema_extra={"also": "--snapshot"},
    )

    @field_validator("settings", mode="before")
    @classmethod
    def _of_the_classifier(cls, settings: Any, info: ValidationInfo) -> Any:
        return registry.settings_of("classifiers", info.data.get("classifier"), settings)

    @model_validator(mode="after")
    def _as_short_as_can_be(self) -> Self:
        """What says the same is the same: layers in the network's order, no epoch twice, no unused settings."""
        self.check_batch(self.settings.batch)
        for epoch in self.snapshots:
            if epoch > self.epochs:
                raise UsageError(f"snapshots: epoch {epoch} is not in 0 to {self.epochs}.")
        known = self.settings.hidden_layers
        layers = self.snnl_layers if known is None else chosen_layers(self.snnl_layers, known)
        kept: dict[str, Any] = {"snapshots": tuple(sorted({*self.snapshots} - {self.epochs}))}
        if not self.alpha:
            kept |= {"alpha": 0.0, "snnl_layers": None, "temperature": "minimize", "distance": "sqeuclidean"}
        elif layers is not None:
            kept |= {"snnl_layers": None if layers == known else layers}
        return self.model_copy(update=kept)

    @property
    def about(self) -> dict[str, str | int]:
        """What rows say of the training."""
        return {"model": self.classifier, "imageset": self.imageset, "seed": self.seed, "setting": self.setting}

    @property
    def setting(self) -> str:
        """What the rows of a training say of its objective: alpha, and what else is not as usual.

        For example `alpha=0`, `alpha=-0.01` or `alpha=-0.01;layers=fc1,fc2;temperature=learn`.
        """
        parts = {"alpha": f"{self.alpha:g}"}
        if self.snnl_layers is not None:
            parts["layers"] = ",".join(self.snnl_layers)
        if self.temperature != "minimize":
            parts["temperature"] = "learn" if self.temperature == "learn" else f"{self.temperature:g}"
        if self.distance != "sqeuclidean":
            parts["distance"] = self.distance
        return ";".join(f"{name}={value}" for name, value in parts.items())


def chosen_layers(asked: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """The hidden layers that are asked for, each once, in the network's order; None for all.

    Raises:
        UsageError: one is not known; the message lists those that are.
    """
    layers = tuple(known)
    check_known("hidden layer", asked or (), layers)
    return layers if asked is None else tuple(layer for layer in layers if layer in asked)
