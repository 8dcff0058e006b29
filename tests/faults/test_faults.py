"""A few of the deaths that `torn_writes.py` and `kill_resume.py` can do by the hundred.

SNNL_EVERY_DEATH=1 dies at every file operation.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and sends POSIX signals")
EVERY = 1 if os.environ.get("SNNL_EVERY_DEATH") else 61
ARGUMENTS = {
    "torn_writes.py": ["--every", EVERY, "--first", min(EVERY, 23)],
    "kill_resume.py": ["--kills", 2, "--only", "dcgan, 2 processes"],
}


@pytest.fixture(scope="module")
def said():
    """A function that waits for a program and gives what it said. Both are started at once: each waits a lot."""
    running = {}
    for program, arguments in ARGUMENTS.items():
        command = [sys.executable, str(Path(__file__).parent / program), *map(str, arguments)]
        running[program] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(program):
        out, err = running[program].communicate(timeout=3600)
        assert running[program].returncode == 0, out + err
        return out

    yield wait
    for process in running.values():
        process.kill()


def test_a_run_that_died_at_any_file_operation_comes_to_the_right_end(said):
    assert said("torn_writes.py").count("all the same") == 5


def test_a_command_that_was_killed_goes_on_without_a_bit_of_difference(said):
    assert said("kill_resume.py").count("none") == 1
