"""How far one study scales: planning, handing out, polling and collecting as many cells as a cluster does.

The study is gan-entanglement with enough seeds; nothing is trained. Slurm's queue is a list of so many jobs that
`squeue` prints, and finished cells hold rows as measurements do. Nobody waits for the disk (fsync).

    python benchmarks/cells.py                  # 10000 cells, 40 rows each
    python benchmarks/cells.py --rows 440       # as many rows as the published cells have, by the median
"""

import os
import tempfile
from concurrent.futures import Future
from pathlib import Path

import _rounds
import click

GANS = ("dcgan", "wgan-gp", "sngan", "ragan", "r3gan")
ROW = {"kind": "gan", "model": "dcgan", "imageset": "digits", "seed": 0, "split": "test", "space": "pixels", "n": 500}


class Nowhere:
    """An executor that does nothing, and says that it was done."""

    queues, waiting = False, {}

    def submit(self, folder):
        """Take it for done."""
        future = Future()
        folder.mark_done(0.0)
        future.set_result(None)
        return future

    def close(self):
        """Nothing is left."""


def planned(cells, runs):
    """The plan of a study of about so many cells."""
    from lab.studying.plan import plan_study, study_config

    seeds = max(1, cells // (2 * len(GANS)))
    config = study_config("gan-entanglement", "smoke", {"gans": GANS, "seeds": seeds})
    return plan_study("gan-entanglement", config, runs, runs)


def write_rows(folders, rows):
    """Rows in each of the cells, as measurements are."""
    for folder in folders:
        folder.keep_rows(
            [{**ROW, "metric": "entanglement", "kimg": i / 3, "step": i, "value": i / 7} for i in range(rows)]
        )
        folder.note(device="cpu", precision="float32")


def fake_squeue(folders, place):
    """A `squeue` first on the path, which lists a job for each of the cells, of which a tenth beat."""
    states = ("RUNNING|None", *["PENDING|Priority"] * 9)
    lines = [f"{i}|{states[i % 10]}|{folder.path.resolve()}/job.sh" for i, folder in enumerate(folders)]
    for folder in folders[:: len(states)]:
        (folder.path / "heartbeat").touch()
    (place / "jobs").write_text("\n".join(lines) + "\n")
    for name in ("squeue", "sbatch", "scancel", "scontrol"):
        (place / name).write_text(f"#!/bin/sh\nexec cat {place / 'jobs'}\n")
        (place / name).chmod(0o755)
    os.environ["PATH"] = f"{place}:{os.environ['PATH']}"


def lines(cells, rows, home):
    """What each part takes, as lines of a table."""
    from lab.running import schedule
    from lab.running.executors.slurm import Executor
    from lab.studying import study
    from lab.studying.collect import collect

    runs, found = home / "runs", {}

    def keep(name, work):
        def done():
            found[name] = work()

        return done

    taken = _rounds.seconds(keep("plan", lambda: planned(cells, runs)))
    plan = found["plan"]
    count = len(plan.cells)
    yield _rounds.row(f"planning {count} cells", taken, "s", taken, at_most=5)
    taken = _rounds.seconds(keep("folders", lambda: [*study._create(plan, {"data": "data", "download": False})[0]]))
    folders = found["folders"]
    yield _rounds.row("making their folders", taken, "s", taken)

    fake_squeue(folders, home)
    place = Executor()
    for folder in folders:
        place.submit(folder)  # found in the queue
    place.close()
    taken = _rounds.seconds(place._look, 3)
    yield _rounds.row("one look at the queue", taken, "s", taken, at_most=1)

    write_rows(folders, rows)
    taken = _rounds.seconds(lambda: schedule.do(folders, Nowhere(), 8, lambda folder: None))
    yield _rounds.row("handing them out", taken, "s", taken)

    names = [folder.path.name for folder in folders]
    taken, highest, _ = _rounds.peak(keep("collected", lambda: collect(plan.study, names, runs)))
    total = len(found["collected"].table)
    yield _rounds.row(f"collecting {total} rows", taken, "s", taken, at_most=20)
    yield _rounds.row("memory above what there was", 0, "MB", highest, at_most=1000)


@click.command(help=_rounds.help_of(__doc__))
@click.option("--cells", default=10_000, show_default=True, help="How many cells, about.")
@click.option("--rows", default=40, show_default=True, help="Rows of each.")
@_rounds.json_option
def main(cells, rows, out):
    """Time each part once and print it."""
    os.fsync = lambda descriptor: None
    with tempfile.TemporaryDirectory() as home:
        _rounds.table(out, lines(cells, rows, Path(home)))


if __name__ == "__main__":
    main()
