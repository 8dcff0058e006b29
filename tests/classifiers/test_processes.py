"""Several processes against one, and going on with several."""

from pathlib import Path

import forks
import pytest
import torch

from lab.training import checkpoint

HERE = Path(__file__).resolve().parent
CASES = ("cnn", "mlp", "mlp, entangled", "mlp, learned", "resnet", "torchvision")
WRONG = ("gradients not averaged", "all with the first part", "each part's own SNNL")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one and two processes make of the same work, by number of processes."""
    folder, results = tmp_path_factory.mktemp("processes"), {}
    for world in (1, 2):
        forks.together(HERE / "processes.py", "train", world, folder / f"{world}.pt")
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
    forks.together(HERE / "processes.py", "stop", 2, tmp_path)
    (broken,), (whole,) = ((tmp_path / place).iterdir() for place in ("broken", "whole"))
    (point, _) = checkpoint.newest_first(broken / "checkpoints")
    assert not (broken / "DONE").exists() and checkpoint.step_of(point) == 5
    forks.together(HERE / "processes.py", "go_on", 2, tmp_path)
    assert everything(broken) == everything(whole)
