"""A cell's folder: its settings, environment, events, rows, artifacts, and last of all `DONE`.

runs/cells/gan-dcgan-mnist-s0-ac547dae/
    config.json        what to do: the cell's identity, and under `local` what does not decide the result
    environment.json   where it was done
    events.jsonl       progress, for whoever watches
    rows.jsonl         the numbers, rows of the table
    DONE               seconds it took and the rows' hash; written last: without it a folder is unfinished, whatever
                       is in it
    lock               there while a process is at work, which holds it; the system frees it when that dies
"""

import hashlib
import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from lab import environment, locks, registry
from lab.cells import FORMAT, Cell, content_hash, recorded_identity
from lab.errors import WorkbenchError
from lab.files import atomic_write, explaining, remove_leftovers, sync_file, without_nan, write_json
from lab.processes import lost_another, rank, world_size
from lab.table import COLUMNS

CREATE_SECONDS = 10.0
"""How long `create` waits for another process that makes the same folder."""


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
        """The folder of a cell below `cells`, made if it is not there.

        Of an unfinished one, `local` is brought up to date, unless another process is at work on it.

        Raises:
            WorkbenchError: the folder is another's, or was changed by hand.
        """
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
        known = (path / "config.json").exists()
        if known:
            found = cls(path)
            if found.record["key"] != cell.key:
                raise WorkbenchError(
                    f"{path} is the folder of another cell. Remove it, or name another folder of runs."
                )
            if found.done or found.record["local"] == local:
                return found
        with suppress(locks.Taken), locks.exclusive(path / "lock", 0 if known else CREATE_SECONDS):
            write_json(path / "config.json", record)
        return cls(path)

    @property
    def config(self) -> dict[str, Any]:
        """The cell's resolved settings."""
        return dict(self.record["config"])

    @property
    def key(self) -> str:
        """The hash of all that decides the result."""
        return str(self.record["key"])

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
    def checkpoint_seconds(self) -> float:
        """How often to save what is needed to go on; it does not decide the result."""
        return 60 * float(self.record["local"].get("checkpoint_minutes", 5.0))

    @property
    def needs(self) -> list["CellFolder"]:
        """The folders of the cells that this one reads."""
        return [CellFolder(self.path.parent / name) for name in self.record["needs_folders"]]

    @property
    def done(self) -> bool:
        """Whether the work is finished."""
        return (self.path / "DONE").exists()

    @property
    def held(self) -> bool:
        """Whether a process is at work on it."""
        return locks.is_locked(self.path)

    @property
    def seconds(self) -> float:
        """How long the finished work took."""
        return float(self._end()["seconds"])

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

    def warn(self, text: str) -> None:
        """Tell of something odd that does not end the work: a `warning` event, and a line on stderr."""
        self.event("warning", text=text)
        print(f"{self.record['label']}: {text}", file=sys.stderr, flush=True)

    def rows(self) -> list[dict[str, Any]]:
        """The rows written so far; a last line that was cut off in the writing is left out.

        Raises:
            WorkbenchError: they are damaged, or the cell is finished and they are not those that it finished with.
        """
        path, text = self.path / "rows.jsonl", self._rows_text()
        try:
            rows = [dict(json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        except (ValueError, TypeError) as error:
            raise WorkbenchError(f"{path} is damaged: remove its folder, and have it made anew.") from error
        if self.done and self._end().get("rows", _hash(text)) != _hash(text):
            raise WorkbenchError(f"{path} was edited: remove its folder, and have it made anew.")
        return rows

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
        if self.done:
            return
        if rank():
            self._do()
            return
        with explaining(self.path), self.alone(wait=world_size() == 1):
            if self.done and world_size() > 1:  # the others are at work already, and would wait for this one
                raise WorkbenchError(f"{self.path} has been finished by another command meanwhile.")
            if self.done:
                return
            remove_leftovers(self.path)
            if world_size() == 1:
                self.forget_failure()
            write_json(self.path / "environment.json", environment.describe(self.config))
            start = time.monotonic()
            self._do()
            self.forget_failure()  # left by a process of another command, which came too late
            if (self.path / "rows.jsonl").exists():
                sync_file(self.path / "rows.jsonl")
            seconds = round(time.monotonic() - start, 3)
            write_json(self.path / "DONE", {"seconds": seconds, "rows": _hash(self._rows_text())})

    def fail(self, reason: str, trace: str | None = None) -> None:
        """Keep why the work failed: of several processes' reasons the first, for the others fail because that one did.

        That one may say so last: who lost the connection to it tells no reason that stands beside a true one.
        """
        known = self.failure
        if known and (lost_another(reason) or not lost_another(known)):
            return
        with suppress(OSError):  # on a full disk there is no room for the reason either
            if trace:
                atomic_write(self.path / "traceback.txt", trace)
            atomic_write(self.path / "FAILED", reason)

    def forget_failure(self) -> None:
        """Begin anew: what an earlier attempt failed of is no reason of this one's."""
        for name in ("FAILED", "traceback.txt"):
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def alone(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the lock; while another process does, wait and say so.

        Raises:
            WorkbenchError: another process holds it, for longer than a look takes, and there is to be no waiting.
        """

        def busy() -> None:
            if not wait:
                raise WorkbenchError(f"{self.path} has been taken by another command meanwhile.")
            text = f"{self.record['label']}: another process is at work on it; waiting for that to end."
            print(text, file=sys.stderr, flush=True)

        with locks.held(self.path / "lock", locks.LOOK_SECONDS, busy):
            yield

    def _do(self) -> None:
        try:
            with explaining(self.path):
                registry.resolve(self.run)(self)
        except WorkbenchError as error:
            self.fail(str(error))
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error} ({self.path / 'traceback.txt'} tells where)"
            self.fail(reason, traceback.format_exc())
            raise WorkbenchError(reason) from error

    def _end(self) -> dict[str, Any]:
        return _read_json(self.path / "DONE", "damaged (DONE): remove it, and have it made anew")

    def _rows_text(self) -> str:
        path = self.path / "rows.jsonl"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _append(self, name: str, record: dict[str, Any]) -> None:
        if rank() == 0:
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(without_nan(record), allow_nan=False) + "\n")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_json(path: Path, problem: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WorkbenchError(f"{path.parent} is {problem}.") from error


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record still has the key that follows from it."""
    try:
        return content_hash(recorded_identity(record)) == record["key"]
    except KeyError:
        return False
