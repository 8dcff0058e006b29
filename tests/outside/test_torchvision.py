"""Networks of torchvision: their parts and stages, what their layers give, and their weights."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from lab.errors import UsageError, WorkbenchError
from outside import graph
from outside import torchvision as networks
from outside.network import extract
from snnl_core.pooling import pool_maps

RESNET = "torchvision:resnet18"
BLOCKS = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"]


@pytest.fixture(scope="module")
def resnet():
    return networks.build(RESNET, None, 0)


def extracted(model, names):
    return graph.extractor(model, {name: name for name in names})


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


def test_a_network_is_traced_once(monkeypatch):
    """Which takes a second for those of many layers."""
    model = networks.build("torchvision:squeezenet1_1", None, 0)
    found = graph.parts(model), graph.stages(model), graph.logits(model)
    monkeypatch.setattr(graph, "get_graph_node_names", lambda *_, **__: pytest.fail("it was traced again"))
    assert (graph.parts(model), graph.stages(model), graph.logits(model)) == found
    with pytest.raises(pytest.fail.Exception, match="traced again"):
        graph.parts(networks.build("torchvision:squeezenet1_1", None, 0))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet1_1"])
def test_layers_are_what_hooks_see(name):
    model = networks.build(f"torchvision:{name}", None, 0)
    names = graph.parts(model)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = hooked(get_twin(model, name), names, x)
    found = extract(extracted(model, names), x.split(3), 512)
    assert list(found) == names
    for layer in names:
        torch.testing.assert_close(found[layer], pool_maps(seen[layer], 512), rtol=1e-4, atol=1e-5)


def get_twin(model, name):
    """The same weights in a network that still works in place."""
    twin = get_model(name, weights=None).eval()
    twin.load_state_dict(model.state_dict())
    return twin


def outline(name):
    """A network whose weights take no memory."""
    with torch.device("meta"):
        return networks.construct(name)


def test_parts_are_modules_and_the_one_with_most_of_the_network_is_opened(resnet):
    assert graph.parts(resnet) == BLOCKS
    assert graph.parts(outline("squeezenet1_1")) == [*(f"features.{i}" for i in range(13)), "classifier"]
    assert graph.parts(outline("vgg11")) == [*(f"features.{i}" for i in range(21)), "avgpool", "classifier"]


def test_a_stage_that_is_most_of_a_deep_network_stays_one_part():
    assert graph.parts(outline("resnet101")) == BLOCKS


STAGES = {
    "resnet18": [f"layer{i}" for i in range(1, 5)],
    "resnet101": [f"layer{i}" for i in range(1, 5)],
    "alexnet": [f"features.{i}" for i in (2, 5, 12)],
    "vgg11": [f"features.{i}" for i in (2, 5, 10, 15, 20)],
    "densenet121": [f"features.{kind}{i}" for i in range(1, 5) for kind in ("denseblock", "transition")][:-1],
    "squeezenet1_1": [f"features.{i}" for i in (3, 4, 6, 7, 9, 10, 11, 12)],
    "mobilenet_v2": [f"features.{i}" for i in range(19)],
    "efficientnet_b0": [f"features.{i}" for i in range(9)],
    "mnasnet1_0": [f"layers.{i}" for i in range(8, 14)],
    "shufflenet_v2_x1_0": ["conv1", "stage2", "stage3", "stage4", "conv5"],
    "convnext_small": [f"features.{i}" for i in range(8)],
    "swin_t": [f"features.{i}" for i in range(8)],
    "vit_b_16": [f"encoder.layers.encoder_layer_{i}" for i in range(12)],
}


@pytest.mark.parametrize("name", STAGES)
def test_stages(name):
    assert graph.stages(outline(name)) == STAGES[name]


def test_the_head_and_the_last_node_give_the_logits():
    assert graph.logits(outline("resnet18")) == ("fc", "fc")
    assert graph.logits(outline("squeezenet1_1")) == ("classifier", "flatten")


@pytest.mark.parametrize("training", [True, False])
def test_an_extractor_is_in_the_mode_of_its_network_and_works_in_place_nowhere(training):
    found = graph.extractor(outline("mobilenet_v3_small").train(training), {"features.0": "first"})
    assert found.training == training
    assert not any(getattr(module, "inplace", False) for module in found.modules())
    found = graph.extractor(outline("densenet121").train(training), {"classifier": "logits"})
    assert not any(node.kwargs.get("inplace") for mode in (True, False) for node in found.train(mode).graph.nodes)


def test_layers_by_name(resnet):
    names = ["layer1.0.add", "layer4", "x", "layer4"]
    assert graph.layers(resnet).checked(names) == names[:3]
    with pytest.raises(UsageError, match="Unknown layer 'layer5'; did you mean 'layer"):
        graph.layers(resnet).checked(["layer5"])


def test_random_weights_are_decided_by_the_seed_alone(resnet):
    state = torch.get_rng_state()
    again, other = (networks.build(RESNET, None, seed) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(again.conv1.weight, resnet.conv1.weight)
    assert not torch.equal(other.conv1.weight, resnet.conv1.weight)


@pytest.mark.parametrize("name", ["resnet18", "mnasnet0_5"])  # the second asks which version of itself was saved
def test_weights_go_through_files_with_their_number_of_classes(tmp_path, name):
    trained, reference = get_model(name, weights=None, num_classes=7).eval(), f"torchvision:{name}"
    save_file(trained.state_dict(), tmp_path / "a.safetensors")
    torch.save(trained.state_dict(), tmp_path / "a.pth")
    x = torch.randn(2, 3, 32, 32)
    for file in ("a.safetensors", "a.pth"):
        model = networks.build(reference, tmp_path / file, 0)
        with torch.no_grad():
            assert torch.equal(model(x), trained(x)) and model(x).shape == (2, 7)
        assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "change, words",
    [
        ({"conv1.weight": None}, "1 missing (conv1.weight)"),
        ({"extra": torch.zeros(1)}, "1 unknown (extra)"),
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, "1 of another shape (conv1.weight (64, 3, 3, 3) instead of"),
        ({"fc.weight": torch.zeros(5, 512)}, "of another shape (fc.weight (5, 512) instead of (1000, 512))"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(tmp_path, resnet, change, words):
    changed = {**resnet.state_dict(), **change}
    torch.save({name: value for name, value in changed.items() if value is not None}, tmp_path / "a.pth")
    with pytest.raises(WorkbenchError) as refused:
        networks.build(RESNET, tmp_path / "a.pth", 0)
    assert "a.pth does not fit resnet18: of its tensors, " in str(refused.value)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_nodes_that_are_no_layers_are_refused():
    model = networks.build("torchvision:shufflenet_v2_x0_5", None, 0)
    with pytest.raises(UsageError, match=r"Layer 'stage2.0.size' gives no floating tensor"):
        extract(extracted(model, ["stage2.0.size"]), [torch.randn(2, 3, 32, 32)], None)
