"""What a cell's `config.json` says, and whether it was changed since it was written; and what a study's folder says.

identity        what the key is made of, with the settings that differ from their defaults
config          every setting, as it was when the cell was planned
local           what does not decide the result: the folder of the data, how often to save
key, label      which together name the folder
needs_folders   the names of the folders that the cell reads
seal            a hash of all but `local`
"""

from pathlib import Path
from typing import Any

from lab.cells.cell import FORMAT, Cell, ConfigT, folder_name
from lab.cells.layout import CONFIG, PLAN
from lab.errors import UsageError, WorkbenchError
from lab.files import read_json
from lab.hashing import content_hash

SEALED = ("identity", "config", "key", "label", "needs_folders")


def record_of(cell: Cell, local: dict[str, Any]) -> dict[str, Any]:
    """The record of a cell."""
    record = {
        "format": FORMAT,
        "identity": cell.identity(),
        "config": cell.config.plain(),
        "key": cell.key,
        "label": cell.label,
        "needs_folders": [needed.folder_name for needed in cell.needs],
        "local": local,
    }
    return {**record, "seal": _seal(record)}


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a cell's folder.

    Raises:
        WorkbenchError: it is no cell's folder, one of another format, or one that was edited or renamed.
    """
    record = read_json(folder / CONFIG, "no cell's folder: it has no readable config.json")
    if record.get("format") != FORMAT:
        version = f"format {record.get('format')!r}; this version reads {FORMAT}"
        raise WorkbenchError(f"{folder} has {version}: use the version that made it, or another folder.")
    if not _is_whole(record):
        raise WorkbenchError(f"{folder / CONFIG} was edited: remove the folder, and have it made anew.")
    name = folder_name(record["label"], record["key"])
    if folder.resolve().name != name:
        raise WorkbenchError(f"{folder} holds the cell {name}: give it that name again.")
    return record


def recorded_cell(folder: Path, settings: type[ConfigT]) -> Cell[ConfigT]:
    """The cell of a folder that needs no other, so that a plan can need it, whichever version of the code made it.

    Raises:
        WorkbenchError: as `read_record`, or this version has other settings or other defaults.
    """
    record = read_record(folder)
    made = record["identity"]
    try:
        config = settings.parse(record["config"])
    except UsageError as error:
        raise WorkbenchError(f"{folder} was made by another version: {error}") from error
    cell = Cell(made["task"], record["label"], config, made["versions"], made["data"], processes=made["processes"])
    if cell.key != record["key"]:
        raise WorkbenchError(f"{folder} was made by another version, whose settings mean something else here.")
    return cell


def read_study(folder: Path) -> tuple[str, dict[str, Any], list[str]]:
    """The study that a folder is of, its settings as plain values, and the names of its cells.

    Raises:
        UsageError: it is no study's folder.
    """
    try:
        plan, settings = (read_json(folder / name, "no study's folder") for name in (PLAN, CONFIG))
        return plan["study"], settings, plan["cells"]
    except (WorkbenchError, KeyError) as error:
        raise UsageError(f"{folder} is no study's folder; one looks like runs/studies/NAME/HASH.") from error


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record has all its parts, and the key and the seal that follow from them."""
    try:
        whole = content_hash(record["identity"]) == record["key"] and _seal(record) == record["seal"]
        return whole and isinstance(record["local"], dict)
    except (KeyError, TypeError):
        return False


def _seal(record: dict[str, Any]) -> str:
    return content_hash([record[name] for name in SEALED])
