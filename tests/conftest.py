"""What tests of several folders use."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    """Side by side, the processes that test share the cores: more threads than cores wait for each other."""
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // workers))


@pytest.fixture(scope="session")
def snnl(tmp_path_factory):
    """Run the command line as people do, in an empty folder; gives the finished process."""
    home = tmp_path_factory.mktemp("home")

    def run(*arguments, cwd=home, timeout=300, **environment):
        variables = {**os.environ, "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
        variables.pop("SNNL_DATA", None)
        command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=timeout)

    return run


@pytest.fixture(scope="session")
def python():
    """Run a piece of Python in a process of its own; gives its standard output."""

    def run(code):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def study(snnl, tmp_path_factory):
    """The smoke study, run once: (home, arguments, the finished process, seconds)."""
    home = tmp_path_factory.mktemp("study")
    arguments = ["study", "gan-entanglement", "--preset", "smoke", "--runs", "my runs", "--json"]
    start = time.monotonic()
    done = snnl(*arguments, cwd=home)
    assert done.returncode == 0, done.stderr
    return home, arguments, done, time.monotonic() - start


@pytest.fixture(scope="session")
def incomplete(snnl, tmp_path_factory):
    """A study one of whose cells fails: (home, arguments, the finished process, what is in the cell's way).

    Its page is kept as `incomplete.html` in the home.
    """
    home = tmp_path_factory.mktemp("incomplete")
    arguments = ["study", "gan-entanglement", "--preset", "smoke", "--seeds", "1", "--runs", "runs", "--json"]
    plan = snnl(*arguments, "--dry-run", cwd=home).stdout
    victim = next(word for word in plan.split() if word.startswith("gan-dcgan-"))
    blocked = home / "runs" / "cells" / victim / "snapshots"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder should be")
    done = snnl(*arguments, cwd=home)
    shutil.copyfile(home / json.loads(done.stdout.splitlines()[-1])["report"], home / "incomplete.html")
    return home, arguments, done, blocked


@pytest.fixture(scope="session")
def redrawn(snnl, tmp_path_factory):
    """The published studies' reports, drawn as on a fresh clone: the finished process of each, by its hash.

    Of several processes that test, the first one that wants them draws them for all.
    """
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "published"
    home.mkdir(exist_ok=True)
    known = home / "finished.pickle"
    with FileLock(home / "drawing"):
        if not known.exists():
            shutil.copytree(ROOT / "results", home / "results")
            folders = sorted((home / "results" / "studies").glob("*/*"))
            known.write_bytes(pickle.dumps({path.name: snnl("report", path, "--json") for path in folders}))
    return pickle.loads(known.read_bytes())


@pytest.fixture(scope="session")
def data_at_hand():
    """The folder with MNIST and others, where there is one: SNNL_DATA, or one beside the checkout."""
    for folder in (os.environ.get("SNNL_DATA"), ROOT.parent / "shared" / "datasets"):
        if folder and (Path(folder) / "MNIST").is_dir():
            return Path(folder)
    pytest.skip("no folder with MNIST: name one with SNNL_DATA")
