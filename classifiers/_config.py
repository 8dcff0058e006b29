"""Settings that every classifier shares. Free of torch, so that a plan can read them."""

from typing import Literal

from pydantic import Field

from lab.config import Config


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
