"""No variable of the environment changes what comes of a training under the same name."""

import re
from pathlib import Path

import accelerate
import pytest

ODD = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "8",
    "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR",
    "ACCELERATE_MIXED_PRECISION": "fp16",
    "ACCELERATE_TORCH_DEVICE": "meta",
    "ACCELERATE_LOG_LEVEL": "DEBUG",
    "PMI_SIZE": "3",
    "PMI_RANK": "1",
}
"""Of some variables, the value that does most; of all others it is `true`."""
NAMES = re.compile(r"""["']((?:ACCELERATE|FSDP|MEGATRON_LM|PARALLELISM_CONFIG)_[A-Z0-9_]*[A-Z0-9])["']""")


def known_to_accelerate():
    """Every variable that the source of Accelerate names."""
    files = Path(accelerate.__file__).parent.rglob("*.py")
    return sorted({name for file in files for name in NAMES.findall(file.read_text(encoding="utf-8"))})


@pytest.fixture(scope="module")
def trained(snnl, tmp_path_factory):
    """What a training says and comes to, by the environment that it has."""

    def train(anew=False, **environment):
        home = tmp_path_factory.mktemp("home")
        options = ["--width", "8", "--depth", "1", "--epochs", "1", "--precision", "float32"]
        done = snnl("classifier", "train", "mlp", *options, cwd=home, anew=anew, **environment)
        assert done.returncode == 0, done.stderr
        (cell,) = (home / "runs" / "cells").iterdir()
        weights = next(cell.glob("snapshots/*")).read_bytes()
        return cell.name, (cell / "rows.jsonl").read_bytes(), weights

    return train


@pytest.fixture(scope="module")
def plain(trained):
    return trained()


def test_accelerates_variables_decide_nothing(trained, plain):
    names = known_to_accelerate()
    assert set(ODD) - {"PMI_SIZE", "PMI_RANK"} <= set(names) and len(names) > 40
    assert trained(anew=True, **dict.fromkeys(names, "true") | ODD) == plain


LEFT = [
    {"RANK": "2"},
    {"LOCAL_RANK": "1"},
    {"WORLD_SIZE": "1", "RANK": "1"},
    {"WORLD_SIZE": "abc", "LOCAL_RANK": ""},
    {"WORLD_SIZE": "2", "RANK": "x"},
    {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "-1"},
]


@pytest.mark.parametrize("left", LEFT)
def test_what_a_launcher_left_behind_decides_nothing(trained, plain, left):
    assert trained(**left) == plain


def test_a_study_is_done_where_a_launcher_left_its_rank(snnl, tmp_path):
    command = ["study", "toy", "--preset", "smoke", "--seeds", "1", "--svg-only", "--json"]
    done = snnl(*command, cwd=tmp_path, RANK="2")
    assert done.returncode == 0 and '"run": 1' in done.stdout
    assert next((tmp_path / "runs" / "cells").iterdir()).joinpath("DONE").exists()
