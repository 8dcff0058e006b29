"""The command line of the SNNL workbench: how a command ends, and what is said then."""

import errno
import gc
import os
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent
INSTALL = "make .venv/installed makes an environment, for .venv/bin/python cli.py; in one of your own, pip install -e ."
INTERRUPTED = "Interrupted. The same command goes on with what is left; one that does no cells begins anew."
TO_DO: dict[int | None, str] = {
    errno.ENAMETOOLONG: "Give a shorter name.",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "May this user read and write there?"),
    **dict.fromkeys(
        (errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY), "That is in the way: move it, or name another place."
    ),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "The disk did not answer; the same command goes on once it does."),
    errno.ELOOP: "It is a link that leads round, or one where none is followed: remove it.",
    errno.ENOLCK: "This disk has no locks: name a folder on another one. snnl doctor --runs FOLDER tries one.",
}
"""By the number of an error of the system."""

gc.set_threshold(50_000, 50, 100)  # libraries and drawings are many objects that stay, and steps leave none in cycles
if sys.version_info < (3, 11):  # noqa: UP036 - who has an older one is told
    sys.exit(f"Error: Python 3.11 or newer is needed, and {sys.executable} is older. With it, {INSTALL}")
try:
    import click

    from commands import TRACEBACK, cli
    from lab.errors import say, tell_warnings
except ModuleNotFoundError as error:
    sys.exit(f"Error: {error.name} is not installed for {sys.executable}. {INSTALL}")
except KeyboardInterrupt:  # importing takes a moment, too
    print(INTERRUPTED, file=sys.stderr)
    sys.exit(130)


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 error, 2 usage, 3 some cells failed; interrupted by a signal, 128 and its number: 129 SIGHUP,
    130 Ctrl-C, 138 SIGUSR1, 143 SIGTERM.
    """
    if sys.platform == "win32":
        sys.exit("Error: this runs on Linux and macOS; on Windows, run it within WSL.")

    os.environ["MPLBACKEND"] = "agg"  # nothing is shown here, and what a notebook sets may not be installed here
    arguments = [word for word in sys.argv[1:] if word != TRACEBACK]
    tracing = TRACEBACK in sys.argv or os.environ.get("SNNL_TRACEBACK", "0") not in {"", "0"}
    try:
        from lab.machine import keep_memory, wait_briefly

        tell_warnings()
        wait_briefly()
        keep_memory()
        with _ending():
            code = cli.main(arguments, Path(sys.argv[0]).name, standalone_mode=False)
    except (KeyboardInterrupt, click.Abort) as error:
        say(INTERRUPTED)
        code = getattr(error.__cause__ or error, "exit_code", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except Exception as error:
        message, code = _told(error)
        if tracing:
            say("".join(traceback.format_exception(error)))
        say("Error: " + " ".join(message.splitlines()))
    sys.exit(code)


def _ending() -> AbstractContextManager[None]:
    """Where SIGTERM ends a command as Ctrl-C does. One of several processes just dies: it may wait for another."""
    from lab.interrupts import raised
    from lab.processes import world_size

    return nullcontext() if world_size() > 1 else raised()


def _told(error: Exception) -> tuple[str, int]:
    """An error in one line that says what to do, and its exit code."""
    from lab.errors import NO_MEMORY, WorkbenchError, first_line, out_of_memory

    if isinstance(error, WorkbenchError):
        return str(error), error.exit_code
    if isinstance(error, click.UsageError) and error.ctx:
        return f"{error.format_message()} See {error.ctx.command_path} --help.", error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, ModuleNotFoundError) and not (ROOT / str(error.name).partition(".")[0]).exists():
        return f"{error.name} is not installed for {sys.executable}. {INSTALL}", 1
    if out_of_memory(error):
        return NO_MEMORY, 1
    if isinstance(error, OSError):
        return f"{error}. {TO_DO.get(error.errno, 'Is there room, and may this user write there?')}", 1
    unforeseen = f"This should not happen; run again with {TRACEBACK} for more."
    return f"{type(error).__name__}: {first_line(error)}. {unforeseen}", 1


if __name__ == "__main__":
    main()
