"""What commands say and ask of cells that wait in a queue, or are done on other machines."""

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands._printing import print_json
from lab.errors import WorkbenchError, say
from lab.interrupts import Interrupted

if TYPE_CHECKING:
    from lab.running.place import Place
    from lab.running.schedule import Outcome

QUESTION = "In Slurm's queue, or at work: {}. Cancel? Otherwise work goes on."


@contextmanager
def asking(place: "Place", cells: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """After Ctrl-C, ask on a terminal whether what of these cells is in the queue is to be cancelled.

    Which they are is asked only then: a search plans new ones all the time.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        if place.queues:
            with suppress(WorkbenchError, KeyboardInterrupt, click.Abort):
                _ask(cells(), may_ask=not isinstance(error, Interrupted) and sys.stdin.isatty())
        raise


def _ask(cells: Iterable[Path], may_ask: bool) -> None:
    from lab.running import slurm

    jobs = [job.number for job in slurm.live(cells).values()]
    count, wanted = f"{len(jobs)} job{'s' * (len(jobs) > 1)}", False
    if jobs and may_ask:
        with suppress(click.Abort):  # Ctrl-C once more
            wanted = click.confirm(QUESTION.format(count), default=False, err=True)
    if wanted:
        slurm.cancel(jobs)
        say(f"Cancelled: {count}; trainings save.")
    elif jobs:
        say(f"Left in the queue, or at work: {count}. snnl runs list tells more; snnl runs cancel FOLDER ends it.")


def print_queued(what: str, folder: Path, outcome: "Outcome", as_json: bool) -> None:
    """Print what was left in the queue; exits with 3 where cells failed."""
    for path, failure in outcome.failed.items():
        say(f"failed: {path.name}: {failure}")
    say(f"In Slurm's queue: {len(outcome.left)} cells of {what}. snnl runs list shows how far they are.")
    say(f"Next: the same command without --detach, or {shlex.join(['snnl', 'runs', 'cancel', str(folder)])}")
    found = {"folder": str(folder), "queued": [path.name for path in outcome.left], "failed": len(outcome.failed)}
    print_json(found, as_json)
    if outcome.failed:
        raise SystemExit(3)
