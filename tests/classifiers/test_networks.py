"""What the contract leaves open: each network's layers, by hand."""

import pytest
import torch
from torch.nn import functional as F

from imagesets import Spec
from lab import registry
from lab.errors import UsageError
from outside.graph import stages
from outside.torchvision import construct


def build(name, channels=1, size=28, **settings):
    module = registry.load("classifiers", name)
    torch.manual_seed(0)
    spec = Spec(channels, size, tuple("abcdefghij"), ("train", "test"), {"train": 2, "test": 2})
    return module.build(module.Config.parse(settings), spec)


def shapes(network, channels=1, size=28):
    features = network.eval()(torch.zeros(2, channels, size, size))[1]
    return {name: tuple(feature.shape[1:]) for name, feature in features.items()}


def test_the_cnn_has_two_convolutions_and_three_linear_layers():
    network = build("cnn")
    kinds = [type(module).__name__ for module in network.children()]
    assert kinds == ["Conv2d", "Conv2d", "Linear", "Linear", "Linear"]
    assert shapes(network) == {"conv1": (32, 14, 14), "conv2": (64, 7, 7), "fc1": (256,), "fc2": (128,)}


def test_the_mlp_has_as_many_layers_as_asked():
    assert shapes(build("mlp", width=7, depth=4)) == {f"fc{i}": (7,) for i in range(1, 5)}


def test_hidden_layers_are_taken_after_their_relu_and_a_convolutions_after_its_pooling():
    x = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    mlp, cnn = build("mlp", width=7, depth=2).eval(), build("cnn", width=4).eval()
    with torch.no_grad():
        expected = F.relu(F.linear(x.flatten(1), mlp.layers["fc1"].weight, mlp.layers["fc1"].bias))
        torch.testing.assert_close(mlp(x)[1]["fc1"], expected)
        logits, features = cnn(x)
        pooled = F.max_pool2d(F.relu(F.conv2d(x, cnn.conv1.weight, cnn.conv1.bias, padding=1)), 2)
        torch.testing.assert_close(features["conv1"], pooled)
        torch.testing.assert_close(features["fc2"], F.relu(cnn.fc2(features["fc1"])))
        torch.testing.assert_close(logits, cnn.logits(features["fc2"]))
        assert all((feature >= 0).all() for feature in (*features.values(), *mlp(x)[1].values()))


def test_the_resnets_convolutions_start_at_the_size_of_their_fan_out():
    weights = [m.weight.detach() for m in build("resnet").modules() if isinstance(m, torch.nn.Conv2d)]
    assert any(weight.shape[0] != weight.shape[1] for weight in weights if weight.numel() > 2000)
    for weight in (weight for weight in weights if weight.numel() > 2000):  # of which a standard error is below 2 %
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.08)


def test_the_resnet_has_six_blocks_at_three_widths():
    maps = [(16, 32, 32)] * 3 + [(32, 16, 16)] * 2 + [(64, 8, 8)] * 2
    names = ["stem", *(f"block{i}" for i in range(1, 7))]
    assert shapes(build("resnet", 3, 32), 3, 32) == dict(zip(names, maps, strict=True))
    assert shapes(build("resnet", 3, 32, width=2, depth=1), 3, 32)["block3"] == (128, 8, 8)


def test_depth_is_counted_as_in_the_paper():
    convolutions = [m for m in build("resnet").modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convolutions) == 13  # and one linear layer


def test_a_residual_block_is_what_its_equation_says():
    """x + W2 relu(norm(W1 relu(norm(x)))), by plain functions; at a new shape the shortcut is of the activated x."""
    from classifiers.resnet import Block

    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)

    def activate(x, norm):
        return F.relu(F.batch_norm(x, None, None, norm.weight, norm.bias, training=True))

    for out, stride in ((4, 1), (8, 2)):
        block = Block(4, out, stride).double()
        inner = activate(x, block.norm1)
        residual = F.conv2d(inner, block.conv1.weight, stride=stride, padding=1)
        residual = F.conv2d(activate(residual, block.norm2), block.conv2.weight, padding=1)
        kept = x if out == 4 else F.conv2d(inner, block.shortcut.weight, stride=stride)
        torch.testing.assert_close(block(x), kept + residual)


@pytest.mark.parametrize("model", ["resnet18", "vgg11", "squeezenet1_1", "vit_b_16"])
def test_the_stages_of_torchvisions_networks_are_hidden_layers(model):
    with torch.device("meta"):  # whose tensors have no numbers, which take seconds to draw
        found = shapes(build("torchvision", 3, 32, model=model), 3, 32)
        assert list(found) == stages(construct(model))


def test_nodes_of_torchvisions_networks_are_hidden_layers_in_their_order():
    assert list(shapes(build("torchvision", nodes=["layer2", "relu"]))) == ["layer2", "relu"]


def test_a_torchvision_network_gives_what_it_gives_unchanged():
    """Grey is repeated to three channels, and a feature is not overwritten by the operation after it."""
    import torchvision

    network = build("torchvision", nodes=["bn1", "layer4"]).eval().double()
    torch.manual_seed(0)
    plain = torchvision.models.resnet18(num_classes=10).eval().double()
    x = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        logits, features = network(x)
        torch.testing.assert_close(logits, plain(x.repeat(1, 3, 1, 1)).float())
        torch.testing.assert_close(features["bn1"], plain.bn1(plain.conv1(x.repeat(1, 3, 1, 1))))
    assert features["bn1"].min() < 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"model": "resnet81"}, "Unknown network of torchvision 'resnet81'; did you mean 'resnet18'"),
        ({"nodes": ["layer9"]}, "Unknown layer 'layer9'; did you mean 'layer4'"),
        ({"nodes": ["layer1", "fc"]}, "'fc' gives the logits"),
        ({"model": "squeezenet1_1", "nodes": ["classifier"]}, "'classifier' gives the logits"),
        ({"model": "vgg11"}, "vgg11 of torchvision cannot take images of 28 x 28"),
        ({"model": "vit_b_16"}, "vit_b_16 of torchvision cannot take images of 28 x 28"),
    ],
)
def test_what_torchvision_cannot_do_is_refused(settings, message):
    with torch.device("meta"), pytest.raises(UsageError, match=message):
        build("torchvision", **settings)
