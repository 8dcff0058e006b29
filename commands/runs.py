"""Look after run folders."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from commands import Told, _site
from commands import _options as options
from commands import _paths as paths
from commands._printing import print_json, print_table, tell
from lab.cells import layout, removal
from lab.cells.export import export as copy
from lab.cells.runs import Run, Runs, cells_of, show_run, size_text
from lab.errors import UsageError, WorkbenchError, say
from lab.pace import duration
from lab.running import slurm

INTERRUPTED = 130

command = Told("runs", help=__doc__, commands=[_site.command])


@command.command("list")
@options.runs
@options.json
def list_folders(runs: Path, as_json: bool) -> None:
    """List studies, searches and cells: their state, how long ago they were written to, and their size on disk."""
    found = Runs(runs)
    about = _print_runs(found, found.all)
    following = f"{len(about)} in {runs}. Next: snnl runs show FOLDER"
    say(following if about else f"No runs in {runs}: a study, a search or a training makes some.")
    print_json({"runs": about}, as_json)


@command.command()
@options.folder
@options.json
def show(folder: Path, as_json: bool) -> None:
    """Print what is known of a study's, a search's or a cell's FOLDER: settings, state, failure, needs, files."""
    found = show_run(folder)
    _print_nested({**found, "age": duration(found["age"]), "size": size_text(found["size"])})
    print_json(found, as_json)


@command.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=paths.A_FOLDER)
@options.runs
@click.option("--dry-run", is_flag=True, help="Tell what would be removed; remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@options.json
def remove(folders: tuple[Path, ...], runs: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove FOLDERs of studies and searches, with the cells that nobody else needs, and of cells that nobody needs."""
    found = Runs(runs)
    taken = removal.to_remove(found, folders)
    for folder, job in slurm.live(run.path for run in taken).items():
        asked = shlex.join(["snnl", "runs", "cancel", str(folder)])
        raise WorkbenchError(f"{folder.name} is in Slurm's queue (job {job.number}): {asked} first.")
    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError("Nothing was removed: there is no terminal to ask on; --yes removes without asking.")
    about = _print_runs(found, taken)
    size = sum(run["size"] for run in about)
    gone = not dry_run and (yes or _agreed(f"Remove these {len(about)} folders?"))
    if gone:
        removal.remove(runs, taken)
    say(f"{'Removed' if gone else 'Not removed'}: {len(about)} folders, {size_text(size)}.")
    print_json({"removed": gone, "runs": about, "size": size}, as_json)


@command.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=paths.A_FOLDER)
def cancel(folders: tuple[Path, ...]) -> None:
    """Cancel the jobs in Slurm's queue of studies, of searches or of cells, by their FOLDERs; trainings save first."""
    slurm.check()
    jobs = slurm.live({cell for folder in folders for cell in _cells(folder)})
    slurm.cancel(job.number for job in jobs.values())
    say(f"Cancelled: {len(jobs)} jobs.")


def _cells(folder: Path) -> list[Path]:
    """The folder itself if it is a cell's, or those of the study or search that it is of."""
    of_cell = layout.is_cell(folder) and not (layout.is_study(folder) or layout.is_search(folder))
    return [folder] if of_cell else cells_of(folder)


@command.command()
@options.folder
@click.argument("target", type=paths.ANY_FOLDER)
def export(folder: Path, target: Path) -> None:
    """Copy a study's or search's FOLDER and its finished cells, or one finished cell's, without weights, to TARGET."""
    tell(f"{copy(folder, target, say)}")


def _agreed(question: str) -> bool:
    """The answer; who breaks off instead is told that nothing happened."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        say("\nNothing was removed.")
        raise SystemExit(INTERRUPTED) from None


def _print_runs(found: Runs, listed: Sequence[Run]) -> list[dict[str, Any]]:
    """Print some of the runs that were found; their summaries."""
    about = [found.summary(run) for run in listed]
    jobs = _jobs(cell.path for cell in found.cells.values())
    for run, told in zip(listed, about, strict=True):
        cells = (
            [run.path] if run.kind == "cell" else [found.cells[name].path for name in run.needs if name in found.cells]
        )
        here = [jobs[path] for path in cells if path in jobs]
        if here and told["state"] in ("unfinished", "failed"):
            told["state"] = "pending" if all(job.pending for job in here) else "running"
            told["jobs"] = {job.number: job.waits if job.pending else "at work" for job in here}
    rows = [[run["folder"], _state(run), duration(run["age"]), size_text(run["size"])] for run in about]
    print_table([["folder", "state", "age", "size"], *rows])
    return about


def _jobs(cells: Iterable[Path]) -> dict[Path, slurm.Job]:
    """The jobs in the queue that do cells; folders can be looked at while Slurm is away."""
    try:
        return slurm.live(cells)
    except WorkbenchError as error:
        say(f"What waits in Slurm's queue is not told: {error}")
        return {}


def _state(run: dict[str, Any]) -> str:
    """The state in words; with its jobs in a queue, and why the first one waits."""
    jobs = run.get("jobs", {})
    about = next((f"job {number}, {why}" for number, why in jobs.items()), "") if len(jobs) < 2 else f"{len(jobs)} jobs"
    return f"{run['state']} ({about})" if about else run["state"]


def _print_nested(found: dict[str, Any], indent: str = "") -> None:
    for name, value in found.items():
        if isinstance(value, dict) and value:
            tell(f"{indent}{name}:")
            _print_nested(value, f"{indent}  ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | dict) else value
            tell(f"{indent}{name}: {'-' if text in (None, '') else text}")
