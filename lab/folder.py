"""A cell's folder: its settings, environment, events, rows, artifacts, and last of all `DONE`.

runs/cells/gan-dcgan-mnist-s0-ac547dae/
    config.json        what to do: the cell's identity, and under `local` what does not decide the result
    environment.json   where it was done
    events.jsonl       progress, for whoever watches
    rows.jsonl         the numbers, rows of the table
    DONE               seconds it took; written last: a folder without it is unfinished, whatever is in it
"""

import json
import time
import traceback
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from lab import environment, registry
from lab.cells import FORMAT, Cell, recorded_key
from lab.errors import WorkbenchError
from lab.files import atomic_write, without_nan, write_json
from lab.processes import rank, world_size
from lab.table import COLUMNS


class CellFolder:
    """One cell on disk. A run function gets it, reads `config` and `needs`, and writes rows, events and files."""

    def __init__(self, path: Path) -> None:
        """Open a folder that `create` made.

        Raises:
            WorkbenchError: it is no cell's folder, one of another format, or one whose settings were edited.
        """
        self.path = path
        record = _read_json(path / "config.json", "no cell's folder: it has no readable config.json")
        if record.get("format") != FORMAT:
            version = f"format {record.get('format')!r}; this version reads {FORMAT}"
            raise WorkbenchError(f"{path} has {version}: use the version that made it, or another folder.")
        if not _is_whole(record):
            raise WorkbenchError(f"{path / 'config.json'} was edited: remove the folder, and have it made anew.")
        self.record = record

    @classmethod
    def create(cls, cell: Cell, cells: Path, local: dict[str, Any]) -> Self:
        """The folder of a cell below `cells`, made if it is not there."""
        path = cells / cell.folder_name
        path.mkdir(parents=True, exist_ok=True)
        needs = [needed.folder_name for needed in cell.needs]
        record = {
            **cell.identity(),
            "key": cell.key,
            "label": cell.label,
            "needs_folders": needs,
            "local": local,
        }
        if not (path / "DONE").exists():
            write_json(path / "config.json", record)
        return cls(path)

    @property
    def config(self) -> dict[str, Any]:
        """The cell's resolved settings."""
        return dict(self.record["config"])

    @property
    def run(self) -> str:
        """The function that does the work, `package.module:function`."""
        return str(self.record["run"])

    @property
    def processes(self) -> int:
        """How many processes do the work together."""
        return int(self.record["processes"])

    @property
    def data_root(self) -> Path:
        """The folder of the data; it does not decide the result."""
        return Path(self.record["local"]["data"])

    @property
    def download(self) -> bool:
        """Whether data that are not there may be downloaded."""
        return bool(self.record["local"]["download"])

    @property
    def needs(self) -> list["CellFolder"]:
        """The folders of the cells that this one reads."""
        return [CellFolder(self.path.parent / name) for name in self.record["needs_folders"]]

    @property
    def done(self) -> bool:
        """Whether the work is finished."""
        return (self.path / "DONE").exists()

    @property
    def seconds(self) -> float:
        """How long the finished work took."""
        return float(_read_json(self.path / "DONE", "damaged (DONE): remove it, and have it made anew")["seconds"])

    @property
    def environment(self) -> dict[str, Any]:
        """Where and with what the work was done; empty before it began."""
        path = self.path / "environment.json"
        return _read_json(path, "unreadable") if path.exists() else {}

    @property
    def failure(self) -> str | None:
        """The message of the last attempt, if that failed."""
        path = self.path / "FAILED"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def event(self, event: str, **fields: Any) -> None:
        """Append to `events.jsonl`; `progress` events carry `done` and `total` (in any one unit) and a `text`.

        Like rows, events are written by the first of several processes alone.
        """
        self._append("events.jsonl", {"time": time.time(), "event": event, **fields})

    def row(self, **fields: Any) -> None:
        """Append a row of the table: at least `metric` and `value`, of which NaN becomes null.

        `study` and `cell` are filled in when tables are joined.
        """
        unknown = set(fields) - set(COLUMNS)
        if unknown or not {"metric", "value"} <= set(fields):
            raise ValueError(f"a row has a metric and a value and only columns of the table, not {sorted(fields)}.")
        self._append("rows.jsonl", fields)

    def rows(self) -> list[dict[str, Any]]:
        """The rows written so far; a last line that was cut off in the writing is left out."""
        path = self.path / "rows.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        try:
            return [dict(json.loads(line)) for line in lines if line.endswith("\n")]
        except (ValueError, TypeError) as error:
            raise WorkbenchError(f"{path} is damaged: remove its folder, and have it made anew.") from error

    def keep_rows(self, rows: list[dict[str, Any]]) -> None:
        """Replace the rows: a run function begins with this, so that those of a broken attempt are not counted twice.

        Work that goes on from a checkpoint keeps the rows from before it; other work keeps none.
        """
        if rank() == 0:
            atomic_write(self.path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def work(self) -> None:
        """Do the cell, or find it done: hold its lock, record the environment, and mark the end, DONE or FAILED.

        Where several processes do it together, the first one does that and the others only work.

        Raises:
            WorkbenchError: the work failed; `FAILED` keeps the message, and `traceback.txt` tells where, unless the
                message says it all. Or there are more or fewer processes than the cell wants, or another command has
                taken it just now.
        """
        if world_size() != self.processes:
            raise WorkbenchError(f"{self.path} wants {self.processes} processes, and {world_size()} came.")
        if rank():
            self._do()
            return
        with FileLock(self.path / "lock", blocking=world_size() == 1):
            if self.done:
                return
            (self.path / "FAILED").unlink(missing_ok=True)
            write_json(self.path / "environment.json", environment.describe(self.config))
            start = time.monotonic()
            self._do()
            write_json(self.path / "DONE", {"seconds": round(time.monotonic() - start, 3)})

    def _do(self) -> None:
        try:
            registry.resolve(self.run)(self)
        except WorkbenchError as error:
            self._fail(str(error))
            raise
        except Exception as error:
            atomic_write(self.path / "traceback.txt", traceback.format_exc())
            reason = f"{type(error).__name__}: {error} ({self.path / 'traceback.txt'} tells where)"
            self._fail(reason)
            raise WorkbenchError(reason) from error

    def _fail(self, reason: str) -> None:
        """Keep the first of several processes' reasons: the others fail because that one did."""
        if not (self.path / "FAILED").exists():
            atomic_write(self.path / "FAILED", reason)

    def _append(self, name: str, record: dict[str, Any]) -> None:
        if rank() == 0:
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(without_nan(record), allow_nan=False) + "\n")


def _read_json(path: Path, problem: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WorkbenchError(f"{path.parent} is {problem}.") from error


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record still has the key that follows from it."""
    try:
        return recorded_key(record) == record["key"]
    except KeyError:
        return False
