"""Networks of a user's own: built by a file, cut into layers by torch.fx or by hooks, and what is refused."""

import sys
from functools import partial

import pytest
import torch
from torch import nn

import imagesets
from lab.errors import UsageError, WorkbenchError
from lab.training.draws import subset
from lab.training.precision import set_gpu_arithmetic
from metrics import layers
from outside import hooks, own
from outside.layered import extractor, prepare, run
from outside.network import extract, measure_network
from snnl_core import entanglement

FILE = """
import torch
from torch import nn

from beside import CLASSES

print("this is no result")


class Net(nn.Module):
    def __init__(self, channels=1, classes=CLASSES):
        super().__init__()
        self.body = nn.ModuleDict({"conv": nn.Conv2d(channels, 4, 3), "norm": nn.BatchNorm2d(4)})
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        h = self.body["conv"](x)
        h += 1
        h = self.act(self.body["norm"](h)).mul_(2)
        return self.fc(h.mean((2, 3)))


class Forgets(Net):
    def forward(self, x):
        h = self.act(self.body["norm"](self.body["conv"](x) + 1))
        h.mul_(2)
        return self.fc(h.mean((2, 3)))


class Bends(Net):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.fc = nn.LSTM(16, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.fc(self.read(x[:, 0])[0][:, -1])


def colour():
    return Net(channels=3)


def pair():
    return type("Pair", (Net,), {"forward": lambda self, x: (Net.forward(self, x), x)})()


def a_map():
    return nn.Conv2d(1, 4, 3)


def quits():
    raise SystemExit("enough")


NUMBER = 3
ready = Net()
"""
OF_FEW_MODULES = """
class BendsOnce(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(256, CLASSES)

    def forward(self, x):
        return self.fc((x if x.sum() > 0 else -x).flatten(1))


class Body(nn.Module):
    def forward(self, x):
        return x.flatten(1).mul(2).add(1).relu().sub(1)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.fc = Body(), nn.Linear(256, CLASSES)

    def forward(self, x):
        return self.fc(self.body(x))
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "net.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("CLASSES = 10")
    (tmp_path / "broken.py").write_text("import torch\n1 / 0")
    yield str(tmp_path / "net.py")
    sys.modules.pop("beside", None)


def by_hand(network, x):
    """The modules' outputs by running them one after the other, nothing in place."""
    conv = network.body["conv"](x)
    norm = network.body["norm"](conv + 1)
    act = norm.relu()
    return {"body.conv": conv, "body.norm": norm, "act": act, "fc": network.fc((2 * act).mean((2, 3)))}


@pytest.mark.parametrize("name, traced", [("Net", True), ("Bends", False), ("Forgets", False)])
def test_layers_are_what_modules_give_whatever_is_done_in_place(file, name, traced):
    network, said = own.build(f"{file}:{name}", None, 0), []
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = by_hand(network, x)
    found = extract(extractor(name, network, list(expected), x, said.append), x.split(4), None)
    assert list(found) == list(expected)
    for layer, output in expected.items():
        torch.testing.assert_close(found[layer], output.flatten(1))
    assert traced != ("torch.fx cannot trace it" in " ".join(said))


def test_a_network_of_ones_own_on_digits_is_the_engine_on_its_features(file, tmp_path, capsys):
    settings = {"data": tmp_path, "n": 60, "seed": 5, "device": "cpu"}
    found = measure_network(f"{file}:Bends", "digits", **settings)
    assert not capsys.readouterr().out and str(tmp_path) not in sys.path
    digits = imagesets.load("digits", "test", root=tmp_path)
    chosen = subset(500, 60, 5, "images")
    with torch.no_grad():
        expected = by_hand(own.build(f"{file}:Bends", None, 5), prepare(digits.batch(chosen), 16, "none", 1))
    assert [row.layer for row in found.layers] == list(expected)
    for row in found.layers:
        score = entanglement(expected[row.layer].flatten(1), digits.labels[chosen]).score
        assert row.score == pytest.approx(score, rel=1e-3)
    asked = {"distance": "cosine", "anchors": 20}
    (row,) = measure_network(f"{file}:Bends", "digits", layers=["fc"], **asked, **settings).layers
    (other,) = layers.measure({"fc": expected["fc"]}, digits.labels[chosen], seed=5, **asked)
    assert (row.n_valid, row.loss) == (20, pytest.approx(other.loss, rel=1e-3)) and row.stderr > 0


def test_colours_are_ones_own_unless_they_are_normalised(file, tmp_path):
    measure = partial(measure_network, f"{file}:colour", "digits", data=tmp_path, n=20, layers=["fc"], device="cpu")
    with pytest.raises(UsageError, match=r"fails on images of 16 x 16 pixels .*to have 3 channels"):
        measure()
    assert [row.features for row in measure(normalize="imagenet").layers] == [10]


def test_modules_that_give_no_tensor_are_left_out_unless_they_are_asked_for(file, tmp_path):
    measure = partial(measure_network, f"{file}:Recurrent", "digits", data=tmp_path, n=20, device="cpu")
    assert [row.layer for row in measure().layers] == ["fc"]
    with pytest.raises(UsageError, match="Layer 'read' gives no floating tensor"):
        measure(layers=["read"])


def test_weights_and_random_weights_by_seed(file, tmp_path):
    state = torch.get_rng_state()
    one, again, other = (own.build(f"{file}:Net", None, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state) and not one.training
    assert torch.equal(one.fc.weight, again.fc.weight) and not torch.equal(one.fc.weight, other.fc.weight)
    torch.save(other.state_dict(), tmp_path / "a.pth")
    assert torch.equal(own.build(f"{file}:Net", tmp_path / "a.pth", 0).fc.weight, other.fc.weight)
    with pytest.raises(WorkbenchError, match=r"a.pth does not fit colour: of its tensors, 1 of another shape"):
        own.build(f"{file}:colour", tmp_path / "a.pth", 0)


def test_what_a_file_says_of_products_on_a_gpu_does_not_reach_what_is_measured(tmp_path):
    """Scripts that train have this line at their beginning."""
    file = tmp_path / "fast.py"
    file.write_text("import torch\ntorch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True\n")
    with file.open("a") as more:
        more.write("torch.backends.cudnn.benchmark = True\nNet = torch.nn.Identity\n")
    try:
        own.build(f"{file}:Net", None, 0)
        assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cudnn.benchmark
    finally:
        set_gpu_arithmetic()


def test_outermost_modules_are_parts_and_the_one_with_most_of_them_is_opened():
    assert hooks.parts(["stem", "body.a.x", "body.a", "body.b", "body", "fc"]) == ["stem", "body.a", "body.b", "fc"]
    assert hooks.parts(["stem", "list.0", "list.1", "head.x", "head"]) == ["stem", "list.0", "list.1", "head"]
    assert hooks.parts(["net.0", "net.1.x", "net.1", "net"]) == ["net.0", "net.1"]
    assert hooks.parts(["fc"]) == ["fc"], "there is nothing in it"
    assert hooks.parts(["net.fc", "net"]) == ["net.fc"]


@pytest.mark.parametrize("name, traced, layers", [("BendsOnce", False, ["fc"]), ("Functional", True, ["body", "fc"])])
def test_a_module_with_most_of_a_network_and_no_module_in_it_is_a_layer(file, tmp_path, name, traced, layers):
    (tmp_path / "net.py").write_text(f"{FILE}\n{OF_FEW_MODULES}")
    said = []
    measure = partial(measure_network, f"{file}:{name}", "digits", data=tmp_path, n=20, device="cpu")
    assert [row.layer for row in measure(say=said.append).layers] == layers
    assert traced != ("torch.fx cannot trace it" in " ".join(said))


def test_modules_are_called_in_order_and_the_last_call_counts():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first, self.unused = nn.Linear(2, 2), nn.ReLU(inplace=True), nn.Linear(2, 2)

        def forward(self, x):
            return self.first(self.last(self.first(x - 1)))

    network, x = Twice(), torch.randn(5, 2)
    assert hooks.called(network, x) == ["first", "last"]
    found = hooks.Hooked(network, {"first": "f", "last": "l"})(x)
    assert list(found) == ["f", "l"] and torch.equal(found["f"], network(x))
    assert torch.equal(found["l"], network.last((x - 1).relu()))
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(UsageError, match="Unknown layer 'lats'; did you mean 'last'"):
        hooks.layers(network, x).checked(["lats"])


def test_a_network_that_the_file_has_built_serves_as_one_that_it_builds(file):
    """It is anew at each build, drawn by the seed."""
    ready, again, other = (own.build(f"{file}:ready", None, seed) for seed in (0, 0, 1))
    built = own.build(f"{file}:Net", None, 0)
    assert type(ready).__name__ == type(built).__name__ == "Net" and not ready.training
    assert torch.equal(ready.fc.weight, again.fc.weight) and ready is not again
    assert not torch.equal(ready.fc.weight, other.fc.weight)


def test_a_network_that_is_given_is_taken_whatever_its_length(file, tmp_path):
    """A container's may be 0, and what torch.compile gives of other networks refuses to tell any."""

    class Unsized(nn.Sequential):
        def __len__(self):
            raise TypeError("Unsized does not support len()")

    layers = nn.Flatten(), nn.Linear(256, 10)
    for network in (Unsized(*layers), type("Empty", (nn.Sequential,), {"__len__": lambda self: 0})(*layers)):
        found = measure_network("absent.py:Net", "digits", data=tmp_path, n=20, device="cpu", network=network)
        assert [row.layer for row in found.layers] == ["0", "1"]


def test_networks_of_the_file_are_proposed_whatever_their_class(tmp_path):
    path = tmp_path / "built.py"
    path.write_text("from torch import nn\nready, number = nn.Sequential(nn.Linear(2, 2)), 3\n")
    with pytest.raises(UsageError, match=r"'raedy'; did you mean 'ready'\? Known: ready\.$"):
        own.build(f"{path}:raedy", None, 0)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_torchscript_takes_no_hooks_and_has_no_layers():
    """As a part of a network it is left out, and alone it has none."""
    x = torch.randn(5, 2)
    traced = torch.jit.trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), x)
    assert hooks.called(nn.Sequential(nn.ReLU(), traced, nn.Flatten()), x) == ["0", "2"]
    with pytest.raises(WorkbenchError, match="traced has no module whose output is a tensor"):
        extractor("traced", traced, None, x, print)


@pytest.mark.parametrize(
    "name, kind, words",
    [
        ("net.py:Nett", UsageError, "net.py 'Nett'; did you mean 'Net'? Known: Bends, Forgets, Net, Recurrent"),
        ("net.py:NUMBER", WorkbenchError, "NUMBER fails when it is called without arguments: TypeError: 'int' object"),
        ("net.py:quits", WorkbenchError, "quits fails when it is called without arguments: SystemExit: enough"),
        ("net.py:CLASSES", WorkbenchError, "CLASSES fails when it is called"),
        ("net.py:dict", UsageError, "Unknown network of"),
        ("broken.py:Net", WorkbenchError, "broken.py fails when it is run: ZeroDivisionError: division by zero"),
        ("absent.py:Net", WorkbenchError, "absent.py fails when it is run: FileNotFoundError"),
        ("net.py:pair", WorkbenchError, "pair gives a tuple for 2 images, and no logits (2, classes)."),
        ("net.py:a_map", WorkbenchError, "a_map gives a tensor (2, 4, 14, 14) for 2 images, and no logits"),
        ("net.py", UsageError, "is no network: write torchvision:resnet18, or FILE.py:NAME for a network of your own"),
    ],
)
def test_files_that_build_no_network_are_one_line(file, tmp_path, name, kind, words):
    with pytest.raises(kind) as refused:
        measure_network(str(tmp_path / name), "digits", data=tmp_path, n=20, device="cpu")
    assert words in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "error",
    [
        "RuntimeError('mat1 and mat2 shapes cannot be multiplied (2x9 and 4x5)')",
        "ValueError('Expected more than 1 value per channel when training')",
        "AssertionError('Wrong image height! Expected 224 but got 16!')",
    ],
)
def test_another_size_is_proposed_where_the_images_do_not_fit(tmp_path, error):
    with pytest.raises(UsageError, match=r"fails on images of 16 x 16 pixels \(.*\)\. Try another --size, as 224\.$"):
        fails(tmp_path, error)


@pytest.mark.parametrize(
    "error, kind",
    [
        ("AttributeError('no width')", "AttributeError: no width"),
        ("TypeError('the wrong shape of thing')", "TypeError: the wrong shape of thing"),
        ("RuntimeError('no such operator')", "RuntimeError: no such operator"),
        ("KeyError('size')", "KeyError: 'size'"),
    ],
)
def test_what_fails_otherwise_is_told_alone_with_its_place(tmp_path, error, kind):
    with pytest.raises(WorkbenchError) as failed:
        fails(tmp_path, error)
    place = f"({tmp_path / 'fails.py'}, line 4)"
    assert str(failed.value) == f"The network fails on images of 16 x 16 pixels: {kind} {place}."


def test_no_memory_is_told_as_such(tmp_path):
    with pytest.raises(WorkbenchError, match="not enough memory"):
        fails(tmp_path, "RuntimeError('[enforce fail] DefaultCPUAllocator: can\\'t allocate memory of this size')")


def fails(folder, error):
    """Show images to a network whose code raises this error."""
    (folder / "fails.py").write_text(
        f"from torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        raise {error}\n"
    )
    run(own.build(f"{folder / 'fails.py'}:Net", None, 0), torch.zeros(2, 1, 16, 16))
