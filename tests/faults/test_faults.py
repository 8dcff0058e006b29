"""A few of the deaths that `torn_writes.py` and `kill_resume.py` can do by the hundred.

SNNL_EVERY_DEATH=1 dies at every file operation.
"""

import os
from pathlib import Path

import forks
import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and sends POSIX signals")
EVERY = 1 if os.environ.get("SNNL_EVERY_DEATH") else 61
HERE = Path(__file__).parent
DEATHS = ["--every", EVERY, "--first", min(EVERY, 23)]
KILLS = ["--kills", "2", "--only", "dcgan, 2 processes"]


@pytest.fixture(scope="module", autouse=True)
def killing():
    """The program that kills, which waits a lot: the other tests come meanwhile."""
    running = forks.Running(HERE / "kill_resume.py", KILLS, Path.cwd(), os.environ)
    yield running
    running.kill()


def test_a_run_that_died_at_any_file_operation_comes_to_the_right_end(tmp_path):
    done = forks.run(HERE / "torn_writes.py", DEATHS, tmp_path, os.environ, 3600)
    assert done.returncode == 0 and done.stdout.count("all the same") == 5, done.stderr
    assert " 0 deaths" not in done.stdout, done.stdout


def test_a_command_that_was_killed_goes_on_without_a_bit_of_difference(killing):
    done = killing.finished(3600)
    assert done.returncode == 0 and done.stdout.count("none") == 1, done.stdout + done.stderr
