"""The scripts in `examples/` do what they say, where the package that each is about is there."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import forks
import pytest
import torch

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def loaded(name):
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def learns():
    """What each of several processes does."""
    assert loaded("own_loop").train() < 1.5


def test_the_own_loop_learns_in_two_processes():
    forks.together(Path(__file__), "learns", 2)


@pytest.mark.parametrize(
    "name, package, layers",
    [("lightning_callback", "lightning", ["body", "head"]), ("hugging_face_trainer", "transformers", ["1", "2"])],
)
def test_callbacks_log_a_score_for_each_layer(name, package, layers):
    pytest.importorskip(package, reason=f"this example needs {package}: pip install {package}")
    found = loaded(name).main()
    assert all(0 < found[f"entanglement/{layer}"] < 1 for layer in layers)


def test_lightning_s_callback_sees_what_layers_give_and_leaves_no_hook_behind(monkeypatch):
    """Not what the next one makes of it in place; whether the validation ends or fails."""
    parts = {"Callback": object, "LightningModule": torch.nn.Module, "Trainer": object}
    monkeypatch.setitem(sys.modules, "lightning", SimpleNamespace(**parts))
    callback = loaded("lightning_callback").Entanglement(["0"])
    module, x = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(inplace=True)), torch.randn(8, 2)
    module.log = lambda name, value: None
    wanted = module[0](x).detach()
    callback.on_validation_epoch_start(None, module)
    module(x)
    callback.on_validation_batch_end(None, module, None, (x, torch.arange(8) % 2))
    assert torch.equal(callback.seen["0"], wanted)
    callback.on_validation_epoch_end(None, module)
    assert not module[0]._forward_hooks
    callback.on_validation_epoch_start(None, module)
    callback.on_exception(None, module, KeyboardInterrupt())
    assert not module[0]._forward_hooks
