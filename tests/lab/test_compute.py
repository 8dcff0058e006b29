"""Settings of where and how networks are trained."""

import pytest

from lab import machine
from lab.errors import UsageError
from lab.training.compute import Compute


def test_what_is_off_leaves_no_trace():
    found = Compute(precision="float32", device="cpu", processes=2).resolved()
    assert found == {"precision": "float32", "device": "cpu"}


def test_auto_is_resolved_and_what_is_on_is_kept(monkeypatch):
    monkeypatch.setattr(hardware, "gpus", lambda: (("H100", 9.0),))
    found = Compute(sync_batchnorm=True, compile=True).resolved()
    assert found == {"precision": "bf16", "device": "cuda", "sync_batchnorm": True, "compile": True}


@pytest.mark.parametrize("settings", [{"precision": "tf32"}, {"sync_batchnorm": True}])
def test_what_only_gpus_do_is_refused_elsewhere(settings):
    with pytest.raises(UsageError, match="is for GPUs, and the device is cpu"):
        Compute(device="cpu", **settings).resolved()
