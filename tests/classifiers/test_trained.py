"""Deep k-nearest neighbours of networks that were made elsewhere: in the form of our own, from a file to the page."""

import json

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import imagesets
from classifiers._features import features_of
from classifiers._trained import trained_elsewhere
from commands.classifier import command
from evaluation.attacked import _parted
from lab.errors import UsageError
from outside import graph, own
from outside.torchvision import construct

FILE = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.pool = nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(3)
        self.head = nn.Linear(36, 10)

    def forward(self, x):
        return self.head(self.pool(self.act(self.conv(x))).flatten(1))


class Bends(Net):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)
"""

LOST = "return super().forward(x.detach())"


@pytest.fixture
def file(tmp_path):
    (tmp_path / "net.py").write_text(FILE)
    return str(tmp_path / "net.py")


@pytest.mark.parametrize("name", ["Net", "Bends"])
def test_a_network_made_elsewhere_gives_its_logits_and_hidden_layers(file, tmp_path, name):
    said = []
    trained = trained_elsewhere(f"{file}:{name}", "digits", data=tmp_path, say=said.append)
    network, x = own.build(f"{file}:{name}", None, 0), trained.train.batch(torch.arange(6))
    logits, features = trained.network(x)
    with torch.no_grad():
        conv = network.conv((x + 1) / 2)
        expected = {"conv": conv, "act": conv.relu(), "pool": network.pool(conv.relu())}
        torch.testing.assert_close(logits, network((x + 1) / 2))
    assert list(features) == list(expected)
    for layer, output in expected.items():
        torch.testing.assert_close(features[layer], output)
    assert (len(trained.fitted), len(trained.held_out), trained.spec.size) == (1297, 500, 16)
    assert "the weights that it is built with (seed 0)" in said[0] and len(said) == 1 + (name == "Bends")


def test_layers_are_stages_or_modules_but_the_head_or_those_that_are_named(file, tmp_path):
    assert graph.layers(construct("resnet18")).usual(hidden=True) == ["layer1", "layer2", "layer3", "layer4"]
    named = trained_elsewhere(f"{file}:Net", "digits", data=tmp_path, layers=["pool", "act"], size=8)
    features = named.network(torch.zeros(2, 1, 16, 16))[1]
    assert {layer: x.shape[1:] for layer, x in features.items()} == {"pool": (4, 3, 3), "act": (4, 6, 6)}


def test_a_training_image_is_its_own_nearest_neighbour_and_the_page_shows_it(file, tmp_path):
    digits = imagesets.load("digits", "train", root=tmp_path)
    Image.fromarray(digits.images[7, 0].numpy()).save(tmp_path / "seven.png")
    words = ["credibility", str(tmp_path / "seven.png"), "--model", f"{file}:Net", "--imageset", "digits"]
    settings = ["--data", str(tmp_path), "--k", "3", "--n-bank", "1297", "--out", str(tmp_path / "page.html"), "--json"]
    done = CliRunner().invoke(command, [*words, *settings], catch_exceptions=False)
    assert "1297 of 1297 training images are searched, 500 of 500 test images calibrate." in done.stderr
    assert "The 3 nearest training images" in done.stdout
    (found,) = json.loads(done.stdout.splitlines()[-1])["images"]
    for near in found["neighbors"].values():
        assert near[0] == {"index": 7, "label": str(int(digits.labels[7])), "distance": pytest.approx(0, abs=1e-6)}
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") == 1 + 3 * 3 and "share of test images" in page


def test_a_network_made_elsewhere_is_attacked_on_images_that_do_not_calibrate(file, tmp_path):
    words = ["attack", "--model", f"{file}:Bends", "--imageset", "digits", "--data", str(tmp_path), "--n", "30"]
    settings = ["--attack", "fgsm,noise", "--eps", "0.5", "--k", "3", "--n-bank", "300", "--json"]
    done = CliRunner().invoke(command, [*words, *settings], catch_exceptions=False)
    assert "300 of 1297 training images are searched, 250 of 250 test images calibrate." in done.stderr
    assert "30 of 250 images are attacked" in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [row["attack"] for row in found["attacks"]] == ["none", "fgsm", "noise"]
    trained = trained_elsewhere(f"{file}:Net", "digits", data=tmp_path)
    kept, attacked = _parted(trained)
    together = torch.cat([kept.held_out.images, attacked.images]).flatten(1).float()
    every = trained.held_out.images.flatten(1).float()
    assert torch.equal(together.sum(1).sort().values, every.sum(1).sort().values)


def test_attacks_that_need_no_gradient_are_done_without(file, tmp_path):
    (tmp_path / "net.py").write_text(f"{FILE}\n\nclass Lost(Net):\n    def forward(self, x):\n        {LOST}\n")
    words = ["attack", "--model", f"{file}:Lost", "--imageset", "digits", "--data", str(tmp_path), "--n", "10"]
    settings = ["--attack", "square", "--settings", "queries=5", "--eps", "0.5", "--n-bank", "300", "--json", "--out"]
    done = CliRunner().invoke(command, [*words, *settings, str(tmp_path / "page.html")], catch_exceptions=False)
    assert "Warning: No gradient reaches the images through the network" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["gradients"] is None


def test_gradients_reach_the_images_of_a_network_made_elsewhere(file, tmp_path):
    for name in ("Net", "Bends"):
        trained = trained_elsewhere(f"{file}:{name}", "digits", data=tmp_path)
        x = trained.train.batch(torch.arange(4)).requires_grad_()
        logits, features = trained.network(x)
        for output in (logits, *features.values()):
            (gradient,) = torch.autograd.grad(output.square().sum(), x, retain_graph=True)
            assert (gradient.flatten(1).abs().amax(1) > 0).all()


def test_floating_images_have_the_features_of_their_bytes(file, tmp_path):
    trained = trained_elsewhere(f"{file}:Net", "digits", data=tmp_path)
    images = trained.train.images[:5]
    expected, found = (features_of(trained.network, one, 4096) for one in (images, images.float() / 255))
    for layer in expected:
        torch.testing.assert_close(found[layer], expected[layer])


def test_a_network_without_weights_computes_on_the_processor(tmp_path):
    from classifiers._features import device_of

    assert device_of(nn.ReLU()) == torch.device("cpu")


def test_networks_made_elsewhere_are_looked_at_in_float32_on_a_gpu_too(monkeypatch, tmp_path):
    """Whose convolutions torch would round to TF32, unasked."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with pytest.raises(UsageError, match="resnet81"):
        trained_elsewhere("torchvision:resnet81", "digits", data=tmp_path)
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
