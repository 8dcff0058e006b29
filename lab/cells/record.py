"""What a cell's `config.json` says, and whether it was changed since it was written; and what a study's folder says.

identity        what the key is made of, with the settings that differ from their defaults
config          every setting, as it was when the cell was planned
local           what does not decide the result: the folder of the data, how often to save
key, label      which together name the folder
needs_folders   the names of the folders that the cell reads
seal            a hash of all but `local`
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field

from lab.cells.cell import FORMAT, Cell, ConfigT, folder_name
from lab.cells.layout import (
    CONFIG,
    ENVIRONMENT,
    PLAN,
    RUNS,
    SEARCH,
    check_plain,
    check_plain_search,
    is_study,
    named_by,
)
from lab.errors import UsageError, WorkbenchError
from lab.files import read_json, read_object
from lab.hashing import content_hash

SEALED = ("identity", "config", "key", "label", "needs_folders")
IDENTITY = "identity"
"""What the plan of a search calls the hash of what is searched; older plans do not say."""
PLAIN = re.compile(r"\w[\w.+-]*")
"""What folders of runs are called: nothing that leads elsewhere."""
LONGEST = 200
"""Bytes in the name of a folder; systems take 255."""


@contextmanager
def of_older_code(folder: Path) -> Iterator[None]:
    """Where a folder's settings are read: that the code knows one no more is told as what it is.

    Raises:
        UsageError: it knows one no more, or it is impossible now.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(
            f"{folder / CONFIG}: {str(error).removesuffix('.')}. If the code has changed since, take that of then: the "
            f"commit stands in a cell's {ENVIRONMENT}."
        ) from error


def check_name(name: str) -> str:
    """The name, if a folder of a run can have it.

    Raises:
        ValueError: it leads elsewhere, or is too long.
    """
    if not PLAIN.fullmatch(name) or len(os.fsencode(name)) > LONGEST:
        raise ValueError("no name of a run's folder")
    return name


Name = Annotated[str, AfterValidator(check_name)]


class _Identity(BaseModel, strict=True):
    """The parts of an identity that are read again."""

    task: str
    versions: dict[str, int]
    data: str
    needs: list[str]
    processes: int = Field(ge=1)


class _Local(BaseModel, strict=True):
    """What a cell's folder says beside what decides its result; an export says nothing."""

    data: str = ""
    download: bool = False
    checkpoint_minutes: float = Field(0.0, ge=0, allow_inf_nan=False)
    trackers: list[str] = []


class _Record(BaseModel, strict=True):
    """The shape of a record, which the seal of a stranger's does not vouch for."""

    identity: _Identity
    config: dict[str, Any]
    key: str
    label: Name
    needs_folders: list[Name]
    local: _Local


class PlanRecord(BaseModel, strict=True):
    """What the plan of a study or of a search says: which study it is of, and the names of its cells."""

    study: str
    cells: list[Name]


class StudyRecord(PlanRecord):
    """What a study's folder says.

    Attributes:
        settings: as plain values.
        names: what people call what the cells know by keys, by the key.
        published: the names of the cells that were planned as those that ship with the code; older plans do not say.
    """

    settings: dict[str, Any]
    names: dict[str, str] = {}
    published: list[Name] | None = None

    @property
    def shipped(self) -> list[str]:
        """The names of the cells that may be those that ship with the code; of an older plan, all."""
        return self.cells if self.published is None else self.published


PlanT = TypeVar("PlanT", bound=PlanRecord)


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
        WorkbenchError: it is no cell's folder, of another format, was edited or renamed, or holds links.
    """
    check_plain(folder)
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


def read_study(folder: Path) -> StudyRecord:
    """What a study's folder says.

    Raises:
        UsageError: it is no study's folder, or its plan or its settings are damaged.
        WorkbenchError: it holds links.
    """
    check_plain(folder)
    if not is_study(folder):
        raise UsageError(f"{folder} is no study's folder; one looks like runs/studies/NAME/HASH.")
    found, settings = (_of_study(folder / name) for name in (PLAN, CONFIG))
    return _plan_of(StudyRecord, {**found, "settings": settings}, folder / PLAN)


def read_search(folder: Path) -> PlanRecord:
    """What the plan in a search's folder says.

    Raises:
        UsageError: it is no search's folder, or its plan is damaged.
        WorkbenchError: a file of the search's is a link.
    """
    check_plain_search(folder)
    found = search_in(folder)
    if found is None:
        raise UsageError(f"{folder} is no search's folder; one looks like runs/searches/NAME/HASH.")
    if RUNS in found and named_by(folder) is None:
        raise _broken(folder / SEARCH)
    return _plan_of(PlanRecord, found, folder / SEARCH)


def search_in(folder: Path) -> dict[str, Any] | None:
    """What a search's plan says, whole or damaged; None where there is none, or something else that is called so."""
    with suppress(OSError, ValueError):
        found = read_object(folder / SEARCH)
        return found if {"study", "cells"} <= found.keys() else None
    return None


def _plan_of(kind: type[PlanT], found: dict[str, Any], file: Path) -> PlanT:
    """What the plan in a file holds.

    Raises:
        UsageError: it is damaged.
    """
    try:
        plan = kind.model_validate(found)
        if len({*plan.cells}) < len(plan.cells):
            raise ValueError("a cell is there twice")
    except ValueError as error:
        raise _broken(file) from error
    return plan


def _of_study(file: Path) -> dict[str, Any]:
    """What a file of a study's folder says.

    Raises:
        UsageError: it is missing or damaged.
        OSError: it cannot be read.
    """
    try:
        return read_object(file)
    except FileNotFoundError as error:
        raise _broken(file, "missing") from error
    except (IsADirectoryError, ValueError) as error:
        raise _broken(file) from error


def _broken(file: Path, how: str = "damaged") -> UsageError:
    return UsageError(f"{file} is {how}: the command that made it mends it.")


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record has all its parts, and the key, the names and the seal that follow from them."""
    try:
        _Record.model_validate(record)
        whole = content_hash(record["identity"]) == record["key"] and _seal(record) == record["seal"]
        needs = zip(record["needs_folders"], record["identity"]["needs"], strict=True)
        return whole and all(name.endswith(folder_name("", key)) for name, key in needs)
    except (KeyError, ValueError):
        return False


def _seal(record: dict[str, Any]) -> str:
    return content_hash([record[name] for name in SEALED])
