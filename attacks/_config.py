"""Settings that every attack shares. Free of torch, so that a plan can read them."""

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from lab import registry
from lab.config import HIDDEN, Config
from lab.errors import UsageError, check_known

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


def planned(
    names: Iterable[str], eps: Iterable[str | float], norm: Norm, settings: Mapping[str, str]
) -> list[tuple[str, AttackConfig]]:
    """Every attack with every eps: its name and its settings; of `settings` an attack takes those that it has.

    PGD comes with `neighbor`: its transfer is what that has to beat.

    Raises:
        UsageError: there is no name or no eps, one is unknown, or a value is impossible.
    """
    names, eps = registry.distinct(names), registry.distinct(eps)
    for option, given in (("attack", names), ("eps", eps)):
        if not given:
            raise UsageError(f"--{option} needs at least one.")
    classes = {name: registry.config_class("attacks", name) for name in with_transfer(names)}
    own = {
        name: {key: value for key, value in settings.items() if key in config.model_fields}
        for name, config in classes.items()
    }
    known = {field for config in classes.values() for field in config.model_fields} - {*AttackConfig.model_fields}
    check_known("setting of these attacks", settings, known)
    found = []
    for name, config in classes.items():
        parsed = [config.parse({**own[name], "norm": norm, "eps": value}) for value in eps]
        found += [(name, one) for one in registry.distinct(parsed)]
    return found  # type: ignore[return-value]


def with_transfer(names: Iterable[str]) -> tuple[str, ...]:
    """The names of attacks, each once, and PGD beside `neighbor`."""
    names = registry.distinct(names)
    return (*names, "pgd") if "neighbor" in names and "pgd" not in names else names
