"""Networks that were not made here: their layers as hooks see them, their weights, their images."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

import imagesets
from lab.errors import UsageError, WorkbenchError
from lab.training.draws import subset
from outside import torchvision as _torchvision
from outside.network import _prepare, extract, measure_network
from snnl_core import entanglement
from snnl_core.pooling import pool_maps

RESNET = "torchvision:resnet18"
BLOCKS = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"]


@pytest.fixture(scope="module")
def resnet():
    return _torchvision.build(RESNET, None, 0)


def hooked(model, names, x):
    """What the modules give in a plain forward; copied, since the next may work in place."""
    found, modules = {}, dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda m, i, out, name=name: found.__setitem__(name, out.clone()))
        for name in names
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet1_1"])
def test_layers_are_what_hooks_see(name):
    model = _torchvision.build(f"torchvision:{name}", None, 0)
    names = _torchvision.default_layers(model)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = hooked(get_twin(model, name), names, x)
    found = extract(_torchvision.extractor(model, names), x.split(3), 512)
    assert list(found) == names
    for layer in names:
        torch.testing.assert_close(found[layer], pool_maps(seen[layer], 512), rtol=1e-4, atol=1e-5)


def get_twin(model, name):
    """The same weights in a network that still works in place."""
    twin = get_model(name, weights=None).eval()
    twin.load_state_dict(model.state_dict())
    return twin


def test_default_layers_are_modules_and_the_one_with_most_of_the_network_is_opened(resnet):
    assert _torchvision.default_layers(resnet) == BLOCKS
    squeezenet = _torchvision.build("torchvision:squeezenet1_1", None, 0)
    assert _torchvision.default_layers(squeezenet) == [*(f"features.{i}" for i in range(13)), "classifier"]


def test_layers_by_name(resnet):
    names = ["layer1.0.add", "layer4", "x", "layer4"]
    assert _torchvision.check_layers(resnet, names) == names[:3]
    with pytest.raises(UsageError, match="Unknown layer 'layer5'; did you mean 'layer"):
        _torchvision.check_layers(resnet, ["layer5"])
    with pytest.raises(UsageError, match="at least one"):
        _torchvision.check_layers(resnet, [])


def test_random_weights_are_decided_by_the_seed_alone(resnet):
    state = torch.get_rng_state()
    again, other = (_torchvision.build(RESNET, None, seed) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(again.conv1.weight, resnet.conv1.weight)
    assert not torch.equal(other.conv1.weight, resnet.conv1.weight)


def test_weights_go_through_files_with_their_number_of_classes(tmp_path):
    trained = get_model("resnet18", weights=None, num_classes=7).eval()
    save_file(trained.state_dict(), tmp_path / "a.safetensors")
    torch.save(trained.state_dict(), tmp_path / "a.pth")
    x = torch.randn(2, 3, 32, 32)
    for name in ("a.safetensors", "a.pth"):
        model = _torchvision.build(RESNET, tmp_path / name, 0)
        with torch.no_grad():
            assert torch.equal(model(x), trained(x)) and model(x).shape == (2, 7)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"conv1.weight": None}, "1 missing (conv1.weight)"),
        ({"extra": torch.zeros(1)}, "1 unknown (extra)"),
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)},
         "1 of another shape (conv1.weight (64, 3, 3, 3) instead of (64, 3, 7, 7))"),
        ({"fc.weight": torch.zeros(5, 512)}, "of another shape (fc.weight (5, 512) instead of (1000, 512))"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_one_line(tmp_path, resnet, change, words):
    changed = {**resnet.state_dict(), **change}
    torch.save({name: value for name, value in changed.items() if value is not None}, tmp_path / "a.pth")
    with pytest.raises(WorkbenchError) as refused:
        _torchvision.build(RESNET, tmp_path / "a.pth", 0)
    assert "a.pth does not fit resnet18: of its tensors, " in str(refused.value)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_network_on_digits_is_the_engine_on_its_features(resnet):
    said = []
    found = measure_network(RESNET, "digits", layers=["x", "fc"], n=60, size=32, seed=5, device="cpu", say=said.append)
    assert (found.n, found.split, [row.layer for row in found.layers]) == (60, "test", ["x", "fc"])
    digits = imagesets.load("digits", "test", root=imagesets.data_root(None))
    chosen = subset(500, 60, 5, "images")
    images = _prepare(digits.batch(chosen), 32, "imagenet")
    with torch.no_grad():
        logits = _torchvision.build(RESNET, None, 5)(images)
    for row, x in zip(found.layers, (images, logits), strict=True):
        assert row.score == pytest.approx(entanglement(x, digits.labels[chosen]).score, rel=1e-3)
    assert [row.features for row in found.layers] == [3 * 32 * 32, 1000]
    assert "random weights (seed 5)" in said[0] and "60 of 500" in said[1] and "4096 features" in said[1]
    assert set(found.plain()) == {"model", "imageset", "split", "n", "seed", "layers"}


def test_images_are_repeated_resized_and_normalised():
    grey = torch.linspace(-1, 1, 4).view(1, 1, 2, 2)
    plain = _prepare(grey, 2, "none")
    assert torch.equal(plain, (grey.expand(1, 3, 2, 2) + 1) / 2)
    assert _prepare(grey, 5, "none").shape == (1, 3, 5, 5)
    red = _prepare(grey, 2, "imagenet")[0, 0]
    torch.testing.assert_close(red, (plain[0, 0] - 0.485) / 0.229)


def test_channels_come_first_before_maps_are_averaged():
    class Transformer(torch.nn.Module):
        def forward(self, x):
            return {"map": x.permute(0, 2, 3, 1), "tokens": x.flatten(2).transpose(1, 2)}

    x = torch.randn(2, 5, 8, 8)
    found = extract(Transformer(), [x], 20)
    torch.testing.assert_close(found["map"], torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))
    torch.testing.assert_close(found["tokens"], x.view(2, 5, 2, 32).mean(3).flatten(1))


def test_nodes_that_are_no_layers_are_refused():
    model = _torchvision.build("torchvision:shufflenet_v2_x0_5", None, 0)
    with pytest.raises(UsageError, match=r"Layer 'stage2.0.size' gives no floating tensor"):
        extract(_torchvision.extractor(model, ["stage2.0.size"]), [torch.randn(2, 3, 32, 32)], None)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"model": "timm:resnet18"}, "only networks of torchvision are known; write torchvision:resnet18"),
        ({"model": "torchvision:resnet81"}, "did you mean 'resnet18'"),
        ({"model": "torchvision:fasterrcnn_resnet50_fpn"}, "Unknown network of torchvision"),
        ({"model": "torchvision:alexnet", "n": 20}, "fails on images of 16 x 16 pixels"),
        ({"layers": ["fc", "layer9"]}, "did you mean 'layer"),
        ({"imageset": "digit"}, "did you mean 'digits'"),
        ({"split": "tests"}, "did you mean 'test'"),
        ({"n": 501}, "501 images are asked for and there are 500"),
    ],
)
def test_impossible_settings_are_one_line(change, words):
    with pytest.raises(UsageError) as refused:
        measure_network(**{"model": RESNET, "imageset": "digits", "device": "cpu", **change})
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_data_without_classes_and_layers_without_numbers_are_errors(monkeypatch, tmp_path, resnet):
    broken = {**resnet.state_dict(), "fc.bias": torch.full((1000,), float("nan"))}
    torch.save(broken, tmp_path / "nan.pth")
    arguments = {"layers": ["fc"], "n": 10, "device": "cpu"}
    with pytest.raises(WorkbenchError, match="layer 'fc': row 0 of x is not finite"):
        measure_network(RESNET, "digits", weights=tmp_path / "nan.pth", **arguments)
    unlabelled = imagesets.ImageSet(torch.zeros(9, 1, 16, 16, dtype=torch.uint8))
    monkeypatch.setattr(imageset, "load", lambda *names, **settings: unlabelled)
    with pytest.raises(WorkbenchError, match="has no labels for test"):
        measure_network(RESNET, "digits", **arguments)
