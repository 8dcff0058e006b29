"""What the code of a user's network does beside giving numbers: it prints, imports, leaves, and names layers."""

import os
import sys
import tomllib
from functools import partial

import pytest
import torch
from torch import nn

from evaluation.foreign import own_space
from lab.errors import UsageError, WorkbenchError
from outside import own, same
from outside.files import read_layers
from outside.network import measure_network

FILE = """
from torch import Tensor, nn

from beside import CLASSES


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).mean((2, 3)))


class Bends(Net):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


class Talks(Net):
    def forward(self, x):
        print("this is no result", tuple(x.shape))
        return super().forward(x)


class Greets(Net):
    def forward(self, x):
        print("this is no result")
        return super().forward(x)


class TalksAndBends(Bends):
    def forward(self, x):
        print("this is no result")
        return super().forward(x)


class Leaves(Net):
    def forward(self, x):
        raise SystemExit("enough")


class LeavesStandIns(Net):
    def forward(self, x):
        if not isinstance(x, Tensor):
            raise SystemExit("this is no tensor")
        return super().forward(x)


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.LazyLinear(CLASSES)

    def forward(self, x):
        return self.fc(x.flatten(1))


def meta():
    return Net().to("meta")


def half():
    return Net().half()
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "net.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("CLASSES = 10")
    yield str(tmp_path / "net.py")
    sys.modules.pop("beside", None)


@pytest.mark.parametrize("name", ["Talks", "Greets", "TalksAndBends"])
def test_what_a_network_prints_as_it_runs_is_no_result(file, tmp_path, capsys, name):
    measure_network(f"{file}:{name}", "digits", data=tmp_path, n=20, device="cpu")
    said = capsys.readouterr()
    assert not said.out and "this is no result" in said.err


def test_a_network_that_leaves_when_it_is_traced_is_measured_by_hooks(file, tmp_path):
    said = []
    found = measure_network(f"{file}:LeavesStandIns", "digits", data=tmp_path, n=20, device="cpu", say=said.append)
    assert "torch.fx cannot trace it (this is no tensor)" in said[-1]
    assert [layer.layer for layer in found.layers] == ["conv", "act", "fc"]


def test_networks_are_measured_in_float32_whatever_they_are_built_in(file, tmp_path):
    tensors = own.build(f"{file}:half", None, 0).state_dict()
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


@pytest.mark.parametrize(
    "name, words",
    [
        ("Leaves", r"fails on images of 16 x 16 pixels: SystemExit: enough \(.*net\.py, line \d+\)\.$"),
        ("Lazy", r"Lazy: fc\.weight has no values when it is built, as of a lazy module or on the device meta\.$"),
        ("meta", r"meta: conv\.weight has no values when it is built"),
    ],
)
def test_what_cannot_be_run_as_it_is_built_is_refused(file, tmp_path, name, words):
    with pytest.raises(WorkbenchError, match=words):
        measure_network(f"{file}:{name}", "digits", data=tmp_path, n=20, device="cpu")


def test_a_layer_that_is_called_as_the_labels_is_not_lost_among_what_is_kept(file, tmp_path):
    renamed = FILE.replace("self.fc", "self.labels")
    (tmp_path / "net.py").write_text(renamed)
    measure = partial(
        measure_network, f"{file}:Net", "digits", data=tmp_path, n=20, out=tmp_path / "a.npz", device="cpu"
    )
    with pytest.raises(
        UsageError, match=r"a\.npz: the array labels is of labels, and a layer is called so: name others"
    ):
        measure()
    assert not (tmp_path / "a.npz").exists()
    measure(layers=["act"])
    assert read_layers(tmp_path / "a.npz")[0].keys() == {"act"}


@pytest.mark.parametrize("name", ["metrics", "cli", "lab"])
def test_what_lies_beside_the_file_may_be_called_as_what_is_in_the_workbench(file, tmp_path, monkeypatch, name):
    """As `metrics.py`: it is the file's, and ours stay ours."""
    monkeypatch.syspath_prepend(own.ROOT)  # where a command looks first
    loaded = {module: sys.modules.get(module) for module in (name, "metrics.layers", "lab.errors")}
    (tmp_path / "net.py").write_text(FILE.replace("from beside", f"from {name}"))
    (tmp_path / f"{name}.py").write_text("CLASSES = 7")
    assert own.build(f"{file}:Net", None, 0).fc.out_features == 7
    assert {module: sys.modules.get(module) for module in loaded} == loaded
    (tmp_path / f"{name}.py").write_text("CLASSES = 1 / 0")
    with pytest.raises(WorkbenchError, match=r"net\.py fails when it is run: ZeroDivisionError"):
        own.build(f"{file}:Net", None, 0)
    assert {module: sys.modules.get(module) for module in loaded} == loaded


@pytest.mark.parametrize("init", [True, False])
def test_a_folder_of_code_beside_the_file_may_be_called_as_one_of_the_workbench(file, tmp_path, init):
    """With `__init__.py` or, as many have it, without; a folder of other files is no code."""
    loaded = {module: sys.modules.get(module) for module in ("metrics", "metrics.layers", "metrics.mine")}
    (tmp_path / "net.py").write_text("import tasks\n" + FILE.replace("from beside", "from metrics.mine"))
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "mine.py").write_text("CLASSES = 7")
    if init:
        (tmp_path / "metrics" / "__init__.py").touch()
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "notes.txt").touch()
    assert own.build(f"{file}:Net", None, 0).fc.out_features == 7
    assert sys.modules[own.MODULE].tasks.__file__ == str(own.ROOT / "tasks" / "__init__.py")
    assert {module: sys.modules.get(module) for module in loaded} == loaded


def test_a_file_in_the_workbench_itself_imports_what_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(own, "ROOT", tmp_path)
    (tmp_path / "metrics.py").write_text("1 / 0")
    (tmp_path / "net.py").write_text("from torch import nn\nfrom metrics import layers\nNet = nn.Identity\n")
    assert isinstance(own.build(f"{tmp_path / 'net.py'}:Net", None, 0), nn.Identity)


def test_the_names_of_the_workbench_are_its_packages():
    project = tomllib.loads((own.ROOT / "pyproject.toml").read_text())["tool"]
    assert {*project["mypy"]["packages"]} == own.OURS


def test_a_file_is_run_as_it_is_now(tmp_path):
    """Python takes compiled code for that of a file which has as many bytes and was written in the same second."""
    file, code = tmp_path / "my.py", "from torch import nn\nnet = nn.Linear(2, {})\n"
    for features in (3, 4):
        file.write_text(code.format(features))
        os.utime(file, (0, 0))
        assert own.build(f"{file}:net", None, 0).out_features == features


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("name", ["my.py:net", "my.pt"])
def test_a_space_is_named_after_the_file_that_was_run(tmp_path, name):
    """Such as one that is written anew just then."""
    anew = "from pathlib import Path; Path(__file__).write_text('another')"
    (tmp_path / "my.py").write_text(f"from torch import nn; {anew}\nnet = nn.Linear(2, 3)\n")
    torch.jit.trace(nn.Linear(2, 3), torch.zeros(1, 2)).save(tmp_path / "my.pt")
    place, load = tmp_path / name.partition(":")[0], torch.jit.load

    def loaded(file, **how):
        found = load(file, **how)
        place.write_bytes(place.read_bytes() + b" ")
        return found

    with pytest.MonkeyPatch.context() as patch, pytest.raises(WorkbenchError, match="has changed while it was read"):
        patch.setattr(torch.jit, "load", loaded)
        own_space(f"{tmp_path / name}", None, None, None)


def test_sparse_tensors_of_several_processes_are_compared(monkeypatch):
    """As a graph's, among the buffers of a network."""
    told = []
    monkeypatch.setattr(same, "world_size", lambda: 2)
    monkeypatch.setattr(same, "agree", lambda check, content: told.append(content))
    for x in (torch.eye(3), torch.eye(3), 2 * torch.eye(3)):
        same.check_same("my.py:net", x.to_sparse())
    assert told[0] == told[1] != told[2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["my.py:net", "my.pt"])
def test_a_pipe_in_place_of_a_file_is_refused(tmp_path, name):
    """Whoever opened it to read would wait for ever."""
    os.mkfifo(tmp_path / name.partition(":")[0])
    with pytest.raises(WorkbenchError, match="no such file"):
        own_space(f"{tmp_path / name}", None, None, None)
