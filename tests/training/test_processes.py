"""Three and four processes go on without a bit of difference, after a signal that came to one of them."""

import os
from pathlib import Path

import forks
import pytest

from lab.cells.folder import CellFolder
from lab.training import checkpoint

HERE = Path(__file__).resolve().parent
STOP = 3
"""As in `processes.py`: the step in which the signal came."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where `processes.py` did its trainings, and what it said of those that were broken off."""
    place = tmp_path_factory.mktemp("processes")
    done = forks.run(HERE / "processes.py", [place], place, os.environ, 600)
    assert done.returncode == 0, done.stderr[-3000:]
    (place / "said").write_text(done.stdout)
    (place / "warned").write_text(done.stderr)
    return place


def everything(made):
    (last,) = checkpoint.newest_first(made.path / "checkpoints")[:1]
    kept = {path.name: path.read_bytes() for place in ("snapshots", "samples") for path in made.path.glob(f"{place}/*")}
    return {**kept, "rows": made.rows(), **checkpoint.read(last, made.key).files}


def test_all_processes_save_after_the_step_in_which_one_of_them_is_asked_to_end(folder):
    """And none of them calls it a failure that the others have gone."""
    assert (folder / "said").read_text() == f"saved step-{STOP + 1:08d}\n" * 3


def test_nobody_is_warned_of_what_torch_will_change(folder):
    assert "FutureWarning" not in (folder / "warned").read_text()


@pytest.mark.parametrize("processes, task", [(3, "train-gan"), (3, "train-classifier"), (4, "train-gan")])
def test_several_processes_go_on_without_a_bit_of_difference(folder, processes, task):
    whole, broken = (
        next(made for path in (folder / str(processes) / place).iterdir() if (made := CellFolder(path)).task == task)
        for place in ("whole", "broken")
    )
    assert everything(broken) == everything(whole)
    resumed = [line for line in (broken.path / "events.jsonl").read_text().splitlines() if '"resumed"' in line]
    assert len(resumed) == 1, "it went on from its checkpoint"
