"""Faults at random moments of a study on a virtual Slurm; what it comes to must be what it is without any, in slots.

Killed are the command that waits for the jobs, a job's process, and the daemons of Slurm, which are started again: its
controller also just as a job ends, which it takes for one at work ever after. Jobs are cancelled, or told that their
time is over; the disk of the runs is full for a while, where this user may mount a small one. The same command is given
again until the study is whole, and no cell that was done may be done again.

    python tests/faults/on_slurm.py --faults 20
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from virtual_slurm import MISSING, said, virtual_slurm  # noqa: E402

STUDY = ["study", "gan-entanglement", "--preset", "smoke", "--checkpoint-minutes", "0", "--json"]
FAULTS = ("command", "job", "scancel", "time", "slurmctld", "ending", "n1", "n2", "disk")
SILENCE = 1
"""Minutes without a sign of life after which a job is given up."""
COMMANDS = 60
DISK = "64m"
"""Of the runs: several times what they need."""


def run(runs, *more):
    """The command as a process."""
    profile = runs.parent / "site.toml"
    if not profile.exists():
        profile.write_text(f"silence = {SILENCE}\n")
    command = [sys.executable, str(ROOT / "cli.py"), *STUDY, "--runs", str(runs), *more]
    variables = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "SNNL_SLURM": str(profile)}
    with Path(tempfile.gettempdir(), f"on-slurm-{os.getpid()}.log").open("a") as log:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables)


@contextmanager
def small_disk():
    """A folder on a disk of its own, and whether it is on one."""
    with tempfile.TemporaryDirectory() as home:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", home]
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
        try:
            yield Path(home), mounted
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", home], check=True)


def fill(home):
    """Leave no room on the disk for some seconds."""
    filler = home / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096:
            pass
    time.sleep(random.uniform(1, 4))
    filler.unlink()


def fault(kind, cluster, command, home):
    """Let something go wrong; whether there was anything that could."""
    jobs = at_work()
    if kind == "disk":
        fill(home)
    elif kind == "command":
        command.kill()
    elif kind in ("slurmctld", "n1", "n2"):
        cluster.kill(kind)
        time.sleep(random.uniform(0, 2))
        cluster.start(kind)
    elif kind == "job":
        workers = [one for one in psutil.process_iter(["cmdline"]) if is_job(one.info["cmdline"] or [])]
        if not workers:
            return False
        random.choice(workers).kill()
    elif not jobs:
        return False
    elif kind == "ending":
        deadline, ending = time.monotonic() + 20, random.choice(jobs)
        while ending in at_work() and time.monotonic() < deadline:
            time.sleep(0.02)
        cluster.kill("slurmctld")
        cluster.start("slurmctld")
    else:
        said("scancel", *(["--batch", "--signal=USR1"] if kind == "time" else []), random.choice(jobs))
    return True


def at_work():
    """The numbers of the jobs that are at work for Slurm."""
    return said("squeue", "-h", "-t", "RUNNING", "-o", "%A").split()


def is_job(words):
    """Whether a command line is that of a job of this test."""
    return "cell" in words and "--quiet" in words and any(word.startswith(tempfile.gettempdir()) for word in words)


def table(command):
    """The table of a command that has ended well, else None."""
    out, _ = command.communicate()
    return Path(json.loads(out.splitlines()[-1])["table"]).read_bytes() if command.returncode == 0 else None


def done_cells(runs):
    """When each cell was marked as done, that is."""
    return {path: path.stat().st_mtime_ns for path in runs.glob("cells/*/DONE")}


def main():
    """Run both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    if MISSING:
        sys.exit(f"There is no Slurm here: {', '.join(MISSING)} missing.")
    random.seed(settings.seed)
    with small_disk() as (home, mounted), virtual_slurm() as cluster:
        kinds = [kind for kind in FAULTS if mounted or kind != "disk"]
        start = time.monotonic()
        expected = table(run(Path(home, "slots"), "--jobs", "2"))
        print(f"in slots: {time.monotonic() - start:.0f} s", flush=True)
        for count in sorted({0, settings.faults}):
            start, left, done, found, commands, marked = time.monotonic(), count, Counter(), None, 0, {}
            runs, drawn = Path(home, f"faults {count}"), []
            while found is None and commands < COMMANDS:
                commands += 1
                command = run(runs, "--executor", "slurm")
                while left and command.poll() is None:
                    time.sleep(random.uniform(0.5, 4))
                    drawn = drawn or random.sample(kinds, len(kinds))  # each kind before one comes again
                    if command.poll() is None and fault(drawn[-1], cluster, command, home):
                        done[drawn.pop()] += 1
                        left -= 1
                    marked = done_cells(runs) | marked
                found = table(command)
            again = [path.parent.name for path, when in marked.items() if done_cells(runs).get(path) != when]
            words = ", ".join(f"{kind} {number}" for kind, number in done.items()) or "none"
            same = "the same" if found == expected else "ANOTHER TABLE" if found else "NOT DONE"
            same += f", DONE AGAIN: {', '.join(again)}" if again else ""
            print(
                f"on Slurm: {time.monotonic() - start:.0f} s, {commands} commands, faults: {words}: {same}", flush=True
            )
            if found != expected or again:
                sys.exit(1)


if __name__ == "__main__":
    main()
