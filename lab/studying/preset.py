"""Settings of a study in a JSON file: `{"study": NAME, "config": {...}}`, like one of its presets, or the `config.json`
of a study's folder."""

from pathlib import Path
from typing import Any

from lab.cells.layout import CONFIG, is_study
from lab.cells.record import read_study
from lab.config import Config
from lab.errors import UsageError, check_known
from lab.files import read_object, write_json

KEYS = ("study", "config")


def write_preset(path: Path, study: str, config: dict[str, Any]) -> None:
    """Write the settings of a study, whole or not at all."""
    write_json(path, {"study": study, "config": config})


def read_preset(path: Path, study: str, settings: type[Config]) -> dict[str, Any]:
    """The settings that a file has for `study`; they need not be all.

    Raises:
        UsageError: it is no such file, of another study, or it has a key that is unknown.
        WorkbenchError: it lies in a study's folder that holds links.
    """
    found, values = _read(path, study)
    if found != study:
        raise UsageError(f"{path} holds settings of the study {found!r}, not of {study}.")
    check_known("setting", sorted(values), settings.model_fields, path)
    return values


def _read(path: Path, study: str) -> tuple[str, dict[str, Any]]:
    """The study that a file is of, and its settings."""
    if path.name == CONFIG and is_study(path.parent):
        record = read_study(path.parent)
        return record.study, record.settings
    try:
        found = read_object(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no JSON file of settings: {error}.") from error
    if not set(KEYS) <= set(found) or not isinstance(found["config"], dict):
        raise UsageError(f'{path} holds no settings: {{"study": "{study}", "config": {{...}}}} is needed.')
    check_known("key", sorted(found), KEYS, path)
    return found["study"], found["config"]
