"""Measuring networks that were not made here, on images that are prepared for them."""

import pytest
import torch

import imagesets
from lab.errors import UsageError, WorkbenchError
from lab.training.draws import subset
from metrics import layers
from outside import torchvision as networks
from outside.layered import channels_first, prepare
from outside.network import extract, measure_layers, measure_network
from snnl_core import entanglement

RESNET = "torchvision:resnet18"


def measure(data, **settings):
    return measure_network(**{"model": RESNET, "imageset": "digits", "data": data, "device": "cpu", **settings})


def test_a_network_on_digits_is_the_engine_on_its_features(tmp_path):
    said = []
    found = measure(tmp_path, layers=["x", "fc"], n=60, size=32, seed=5, say=said.append)
    assert (found.n, found.split, [row.layer for row in found.layers]) == (60, "test", ["x", "fc"])
    digits = imagesets.load("digits", "test", root=tmp_path)
    chosen = subset(500, 60, 5, "images")
    images = prepare(digits.batch(chosen), 32, "imagenet")
    with torch.no_grad():
        logits = networks.build(RESNET, None, 5)(images)
    for row, x in zip(found.layers, (images, logits), strict=True):
        assert row.score == pytest.approx(entanglement(x, digits.labels[chosen]).score, rel=1e-3)
    assert [row.features for row in found.layers] == [3 * 32 * 32, 1000]
    assert "random weights (seed 5)" in said[0] and "60 of 500" in said[1] and "4096 features" in said[1]
    assert set(found.plain()) == {"model", "imageset", "split", "n", "seed", "layers"}


def test_each_process_has_an_image_or_more(tmp_path, monkeypatch):
    monkeypatch.setattr("outside.network.world_size", lambda: 30)
    monkeypatch.setattr("outside.network.usual", lambda *about: pytest.fail("shared"))
    settings = {"data": tmp_path, "network": torch.nn.Identity(), "sharded": True}
    with pytest.raises(UsageError, match="29 images cannot be shared by 30 processes"):
        measure(n=29, **settings)
    with pytest.raises(pytest.fail.Exception, match="shared"):
        measure(n=30, **settings)


def test_images_are_repeated_resized_and_normalised():
    grey = torch.linspace(-1, 1, 4).view(1, 1, 2, 2)
    plain = prepare(grey, 2, "none")
    assert torch.equal(plain, (grey.expand(1, 3, 2, 2) + 1) / 2)
    assert prepare(grey, 5, "none").shape == (1, 3, 5, 5)
    wide = grey.view(1, 1, 1, 4)
    assert prepare(wide, 4, "none").shape == (1, 3, 4, 4) and prepare(wide, None, "none").shape == (1, 3, 1, 4)
    red = prepare(grey, 2, "imagenet")[0, 0]
    torch.testing.assert_close(red, (plain[0, 0] - 0.485) / 0.229)
    green, blue = prepare(grey, 2, "imagenet")[0, 1:]
    torch.testing.assert_close(green, (plain[0, 0] - 0.456) / 0.224)
    torch.testing.assert_close(blue, (plain[0, 0] - 0.406) / 0.225)
    stripes = torch.tensor([1.0, -1, -1, -1]).repeat(16).expand(1, 1, 64, 64)
    assert (prepare(stripes, 16, "none", 1)[..., 1:-1] - 1 / 4).abs().max() < 0.06, "no pixel is passed over"


def test_channels_come_first_before_maps_are_averaged():
    class Transformer(torch.nn.Module):
        def forward(self, x):
            return {"map": x.permute(0, 2, 3, 1), "tokens": x.flatten(2).transpose(1, 2)}

    x = torch.randn(2, 5, 8, 8)
    found = extract(Transformer(), [x], 20)
    torch.testing.assert_close(found["map"], torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))
    torch.testing.assert_close(found["tokens"], x.view(2, 5, 2, 32).mean(3).flatten(1))
    for channels in (3, 8):  # as many as the side has pixels, too
        maps = torch.randn(2, channels, 8, 8)
        assert torch.equal(channels_first("map", maps, 2), maps)


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"model": "timm:resnet18"},
            "is no network: write torchvision:resnet18, or FILE.py:NAME for a network of your own",
        ),
        ({"model": "torchvision:resnet81"}, "did you mean 'resnet18'"),
        ({"model": "torchvision:fasterrcnn_resnet50_fpn"}, "Unknown network of torchvision"),
        ({"model": "torchvision:alexnet", "n": 20}, "fails on images of 16 x 16 pixels"),
        ({"layers": ["fc", "layer9"]}, "Unknown layer 'layer9'; did you mean 'layer"),
        ({"layers": []}, "--layers needs at least one name"),
        ({"imageset": "digit"}, "did you mean 'digits'"),
        ({"split": "tests"}, "did you mean 'test'"),
        ({"n": 501}, "501 images are asked for and there are 500; --split train has 1297 images"),
    ],
)
def test_impossible_settings_are_one_line(tmp_path, change, words):
    with pytest.raises(UsageError) as refused:
        measure(tmp_path, **change)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_data_without_classes_and_layers_without_numbers_are_errors(monkeypatch, tmp_path):
    broken = {**networks.build(RESNET, None, 0).state_dict(), "fc.bias": torch.full((1000,), float("nan"))}
    torch.save(broken, tmp_path / "nan.pth")
    with pytest.raises(WorkbenchError, match="layer 'fc': row 0 of x is not finite"):
        measure(tmp_path, weights=tmp_path / "nan.pth", layers=["fc"], n=10)
    unlabelled = imagesets.ImageSet(torch.zeros(9, 1, 16, 16, dtype=torch.uint8))
    monkeypatch.setattr(imagesets, "load", lambda *names, **settings: unlabelled)
    with pytest.raises(WorkbenchError, match="has no labels for test"):
        measure(tmp_path, n=10)


def test_a_network_in_memory_is_the_engine_on_its_layers_and_stays_as_it_was():
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(6)
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), norm, torch.nn.ReLU(), torch.nn.Linear(6, 3)).train()
    norm.eval()
    x, labels = torch.randn(70, 4), torch.arange(70) % 3
    found = {row.layer: row for row in measure_layers(module, x, labels, batch=32)}
    assert module.training and module[0].training and not norm.training
    hidden = norm(module[0](x)).relu()
    for layer, features in {"2": hidden, "3": module[3](hidden)}.items():
        assert found[layer].score == pytest.approx(entanglement(features.detach(), labels).score, rel=1e-4)
    with pytest.raises(UsageError, match="layer"):
        measure_layers(module, x, labels, layers=["hidden"])
    settings = {"distance": "cosine", "anchors": 20, "seed": 3}
    (row,) = measure_layers(module, x, labels, layers=["3"], **settings)
    (other,) = layers.measure({"3": module[3](hidden).detach()}, labels, **settings)
    assert (row.n_valid, row.loss) == (20, pytest.approx(other.loss, rel=1e-4)) and row.stderr > 0


def test_images_and_labels_that_are_no_tensors_are_refused_before_anything_is_run():
    module, x, labels = torch.nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3
    module.register_forward_hook(lambda *_: pytest.fail("it was run"))
    for images, classes, words in (
        (x.numpy(), labels, "images must be a tensor, not ndarray; make it one with torch.as_tensor"),
        (x, labels.tolist(), "labels must be a tensor, not list; make it one with torch.as_tensor"),
        (x, labels.double(), "labels must be integers"),
    ):
        with pytest.raises(TypeError, match=words):
            measure_layers(module, images, classes)


def test_a_compiled_network_has_the_layers_of_the_one_that_was_compiled():
    """Not itself alone, as the one layer that it seems to be made of."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    x, labels = torch.randn(12, 4), torch.arange(12) % 3
    found = measure_layers(torch.compile(module, backend="eager"), x, labels)
    assert found == measure_layers(module, x, labels)
    assert [row.layer for row in found] == ["0", "1", "2"]


def test_networks_are_measured_in_float32_on_a_gpu_too(monkeypatch, tmp_path):
    """Whose convolutions torch would round to TF32, unasked."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with pytest.raises(UsageError, match="resnet81"):
        measure(tmp_path, model="torchvision:resnet81")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
