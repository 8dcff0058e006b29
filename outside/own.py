"""Networks by reference: torchvision's by name, and a user's own, which a file of Python code builds.

Such a file is run, with all that it imports, as `python FILE.py` would run it.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Collection, Iterator
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lab.errors import UsageError, WorkbenchError, first_line, unknown_name
from lab.files import check_plain, expanded
from lab.training.draws import derive_seed
from lab.training.precision import set_gpu_arithmetic
from outside import torchvision
from outside.same import check_same
from outside.weights import fit_weights, weights_for

MODULE = "_network_of_ones_own"
"""What a user's file is called among the modules that are loaded."""
ROOT = Path(__file__).resolve().parent.parent
OURS = {
    *("attacks", "classifiers", "cli", "commands", "evaluation", "gans", "imagesets", "lab", "metrics", "outside"),
    *("snnl_core", "studies", "tasks"),
}
"""What the workbench's own modules are called, and what lies beside a user's file may be, too, as `metrics.py`."""


def build(reference: str, weights: Path | None, seed: int) -> nn.Module:
    """The network `torchvision:NAME`, or `FILE.py:NAME`: one of the file, or what a class or function of it builds.

    The latter is called without arguments. The network is in evaluation mode, with the weights of a file or random ones
    by seed; GPUs compute in float32 after it. Of several processes all are to build it at the same time.

    Raises:
        UsageError: the reference is neither, or the name is unknown.
        WorkbenchError: the file cannot be run or builds no module, or one without values, or the weights do not fit.
    """
    if reference.startswith(torchvision.SCHEME):
        network = torchvision.build(reference, weights, seed)
        check_same(reference, *network.parameters(), *network.buffers())
        return network
    file, _, name = reference.rpartition(":")
    if not file.endswith(".py"):
        hint = f"write {torchvision.SCHEME}resnet18, or FILE.py:NAME for a network of your own"
        raise UsageError(f"--model {reference!r} is no network: {hint}.")
    path = expanded(file)
    with _beside(path), torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        with _told(f"{file} fails when it is run"):
            module, source = _run(path)
        known = [key for key, value in vars(module).items() if _may_be(value)]
        if not hasattr(module, name):
            raise unknown_name(f"network of {file}", name, known)
        network = getattr(module, name)
        if not isinstance(network, nn.Module):
            with _told(f"{reference} fails when it is called without arguments"):
                network = network()
    set_gpu_arithmetic()  # whatever the file says
    if not isinstance(network, nn.Module):
        raise WorkbenchError(f"{reference} builds no torch.nn.Module but {_kind(network)}.")
    for key, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor) or tensor.is_meta:
            problem = f"{key} has no values when it is built, as of a lazy module or on the device meta"
            raise WorkbenchError(f"{reference}: {problem}.")
    if weights is not None:
        fit_weights(network, weights_for(network, weights), f"{weights} does not fit {name}")
    check_same(reference, source, *network.parameters(), *network.buffers())
    return network.float().eval()


def describe(reference: str, weights: Path | None, seed: int) -> str:
    """In a line, which weights the network has that `build` gives."""
    if weights is not None:
        return f"{reference}: weights of {weights}."
    drawn = "random weights" if reference.startswith(torchvision.SCHEME) else "the weights that it is built with"
    return f"{reference}: {drawn} (seed {seed}); --weights names a file."


def check_logits(reference: str, output: Any, n: int) -> None:
    """Raise WorkbenchError unless the output of a network for n images is logits: floating (n, classes)."""
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.ndim != 2 or len(output) != n:
        raise WorkbenchError(f"{reference} gives {_kind(output)} for {n} images, and no logits ({n}, classes).")


def _may_be(value: Any) -> bool:
    """Whether a file's own value may be a network, or build one."""
    return isinstance(value, nn.Module) or getattr(value, "__module__", "") == MODULE


class _Source(SourceFileLoader):
    """Compiles what a file holds now: Python keeps compiled code by the length and the second of its source."""

    source = b""

    def get_code(self, fullname: str) -> CodeType:
        self.source = self.get_data(self.path)
        return self.source_to_code(self.source, self.path)


def _run(file: Path) -> tuple[ModuleType, bytes]:
    """The module of a file that was run, and what it held."""
    check_plain(file)
    loader = _Source(MODULE, str(file))
    spec = importlib.util.spec_from_file_location(MODULE, file, loader=loader)
    assert spec and spec.loader
    module = sys.modules[MODULE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, loader.source


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[None]:
    """What lies beside the file can be imported, whatever its name, and what it prints goes to stderr."""
    place = file.resolve().parent
    same = {one for one in OURS if (place / f"{one}.py").is_file() or any((place / one).glob("*.py"))}
    theirs = same if place != ROOT else set[str]()
    ours = _forgotten(theirs)
    sys.modules.update(_folders(place, theirs))
    sys.path.insert(0, str(place))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path.remove(str(place))
        _forgotten(theirs)
        sys.modules.update(ours)


def _folders(place: Path, names: Collection[str]) -> dict[str, ModuleType]:
    """The packages of these names without `__init__.py`, which an import would pass over for ours."""
    found = (PathFinder.find_spec(name, [str(place)]) for name in names)
    return {spec.name: importlib.util.module_from_spec(spec) for spec in found if spec and spec.origin is None}


def _forgotten(names: Collection[str]) -> dict[str, ModuleType]:
    """The modules of these names, with those in them, which are no more among those that are loaded."""
    return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in names}


@contextlib.contextmanager
def _told(problem: str) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:  # code of others raises errors of every kind
        raise WorkbenchError(f"{problem}: {type(error).__name__}: {first_line(error)}") from error


def _kind(value: Any) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
