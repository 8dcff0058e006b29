"""Why work failed, as a record with a kind, so that nobody has to read the words."""

import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.cells.layout import FAILED, TRACEBACK
from lab.errors import NO_MEMORY, UsageError, WorkbenchError, first_line, out_of_memory
from lab.files import atomic_write, read_object, remove, write_json
from lab.processes import lost_another

LOST = "lost"
"""The kind of a failure that tells no more than that another process has gone, which has a reason of its own."""


@dataclass(frozen=True)
class Failure:
    """Why work failed: a kind (that of `lab.errors`, or `lost`), and a message that says what to do."""

    kind: str
    message: str

    def __str__(self) -> str:
        return self.message

    def error(self) -> WorkbenchError:
        """The exception that it is."""
        error = (UsageError if self.kind == UsageError.kind else WorkbenchError)(self.message)
        error.kind = self.kind
        return error


def failure_of(error: BaseException, folder: Path | None = None) -> Failure:
    """The failure that an exception is; of one that nobody foresaw, with where its traceback lies."""
    if isinstance(error, WorkbenchError):
        message, kind = str(error), error.kind
    elif out_of_memory(error):
        message, kind = NO_MEMORY, WorkbenchError.kind
    elif folder is None:
        message, kind = f"{type(error).__name__}: {first_line(error)}", WorkbenchError.kind
    else:
        message, kind = f"{type(error).__name__}: {error} ({folder / TRACEBACK} tells where)", WorkbenchError.kind
    return Failure(LOST if lost_another(message) else kind, message)


def read_failure(folder: Path) -> Failure | None:
    """The failure of the last attempt, if that failed."""
    try:
        found = read_object(folder / FAILED)
        return Failure(str(found["kind"]), str(found["message"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        return Failure(WorkbenchError.kind, f"it failed, and {folder / FAILED} cannot be read")


def keep_failure(folder: Path, failure: Failure, error: BaseException | None = None) -> None:
    """Keep why the work failed: of several processes' reasons the first, for the others fail because that one did.

    That one may say so last: who lost the connection to it tells no reason that stands beside a true one. The traceback
    of `error` is kept too, unless it is one whose message says it all.
    """
    known = read_failure(folder)
    if known and (failure.kind == LOST or known.kind != LOST):
        return
    with suppress(OSError):  # on a full disk there is no room for the reason either
        if error and not (isinstance(error, WorkbenchError) or out_of_memory(error)):
            atomic_write(folder / TRACEBACK, "".join(traceback.format_exception(error)))
        write_json(folder / FAILED, asdict(failure))


def forget_failure(folder: Path) -> None:
    """Begin anew: what an earlier attempt failed of is no reason of this one's."""
    for name in (FAILED, TRACEBACK):
        remove(folder / name)
