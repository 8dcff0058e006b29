# ruff: noqa: E402, I001
"""Let a whole run die at its n-th file operation, for n = 1, 2, 3, ..., go on, and compare with a run left alone.

Operations are opening for writing, waiting for the disk, renaming, making and removing. What was written and not yet
waited for loses its second half. Each run is a fork of this process, which has torch imported.

    python tests/faults/torn_writes.py dcgan
    python tests/faults/torn_writes.py wgan-gp longer measure report --every 7 --first 3
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import ClassVar

os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import torch
from results import differences, results

from lab import registry
from lab.cells import environment
from lab.cells.folder import CellFolder
from lab.cells.work import work as do
from lab.config import Config
from lab.studying import study
from lab.studying.plan import Plan, Planned
from tasks import measure_gan, train_gan

DEAD = 137
LOCAL = {"data": "nowhere", "download": False, "checkpoint_minutes": 0}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}


class DyingAt:
    """An audit hook that ends the process before the n-th file operation below a folder."""

    def __init__(self, folder, n):
        self.folder, self.left = str(folder), n
        self.safe = {}
        """How many bytes of the files written to are on the disk."""
        self.sync, os.fsync = os.fsync, self.fsync
        sys.addaudithook(self.hear)

    def hear(self, event, args):
        if event in CHANGES and self.is_inside(args):
            self.count()
            if event == "os.rename" and Path(args[0]) in self.safe:
                self.safe[Path(args[1])] = self.safe.pop(Path(args[0]))
        elif event == "open" and args[2] & WRITING and self.is_inside(args):
            self.count()
            path = Path(args[0])
            if not path.is_dir():  # in which a file without a name is opened
                self.safe.setdefault(path, path.stat().st_size if path.exists() else 0)

    def is_inside(self, args):
        """A path below the folder, or one relative to an open folder, as `rmtree` has them."""
        return not isinstance(args[0], int) and (
            os.fspath(args[0]).startswith(self.folder) or args[-1] not in (-1, None)
        )

    def fsync(self, descriptor):
        self.count()
        self.sync(descriptor)
        written = os.fstat(descriptor).st_ino
        for path in [*self.safe]:  # another thread may open a file meanwhile
            if path.exists() and path.stat().st_ino == written:
                self.safe.pop(path, None)

    def count(self):
        self.left -= 1
        if self.left == 0:
            for path, safe in [*self.safe.items()]:
                if path.exists():
                    os.truncate(path, safe + max(0, path.stat().st_size - safe) // 2)
            os._exit(DEAD)


def in_a_fork(work, runs, n=0):
    """Whether the work came to its end; it dies at the n-th operation, if n is not 0."""
    child = os.fork()
    if child == 0:
        try:
            if n:
                DyingAt(runs, n)
            work(runs)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, DEAD):
        raise SystemExit(f"the work failed with code {code}, n = {n}")
    return code == 0


def _training(gan, kimg):
    about = {"gan": gan, "settings": {"width": 2, "latent": 4, "batch": 16}, "kimg": kimg, "snapshot_kimg": 0.016}
    return train_gan.cell(train_gan.Config.parse({**about, "precision": "float32", "device": "cpu"}), Path("nowhere"))


def _do(cell, runs):
    do(CellFolder.create(cell, runs / "cells", LOCAL))


class Study:
    """A study of one training."""

    Config = Config
    PRESETS: ClassVar = {"laptop": {}}

    @staticmethod
    def claims(config):
        return []

    @staticmethod
    def report(config, table, cells):
        from lab.reporting.plots import new_figure
        from lab.reporting.report import Figure, Report, Section
        from lab.reporting.tables import Column, Table

        drawing = new_figure(2, 2)
        losses = table[table["metric"] == "generator_loss"]
        drawing.subplots().plot(losses["step"], losses["value"])
        items = [Figure("losses", "Losses.", drawing, losses), Table("t", "T.", [Column("n")], [[len(table)]])]
        return Report("Title", "Question?", [Section("Losses", "", items)])


def _draw(runs):
    plan = Plan("tiny", Config(), runs, [Planned(_training("dcgan", 0.048), "done")])
    study.run_study(plan, local=LOCAL, progress=False)


WORK = {
    "dcgan": (lambda runs: None, lambda runs: _do(_training("dcgan", 0.048), runs)),
    "wgan-gp": (lambda runs: None, lambda runs: _do(_training("wgan-gp", 0.048), runs)),
    "longer": (lambda runs: _do(_training("wgan-gp", 0.048), runs), lambda runs: _do(_training("wgan-gp", 0.08), runs)),
    "measure": (
        lambda runs: _do(_training("dcgan", 0.048), runs),
        lambda runs: _do(measure_gan.cell(_training("dcgan", 0.048), 30), runs),
    ),
    "report": (lambda runs: _do(_training("dcgan", 0.048), runs), _draw),
}
"""What is there before, and what dies."""


def check(name, first, every, home):
    """Die at every n-th operation; the number of deaths."""
    prepare, work = WORK[name]
    in_a_fork(prepare, home / "before")
    (home / "before").mkdir(exist_ok=True)
    alone = shutil.copytree(home / "before", home / "alone")
    in_a_fork(work, alone)
    wanted, n, deaths = results(alone), first, 0
    while True:
        runs = shutil.copytree(home / "before", home / "torn")
        ended = in_a_fork(work, runs, n)
        whole = results(runs)
        wrong = [] if ended else [key for key in whole if key != "leftovers" and whole[key] != wanted.get(key)]
        in_a_fork(work, runs)
        wrong += differences(results(runs), wanted)
        if wrong:
            raise SystemExit(f"{name}: after a death at operation {n} these differ: {', '.join(wrong)} (see {runs})")
        shutil.rmtree(runs)
        if ended:
            return n - 1, deaths
        n, deaths = n + every, deaths + 1


def import_all(names):
    """Do each kind of work here, where nobody dies: what it imports late is then at hand in every fork."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            for work in WORK[name]:
                work(Path(folder))


def main():
    """Check each kind of work and print how often it died."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="*", choices=[[], *WORK], help="default: all")
    parser.add_argument("--first", type=int, default=1, help="the first operation to die at")
    parser.add_argument("--every", type=int, default=1, help="die at every so many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    environment.describe = lambda config: {}
    load = registry.load
    registry.load = lambda kind, name: Study if kind == "studies" else load(kind, name)
    import_all(options.work or WORK)
    for name in options.work or WORK:
        home, start = Path(tempfile.mkdtemp(prefix="torn-")), time.monotonic()
        operations, deaths = check(name, options.first, options.every, home)
        shutil.rmtree(home)
        print(
            f"{name}: {deaths} deaths in about {operations} operations, all the same, {time.monotonic() - start:.0f} s"
        )


if __name__ == "__main__":
    main()
