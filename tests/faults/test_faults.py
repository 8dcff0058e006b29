"""A few of the deaths that `torn_writes.py` and `kill_resume.py` can do by the hundred.

SNNL_EVERY_DEATH=1 dies at every file operation.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and sends POSIX signals")


def run(program, *arguments):
    command = [sys.executable, str(Path(__file__).parent / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_that_died_at_any_file_operation_comes_to_the_right_end(tmp_path):
    every = 1 if os.environ.get("SNNL_EVERY_DEATH") else 41
    said = run("torn_writes.py", "--every", every, "--first", min(every, 23))
    assert said.count("all the same") == 5


def test_a_command_that_was_killed_goes_on_without_a_bit_of_difference():
    said = run("kill_resume.py", "--kills", 3, "--only", "wgan-gp", "dcgan, 2 processes")
    assert said.count("none") == 2
