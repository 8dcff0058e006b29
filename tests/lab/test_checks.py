"""Each check of the machine tells its fault and leaves nothing behind."""

import importlib.metadata
import sys
from collections import namedtuple

import pytest

from lab import checks, machine
from lab.checks import Broken, Warn, judge_gpus

H100 = (("NVIDIA H100", 9.0),)
OLD = (("GTX 1080", 6.1),)
LAPTOP = (("RTX 4090", 8.9),)
ARCHES = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.mark.parametrize(
    "gpus, cuda, usable, arches, error, words",
    [
        ((), None, False, [], None, "CPU build"),
        (H100, "13.0", True, ARCHES, None, "NVIDIA H100, CUDA 13.0"),
        (LAPTOP, "13.0", True, ARCHES, None, "RTX 4090"),
        ((("later", 13.1),), "13.0", True, ARCHES, None, "later"),
        (H100, "13.0", True, ["sm_90a"], None, "H100"),
        ((), "13.0", False, [], Warn, "no driver"),
        (H100, None, False, [], Warn, "CPU build"),
        (H100, "13.0", False, [], Broken, "newer driver"),
        (OLD, "13.0", True, ARCHES, Broken, r"not built for GTX 1080 \(compute capability 6.1\)"),
        (LAPTOP, "13.0", True, ["sm_90"], Broken, "not built for RTX 4090"),
        ((("later", 13.1),), "13.0", True, ["sm_120"], Broken, "not built"),
        ((*H100, *OLD), "13.0", True, ARCHES, Broken, "GTX 1080"),
    ],
)
def test_a_build_of_torch_against_gpus(gpus, cuda, usable, arches, error, words):
    if error is None:
        assert words in judge_gpus(gpus, cuda, usable, arches)
    else:
        with pytest.raises(error, match=words):
            judge_gpus(gpus, cuda, usable, arches)


@pytest.mark.parametrize(
    "given, error, words",
    [
        ("", None, "4 cores"),
        ("4", None, "4 cores"),
        ("8", Warn, "more than the 4 cores"),
        ("1", Warn, "idle"),
        ("0", Broken, "unset it"),
        ("many", Broken, "'many'"),
        ("4,2", None, "4 cores"),
        ("8,2", Warn, "OMP_NUM_THREADS=8,2 is more than the 4 cores"),
        (" 2 , 4", Warn, "idle"),
        ("-1", Broken, "'-1'"),
        ("many,4", Broken, "'many,4'"),
        (",4", Broken, "',4'"),
    ],
)
def test_threads_against_cores(monkeypatch, given, error, words):
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    if error is None:
        assert checks.check_threads() == words
    else:
        with pytest.raises(error, match=words):
            checks.check_threads()


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    with pytest.raises(Broken, match=r"3\.10\.4 is too old"):
        checks.check_python()


def test_requirements_that_are_not_met(monkeypatch):
    wanted = ["torch==1.0", "no-such-package>=2; python_version > '3'", "gone; extra == 'dev'", "click>=8"]
    monkeypatch.setattr(checks, "requires", lambda package: wanted)
    here = importlib.metadata.version("torch")
    assert checks.unmet("x") == {
        "torch==1.0": f"torch {here} is installed",
        "no-such-package>=2": "no-such-package is missing",
    }
    with pytest.raises(Broken, match=r"no-such-package is missing: pip install 'torch==1.0' 'no-such-package>=2'"):
        checks.check_packages()
    with pytest.raises(Broken, match=r"wants torch==1\.0, .*: pip install --upgrade torch torchvision"):
        checks.check_torchvision()


def test_a_version_before_its_release_is_as_good_as_its_number(monkeypatch):
    monkeypatch.setattr(checks, "requires", lambda package: ["torch>=2", "torch<3.1", "torch<2.5"])
    monkeypatch.setattr(checks, "distributions", lambda name: [namedtuple("Distribution", "version")("3.0.dev1")])
    assert list(checks.unmet("x")) == ["torch<2.5"]


def test_folders_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("in the way")
    blocked = tmp_path / "file" / "runs"
    with pytest.raises(Broken, match="--runs"):
        checks.check_runs(blocked)
    with pytest.raises(Warn, match="only what lies there"):
        checks.check_data(blocked)
    assert "can be written" in checks.check_runs(tmp_path / "not" / "there yet")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("free, error", [(5e10, None), (1.5e9, Warn), (5e7, Broken)])
def test_room_on_the_disk(tmp_path, monkeypatch, free, error):
    monkeypatch.setattr("shutil.disk_usage", lambda path: namedtuple("Usage", "free")(free))
    if error is None:
        assert "50.0 GB free" in checks.check_disk(tmp_path)
    else:
        with pytest.raises(error, match="make room"):
            checks.check_disk(tmp_path / "runs")
