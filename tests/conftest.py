"""What tests of several folders use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
def data_at_hand():
    """The folder with MNIST and others, where there is one: SNNL_DATA, or one beside the checkout."""
    for folder in (os.environ.get("SNNL_DATA"), ROOT.parent / "shared" / "datasets"):
        if folder and (Path(folder) / "MNIST").is_dir():
            return Path(folder)
    pytest.skip("no folder with MNIST: name one with SNNL_DATA")
