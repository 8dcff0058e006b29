"""The command that makes a study: its preset, and the settings that differ from it."""

import shlex
from collections.abc import Iterator
from typing import Any

from lab import registry
from lab.config import HIDDEN, Config


def command_of(study: str, config: Config) -> str:
    """The shortest one: of the preset from which fewest settings differ."""
    module = registry.load("studies", study)
    asked = min(
        (_options(name, module.Config.parse(values), config) for name, values in module.PRESETS.items()), key=len
    )
    return shlex.join(["snnl", "study", study, *asked])


def _options(preset: str, usual: Config, config: Config) -> list[str]:
    named = [] if preset == "laptop" else ["--preset", preset]
    return [*named, *_differing(usual.plain(), config)]


def _differing(usual: dict[str, Any], config: Config) -> Iterator[str]:
    for name, field in type(config).model_fields.items():
        value, option = config.plain()[name], name.replace("_", "-")
        if value == usual[name] or value is None or field.json_schema_extra == HIDDEN:
            continue
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield from (f"--{option}", _text(value))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_text(one).replace(",", ",,") for one in value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
