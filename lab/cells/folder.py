"""A cell's folder: its settings, environment, events, rows, artifacts, and last of all `DONE`.

runs/cells/gan-dcgan-mnist-s0-ac547dae/
    config.json        what to do: lab.cells.record
    environment.json   where and how it was done
    events.jsonl       progress, for whoever watches
    rows.jsonl         the numbers, rows of the table
    DONE               seconds it took and hashes of the rows and of what is kept; written last: without it a folder
                       is unfinished, whatever is in it
    lock               there while a process is at work, which holds it; the system frees it when that dies
    heartbeat          there while a process is at work, which renews its time: for whoever cannot see the lock held
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from lab import locks
from lab.cells import events, layout
from lab.cells.cell import Cell, ConfigT
from lab.cells.failure import Failure, read_failure
from lab.cells.proofs import hashes_of
from lab.cells.record import of_older_code, read_record, record_of
from lab.cells.rows import COLUMNS, read_rows
from lab.errors import WorkbenchError, say
from lab.files import atomic_write, explaining, read_json, write_json
from lab.hashing import text_hash
from lab.processes import rank

CREATE_SECONDS = 10.0
"""How long `create` waits for another process that makes the same folder."""


class CellFolder:
    """One cell on disk. A task's `run` gets it, reads `config` and `needs`, and writes rows, events and files.

    Of files that it keeps in the middle of long work it may note the `hashes`, by their path below the folder.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder that `create` made.

        Raises:
            WorkbenchError: it is no cell's folder, one of another format, or one that was edited or renamed.
        """
        self.path = path
        self.record = read_record(path)
        self.hashes: dict[str, str] = {}

    @classmethod
    def create(cls, cell: Cell, cells: Path, local: dict[str, Any]) -> Self:
        """The folder of a cell below `cells`, made if it is not there.

        Of an unfinished one, `local` is brought up to date, unless another process is at work on it.

        Raises:
            WorkbenchError: the folder is another's, was changed by hand, or cannot be written.
        """
        path = layout.own(cells / cell.folder_name)
        with explaining(path):
            return cls._create(cell, path, local)

    @classmethod
    def _create(cls, cell: Cell, path: Path, local: dict[str, Any]) -> Self:
        path.mkdir(parents=True, exist_ok=True)
        layout.check_plain(path)
        known = layout.is_cell(path)
        if known:
            found = cls(path)
            if found.key != cell.key:
                raise WorkbenchError(
                    f"{path} is the folder of another cell. Remove it, or name another folder of runs."
                )
            if found.done or found.record["local"] == local:
                return found
        with suppress(locks.Taken), locks.exclusive(path / layout.LOCK, 0 if known else CREATE_SECONDS):
            write_json(path / layout.CONFIG, record_of(cell, local))
        return cls(path)

    @property
    def config(self) -> dict[str, Any]:
        """Every setting of the cell."""
        return dict(self.record["config"])

    def settings(self, kind: type[ConfigT]) -> ConfigT:
        """Every setting, checked as those of a task.

        Raises:
            UsageError: this version of the code does not know one, or refuses its value.
        """
        with of_older_code(self.path):
            return kind.parse(self.config)

    @property
    def key(self) -> str:
        """The hash of all that decides the result."""
        return str(self.record["key"])

    @property
    def label(self) -> str:
        """What people call it."""
        return str(self.record["label"])

    @property
    def task(self) -> str:
        """The name of the task that does the work."""
        return str(self.record["identity"]["task"])

    @property
    def versions(self) -> dict[str, int]:
        """The versions of the code that decides the result, by entry."""
        return dict(self.record["identity"]["versions"])

    @property
    def fingerprint(self) -> str:
        """That of the image set that is read, several with `;` between them; empty where only other cells are."""
        return str(self.record["identity"]["data"])

    @property
    def processes(self) -> int:
        """How many processes do the work together."""
        return int(self.record["identity"]["processes"])

    @property
    def data(self) -> dict[str, Any]:
        """Where data are (`root`), and whether those that are not there may be downloaded: no part of the result.

        Raises:
            WorkbenchError: it is an export, which does not tell.
        """
        local = self.record["local"]
        if not {"data", "download"} <= set(local):
            raise WorkbenchError(f"{self.path} does not tell where its data are: the command that made it can do it.")
        return {"root": Path(local["data"]), "download": bool(local["download"])}

    @property
    def checkpoint_seconds(self) -> float:
        """How often to save what is needed to go on; it does not decide the result."""
        return 60 * float(self.record["local"].get("checkpoint_minutes", 5.0))

    @property
    def needs(self) -> list["CellFolder"]:
        """The folders of the cells that this one reads.

        Raises:
            WorkbenchError: one is not there, or is another cell's.
        """
        found = [CellFolder(layout.own(self.path.parent / name)) for name in self.record["needs_folders"]]
        for need, key in zip(found, self.record["identity"]["needs"], strict=True):
            if need.key != key:
                raise WorkbenchError(f"{need.path} is not the cell that {self.path.name} needs: remove it.")
        return found

    @property
    def done(self) -> bool:
        """Whether the work is finished."""
        return layout.is_done(self.path)

    @property
    def held(self) -> bool:
        """Whether a process is at work on it."""
        return locks.is_locked(self.path)

    @property
    def seconds(self) -> float:
        """How long the finished work took."""
        return float(layout.end_of(self.path)["seconds"])

    @property
    def environment(self) -> dict[str, Any]:
        """Where and with what the work was done; empty before it began."""
        path = self.path / layout.ENVIRONMENT
        return read_json(path, "damaged (environment.json): remove it, and have it made anew") if path.exists() else {}

    @property
    def failure(self) -> Failure | None:
        """Why the last attempt failed, if it did."""
        return read_failure(self.path)

    def note(self, **facts: Any) -> None:
        """Add to the environment how the work is done; of several processes the first one writes."""
        if rank() == 0:
            write_json(self.path / layout.ENVIRONMENT, {**self.environment, **facts})

    def event(self, event: str, **fields: Any) -> None:
        """Append an event; `progress` events carry `done` and `total` (in any one unit) and a `text`."""
        events.tell(self.path, event, **fields)

    def row(self, **fields: Any) -> None:
        """Append a row of the table: at least `metric` and `value`, of which NaN becomes null.

        `study` and `cell` are filled in when tables are joined.
        """
        unknown = set(fields) - set(COLUMNS)
        if unknown or not {"metric", "value"} <= set(fields):
            raise ValueError(f"a row has a metric and a value and only columns of the table, not {sorted(fields)}.")
        events.append(self.path / layout.ROWS, fields)

    def warn(self, text: str) -> None:
        """Tell of something odd that does not end the work: a `warning` event, and a line on stderr."""
        self.event("warning", text=text)
        say(f"{self.label}: {text}")

    def rows(self) -> list[dict[str, Any]]:
        """The rows written so far; a last line that was cut off in the writing is left out.

        Raises:
            WorkbenchError: they are damaged, or the cell is finished and they are not those that it finished with.
        """
        path = self.path / layout.ROWS
        end = layout.end_of(self.path) if self.done else None  # before the rows, of which there may be more by then
        try:
            text = self._rows_text()
            rows = read_rows([line for line in text.splitlines(keepends=True) if line.endswith("\n")])
        except (OSError, ValueError) as error:
            raise WorkbenchError(f"{path} is damaged: remove its folder, and have it made anew.") from error
        if end and end["rows"] != text_hash(text):
            raise WorkbenchError(f"{path} was edited: remove its folder, and have it made anew.")
        return rows

    def keep_rows(self, rows: list[dict[str, Any]]) -> None:
        """Replace the rows: `work` by none, so that those of a broken attempt are not counted twice.

        Work that goes on from a checkpoint takes those from before it.
        """
        if rank() == 0:
            atomic_write(self.path / layout.ROWS, "".join(map(events.as_line, rows)))

    def mark_done(self, seconds: float) -> None:
        """Write down that the work is finished, and with which rows and files."""
        files = {**hashes_of(self.path), **self.hashes}
        layout.mark(self.path, {"seconds": round(seconds, 3), "rows": text_hash(self._rows_text()), "files": files})

    def _rows_text(self) -> str:
        path = self.path / layout.ROWS
        return path.read_text(encoding="utf-8") if path.exists() else ""
