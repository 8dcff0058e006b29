"""Attacks as settings of tasks and studies: which, how far, and by what settings of their own."""

from typing import Annotated

from pydantic import AfterValidator, Field

from attacks._config import AttackConfig, Norm, planned, with_transfer
from lab import registry
from lab.config import Assignments, assigned
from lab.config import Config as Settings

CLEAN = "none"
"""What rows have in the place of an attack where there is none; eps is 0 there."""


def _ascending(eps: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted({float(f"{one:g}") for one in eps}))  # as rows tell them apart


Attacks = Annotated[tuple[Annotated[str, registry.known("attacks")], ...], registry.DISTINCT]
"""Names of attacks, in settings."""


class Attacking(Settings):
    """What is done to images."""

    attacks: Attacks = Field(min_length=1, description="attacks, separated by commas: list attacks tells")
    eps: Annotated[tuple[float, ...], AfterValidator(_ascending)] = Field(
        (0.1, 0.2, 0.3),
        min_length=1,
        description="how far images are moved, of values in [0, 1], several separated by commas",
    )
    norm: Norm = Field(
        "linf", description="what eps bounds: linf, the change of each value; l2, the length of all changes of an image"
    )
    attack_settings: Assignments = Field(
        (), description="settings of attacks, as steps=100,restarts=5: each attack takes those that it has"
    )

    def attacking(self) -> list[tuple[str, AttackConfig]]:
        """Every attack with every eps: its name and its settings. PGD comes with `neighbor`.

        Settings that other attacks alone have are left out: a preset's are for its own attacks.

        Raises:
            UsageError: no attack has such a setting, or it is impossible.
        """
        fields = {entry.name: _fields(entry.name) for entry in registry.entries("attacks")}
        own = set[str]().union(*(fields[name] for name in with_transfer(self.attacks)))
        others = set[str]().union(*fields.values()) - own
        settings = assigned(self.attack_settings)
        return planned(
            self.attacks, self.eps, self.norm, {key: value for key, value in settings.items() if key not in others}
        )


def _fields(name: str) -> set[str]:
    return {*registry.config_class("attacks", name).model_fields}


def versions(attacks: list[tuple[str, AttackConfig]]) -> dict[str, int]:
    """Of what attacks and of what neighbours are searched by, for a cell's identity."""
    return registry.versions("snnl_core", *(f"attacks/{name}" for name in dict.fromkeys(name for name, _ in attacks)))


def told(name: str, eps: float) -> dict[str, str]:
    """What rows say of an attack: its name is their space, eps their side."""
    return {"space": name, "side": f"{eps:g}"}


def passes(name: str, settings: AttackConfig) -> float:
    """A guess at how often an attack shows an image to the network, of which a way back counts as two."""
    found = settings.plain()
    asked = 0.3 * found.get("queries", 0)  # most images are done with early
    return float(3 * found.get("steps", 1) * found.get("restarts", 1) + asked + (120 if name == "neighbor" else 0))
