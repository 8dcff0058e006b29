"""Settings of where and how networks are trained."""

from types import SimpleNamespace

import pytest

from lab import machine
from lab.errors import UsageError, WorkbenchError
from lab.training import checkpoint
from lab.training.compute import Compute

GPUS = (("H100", 9.0),)


def test_what_is_auto_is_decided_where_it_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "check_device", lambda device: None)
    for gpus, flags, found in (
        ((), frozenset(), ("cpu", "float32")),
        ((), frozenset({"avx512_bf16"}), ("cpu", "bf16")),
        (GPUS, frozenset(), ("cuda", "bf16")),
        ((("P100", 6.0),), frozenset({"avx512_bf16"}), ("cuda", "float32")),
    ):
        monkeypatch.setattr(machine, "gpus", lambda gpus=gpus: gpus)
        monkeypatch.setattr(machine, "processor", lambda flags=flags: ("a processor", flags))
        assert Compute().arithmetic(tmp_path, "onednn") == (*found, "onednn")
        assert Compute(precision="float32", device="cpu").arithmetic(tmp_path, "mkl").precision == "float32"
        assert Compute(precision="bf16", device="cpu").arithmetic(tmp_path, "mkl").precision == "bf16"


def test_what_was_begun_goes_on_in_the_arithmetic_it_began_with(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "gpus", tuple)
    monkeypatch.setattr(machine, "processor", lambda: ("a processor", frozenset({"avx512_bf16"})))
    for step, kept in enumerate((("cpu", "float32"), ("cpu", "float32", "onednn"))):  # older checkpoints tell of two
        checkpoint.save(tmp_path / "checkpoints", step, "key", kept, {})
        assert Compute().arithmetic(tmp_path, "mkl") == checkpoint.Arithmetic(*kept)
    checkpoint.save(tmp_path / "checkpoints", 4, "key", ("cuda", "bf16"), {})
    with pytest.raises(WorkbenchError, match="begun on a GPU, and there is none here"):
        Compute().arithmetic(tmp_path, "mkl")
    monkeypatch.setattr(machine, "check_device", lambda device: None)  # torch sees one that nvidia-smi does not show
    assert Compute().arithmetic(tmp_path, "mkl") == ("cuda", "bf16", "mkl")


@pytest.mark.parametrize("settings", [{"precision": "tf32"}, {"sync_batchnorm": True}])
def test_what_only_gpus_do_is_refused_elsewhere(settings, monkeypatch, tmp_path):
    """At once where the processor is named; else where it runs, which need not be where it is planned."""
    with pytest.raises(UsageError, match="is for GPUs, and the device is cpu"):
        Compute.parse({"device": "cpu", **settings})
    monkeypatch.setattr(machine, "gpus", tuple)
    planned = Compute.parse(settings)
    with pytest.raises(UsageError, match="is for GPUs, and the device is cpu"):
        planned.arithmetic(tmp_path, "mkl")


def test_a_plan_may_be_for_a_gpu_that_is_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "gpus", tuple)
    planned = Compute.parse({"device": "cuda"})
    with pytest.raises(WorkbenchError, match=r"sees no CUDA GPU.*CUDA_VISIBLE_DEVICES=-1 where"):
        planned.arithmetic(tmp_path, "mkl")


def test_a_gpu_that_torch_cannot_use_can_be_hidden_from_all(monkeypatch):
    """Also where a command has no --device, as those that look at a trained network."""
    shown = SimpleNamespace(stdout="0, GPU-a, old, 3.5\n")
    monkeypatch.setattr(machine.subprocess, "run", lambda *words, **settings: shown)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(machine, "_shown", machine._shown.__wrapped__)
    assert machine.resolve_device("auto") == "cpu"
