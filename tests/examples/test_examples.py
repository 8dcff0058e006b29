"""The scripts in `examples/` do what they say, where the package that each is about is there."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import forks
import pytest

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
