"""Settings of a study in a JSON file: `{"study": NAME, "config": {...}}`, like one of its presets."""

import json
from pathlib import Path
from typing import Any

from lab.config import Config
from lab.errors import UsageError, unknown_name
from lab.files import write_json

KEYS = ("study", "config")


def write_preset(path: Path, study: str, config: dict[str, Any]) -> None:
    """Write the settings of a study, whole or not at all."""
    write_json(path, {"study": study, "config": config})


def read_preset(path: Path, study: str, settings: type[Config]) -> dict[str, Any]:
    """The settings that a file has for `study`; they need not be all.

    Raises:
        UsageError: it is no such file, of another study, or it has a key that is unknown.
    """
    try:
        found = json.loads(path.read_bytes())  # in UTF-8, 16 or 32, with a byte order mark or without
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no JSON file of settings: {error}.") from error
    if not isinstance(found, dict) or not set(KEYS) <= set(found) or not isinstance(found["config"], dict):
        raise UsageError(f'{path} holds no settings: {{"study": "{study}", "config": {{...}}}} is needed.')
    unknown = sorted(set(found) - set(KEYS))
    if unknown:
        raise UsageError(f"{path}: {unknown_name('key', unknown[0], KEYS)}")
    if found["study"] != study:
        raise UsageError(f"{path} holds settings of the study {found['study']!r}, not of {study}.")
    values: dict[str, Any] = found["config"]
    unknown = sorted(set(values) - set(settings.model_fields))
    if unknown:
        raise UsageError(f"{path}: {unknown_name('setting', unknown[0], settings.model_fields)}")
    return values
