"""Settings that every attack shares. Free of torch, so that a plan can read them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from lab.config import HIDDEN, Config
from lab.errors import UsageError

Norm = Literal["linf", "l2"]
Loss = Literal["cross-entropy", "margin"]


class AttackConfig(Config):
    """How far an image may be moved."""

    norm: Norm = Field(
        "linf", description="what is bounded: linf, the change of each value; l2, the length of all changes of an image"
    )
    eps: float = Field(
        0.1, ge=0, description="the bound, for values in [0, 1]; 0 changes nothing", json_schema_extra=HIDDEN
    )

    @model_validator(mode="after")
    def _is_within_the_range_of_values(self) -> Self:
        if self.norm == "linf" and self.eps > 1:
            raise UsageError(f"eps: values are in [0, 1], so that linf moves them by at most 1 (got {self.eps:g})")
        return self


class GradientConfig(AttackConfig):
    """An attack along the gradient of a loss of the logits."""

    loss: Loss = Field(
        "cross-entropy",
        description="what is raised: cross-entropy, or margin, the largest other logit minus that of the true class, "
        "whose slope does not vanish where the softmax is sure",
    )
