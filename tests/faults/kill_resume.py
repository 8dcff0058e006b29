"""Kill commands at random moments, give the same command again, and compare with commands that were left alone.

Killed with SIGKILL is everything at once, the command alone, or one of the processes that it started. What the
commands come to must be the same bit for bit: rows, weights, averages, optimizers, pictures, tables.

    python tests/faults/kill_resume.py --kills 100
    python tests/faults/kill_resume.py --kills 3 --only wgan-gp
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from results import differences, results  # noqa: E402

TRAIN = ["--kimg", "3", "--width", "8", "--batch", "64", "--snapshot-kimg", "0.1"]
CLASSIFY = ["--epochs", "3", "--depth", "1", "--snapshot", "1"]
COMMANDS = {
    "dcgan": ["gan", "train", "dcgan", *TRAIN],
    "wgan-gp": ["gan", "train", "wgan-gp", *TRAIN],
    "dcgan, 2 processes": ["gan", "train", "dcgan", *TRAIN, "--processes", "2"],
    "wgan-gp, 2 processes": ["gan", "train", "wgan-gp", *TRAIN, "--processes", "2"],
    "mlp": ["classifier", "train", "mlp", *CLASSIFY, "--alpha", "-0.01"],
    "resnet, 2 processes": ["classifier", "train", "resnet", *CLASSIFY, "--processes", "2"],
    "smoke study": ["study", "gan-entanglement", "--preset", "smoke"],
}
VICTIMS = ("command", "one", "all")
MINUTES = ("0", "0.002", "0.01")
"""How often checkpoints are saved; it must not matter."""
LIMIT = 600.0


class Job:
    """A command that is killed time and again, in a folder of its own."""

    def __init__(self, name, home, draw):
        self.name, self.home, self.draw = name, home, draw
        self.killed, self.ended, self.wrong = Counter(), 0, set()
        self.log = (home / f"{name}.log").open("a")
        self.run_alone()

    def start(self, runs):
        command = [sys.executable, str(ROOT / "cli.py"), *COMMANDS[self.name], "--runs", str(runs)]
        command += ["--checkpoint-minutes", self.draw.choice(MINUTES)]
        variables = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "NO_COLOR": "1"}
        return psutil.Popen(command, stdout=self.log, stderr=self.log, env=variables, start_new_session=True)

    def run_alone(self):
        """What the command comes to when it is left alone, and how long it takes."""
        runs, start = self.home / self.name / "alone", time.monotonic()
        running = self.start(runs)
        begun = self.wait_for_work(running, runs, {})
        self.expect(running.wait(LIMIT) == 0, "the command that was left alone failed")
        self.startup, self.seconds = begun - start, time.monotonic() - begun
        self.wanted = results(runs)
        self.runs = self.home / self.name / "killed"

    def wait_for_work(self, running, runs, before):
        """The time when a cell is begun anew."""
        while running.poll() is None and begun_cells(runs) == before:
            time.sleep(0.01)
        return time.monotonic()

    def kill_once(self):
        """Kill the command at a random moment, most often one when cells are at work. False if it ended before."""
        before, running = begun_cells(self.runs), self.start(self.runs)
        if self.draw.random() < 0.2:
            time.sleep(self.draw.uniform(0, self.startup))
        else:
            self.wait_for_work(running, self.runs, before)
            time.sleep(self.draw.uniform(0, self.seconds))
        victim = running.poll() is None and kill(running, self.draw)
        if victim:
            self.killed[victim] += 1
            running.wait(LIMIT)
            return True
        self.expect(running.wait(LIMIT) == 0, "a command failed that nobody had killed")
        self.compare()
        return False

    def finish(self):
        self.expect(self.start(self.runs).wait(LIMIT) == 0, "the same command did not go on")
        self.compare()

    def compare(self):
        """Compare a finished folder with the one left alone, and begin another."""
        self.ended += 1
        self.wrong |= set(differences(results(self.runs), self.wanted))
        if not self.wrong:
            shutil.rmtree(self.runs)

    def expect(self, held, text):
        if not held:
            raise SystemExit(f"{self.name}: {text}; see {self.log.name}")


def begun_cells(runs):
    """When each cell's rows were last begun or written to: by then its processes have imported what they need."""
    return {path: path.stat().st_mtime_ns for path in runs.glob("cells/*/rows.jsonl")}


def kill(running, draw):
    """Send SIGKILL to a command, to one of the processes that it started, or to all; which, or None if it has ended."""
    try:
        children = running.children(recursive=True)
        victim = draw.choice(VICTIMS if children else VICTIMS[:1])
        chosen = {"command": [running], "one": draw.sample(children, min(1, len(children)))}
        for process in chosen.get(victim, [*children, running]):
            process.kill()
    except psutil.NoSuchProcess:
        return None
    return victim


def main():
    """Kill, compare, print a table; exit code 1 where a bit differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many in all")
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS), help="default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    options = parser.parse_args()
    draw, home = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="killed-"))
    jobs = [Job(name, home, draw) for name in options.only]
    kills = 0
    while kills < options.kills:
        kills += jobs[kills % len(jobs)].kill_once()
        print(f"{kills} of {options.kills} kills", file=sys.stderr, flush=True)
    for job in jobs:
        job.finish()
    print(f"{'command':<22} {'kills':>5}  {'command / one / all':<20} {'ends':>4}  difference")
    for job in jobs:
        kinds = " / ".join(str(job.killed[victim]) for victim in VICTIMS)
        wrong = ", ".join(sorted(job.wrong)) or "none"
        print(f"{job.name:<22} {job.killed.total():>5}  {kinds:<20} {job.ended:>4}  {wrong}")
    if any(job.wrong for job in jobs):
        raise SystemExit(1)
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
