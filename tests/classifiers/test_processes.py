"""Several processes against one, and going on with several."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lab.training import checkpoint

HERE = Path(__file__).resolve().parent
CASES = ("cnn", "mlp", "mlp, entangled", "mlp, learned", "resnet", "torchvision")
WRONG = ("gradients not averaged", "all with the first part", "each part's own SNNL")


def start(processes, *arguments):
    """Run `processes.py`; its output."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if processes > 1 else []
    command = [sys.executable, *torchrun, str(HERE / "processes.py"), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one and two processes make of the same work, by number of processes."""
    folder, results = tmp_path_factory.mktemp("processes"), {}
    for world in (1, 2):
        start(world, "train", folder / f"{world}.pt")
        results[world] = torch.load(folder / f"{world}.pt", weights_only=True)
    return results


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_does(found, case):
    """In float64, a part in 1e7. With BatchNorm: as one process that normalises the same halves of each batch."""
    one, two = (found[world][case] for world in (1, 2))
    assert one.keys() == two.keys()
    assert any(name.startswith("snnl") for name in one) == (case != "mlp")
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-7, atol=1e-9, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("case", ["cnn", "resnet"])
def test_the_comparison_tells_what_is_wrong(found, case, wrong):
    """The weights alone tell: by hundreds of times what is allowed."""
    one, two = found[1][case], found[2][f"{case}, {wrong}"]
    weights = [name for name in one if name.endswith(".weight")]
    assert max(float((one[name] - two[name]).abs().max()) for name in weights) > 1e-5


def everything(folder):
    last = checkpoint.newest_first(folder / "checkpoints")[0]
    files = [*folder.glob("snapshots/*"), *last.iterdir(), folder / "rows.jsonl"]
    return {path.name: path.read_bytes() for path in files}


def test_two_processes_go_on_without_a_bit_of_difference(tmp_path):
    assert "stopped" in start(2, "stop", tmp_path)
    (broken,), (whole,) = ((tmp_path / place).iterdir() for place in ("broken", "whole"))
    (point, _) = checkpoint.newest_first(broken / "checkpoints")
    assert not (broken / "DONE").exists() and checkpoint.step_of(point) == module().STOP
    start(2, "go-on", tmp_path)
    assert everything(broken) == everything(whole)


def module():
    """`processes.py`, imported."""
    spec = importlib.util.spec_from_file_location("classifier_processes", HERE / "processes.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found
