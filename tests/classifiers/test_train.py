"""The supervised loop: reproducible, honest about divergence, and never shown the images that it is judged by."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import classifiers._loop as loop
import imagesets
from classifiers import cnn
from classifiers._snapshots import load_classifier
from lab import registry
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.errors import UsageError, WorkbenchError
from lab.training.draws import batch_indices, carve, derive_seed
from lab.training.snapshots import snapshots
from snnl_core import SoftNearestNeighborLoss, entanglement
from tasks import train_classifier

SMALL = {"cnn": {"width": 4}, "mlp": {"width": 16, "depth": 2}, "resnet": {"depth": 1}}


def cell(folder, name="cnn", *, precision="float32", settings=None, **values):
    """A training on digits; of 18 steps by default."""
    recipe = {"batch": 64, **SMALL.get(name, {}), **(settings or {})}
    fixed = {"imageset": "digits", "device": "cpu", "classifier": name, "precision": precision, "settings": recipe}
    config = train_classifier.Config.parse({"epochs": 1, **fixed, **values})
    return CellFolder.create(train_classifier.cell(config, folder), folder, {"data": str(folder), "download": False})


def train(*arguments, **settings):
    made = cell(*arguments, **settings)
    work(made)
    return made


def config_of(folder):
    return train_classifier.Config.parse(folder.config)


def weights(folder):
    return load_file(snapshots(folder.path, "classifier")[-1].path)


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("name, alpha, precision", [("cnn", -0.01, "float32"), ("resnet", 0.0, "bf16")])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path, name, alpha, precision):
    first, again, other = (
        train(tmp_path / place, name, seed=seed, alpha=alpha, precision=precision, validation=0.5)
        for place, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same(weights(first), weights(again))
    assert first.rows() == again.rows()
    assert not same(weights(first), weights(other))


def test_alpha_0_is_bit_for_bit_a_plain_loop_without_the_snnl(tmp_path, monkeypatch):
    monkeypatch.setattr(SoftNearestNeighborLoss, "forward", lambda *_: pytest.fail("the SNNL was computed"))
    found = train(tmp_path, alpha=0.0, temperature=3.0, snnl_layers=("fc1",))

    config, images = cnn.Config(batch=64, width=4), imagesets.load("digits", "train", root=tmp_path)
    fit, _ = carve(len(images), 0.1, seed=0)
    torch.manual_seed(derive_seed(0, "weights"))
    network = cnn.build(config, imagesets.spec("digits", tmp_path)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    for step in range(round(len(fit) / 64)):
        picked = fit[batch_indices(len(fit), 64, 0, step)]
        x = (images.images[picked].float() / 127.5 - 1).to(memory_format=torch.channels_last)
        optimizer.zero_grad()
        F.cross_entropy(network(x)[0], images.labels[picked]).backward()
        optimizer.step()
    assert same(weights(found), network.state_dict())


@pytest.fixture
def few(monkeypatch):
    """Of the training images the first 40 alone, for networks that take long for each."""
    load = imagesets.load
    monkeypatch.setattr(imagesets, "load", lambda *a, **k: first(load(*a, **k), 40))


def first(images, n):
    return imagesets.ImageSet(images.images[:n], images.labels[:n])


def hidden_score(folder):
    """The mean score of the hidden layers on the test split."""
    images = imagesets.load("digits", "test", root=folder.path)
    with torch.no_grad():
        features = load_classifier(snapshots(folder.path, "classifier")[-1], config_of(folder))(
            images.batch(torch.arange(500))
        )[1]
    scores = [entanglement(feature, images.labels).score for feature in features.values()]
    return sum(scores) / len(scores)


def four_epochs(folder, **objective):
    """The score of a network that was trained so."""
    return hidden_score(train(folder, "mlp", epochs=4, settings={"learning_rate": 3e-3}, **objective))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return four_epochs(tmp_path_factory.mktemp("plain"), alpha=0.0)


@pytest.mark.parametrize("temperature", ["minimize", "learn"])
def test_negative_alpha_entangles_the_hidden_layers_and_positive_disentangles_them(tmp_path, temperature, plain):
    entangled, disentangled = (four_epochs(tmp_path, alpha=alpha, temperature=temperature) for alpha in (-0.03, 0.5))
    assert entangled > 2 * plain and disentangled < plain / 1.3


@pytest.mark.parametrize("objective", [{"temperature": 20.0}, {"temperature": 0.5, "distance": "cosine"}])
def test_other_temperatures_and_distances_train(tmp_path, objective):
    rows = train(tmp_path, alpha=0.01, snnl_layers=("fc2", "conv1"), **objective).rows()
    found = {row["layer"]: row["value"] for row in rows if row["metric"] == "temperature"}
    assert found == {"conv1": objective["temperature"], "fc2": objective["temperature"]}
    assert not any(row["value"] for row in rows if row["metric"] == "vanished_gradient")


@pytest.mark.parametrize("schedule", ["constant", "cosine", "exponential"])
def test_schedules_are_torchs(schedule):
    settings, last = cnn.Config(schedule=schedule, learning_rate=0.3, final_rate=0.02), 50
    optimizer = torch.optim.SGD([torch.zeros(1)], 0.3)
    reference = {
        "constant": torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
        "cosine": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, last),
        "exponential": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.02 ** (1 / last)),
    }[schedule]
    for step in range(last + 1):
        assert loop.learning_rate(settings, step / last) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("settings, kind", [({"optimizer": "sgd", "momentum": 0.5}, "SGD"), ({}, "Adam")])
def test_the_optimizer_is_as_the_settings_say_and_the_step_size_as_the_schedule_says(
    tmp_path, monkeypatch, settings, kind
):
    seen, step = [], getattr(torch.optim, kind).step

    def notes(self, *arguments, **more):
        seen.append(dict(self.param_groups[0]))
        return step(self, *arguments, **more)

    monkeypatch.setattr(getattr(torch.optim, kind), "step", notes)
    train(tmp_path, settings={"schedule": "cosine", "learning_rate": 0.01, "weight_decay": 0.1, **settings})
    assert len(seen) == 18
    expected = [0.01 * (1 + math.cos(math.pi * i / 18)) / 2 for i in range(18)]
    assert [group["lr"] for group in seen] == pytest.approx(expected, rel=1e-12)
    assert {group["weight_decay"] for group in seen} == {0.1}
    assert kind == "Adam" or {group["momentum"] for group in seen} == {0.5}


def test_divergence_names_step_and_loss(tmp_path):
    made = cell(tmp_path, settings={"learning_rate": 1e30})
    with pytest.raises(WorkbenchError, match="cnn diverged at step 2: cross_entropy is nan"):
        work(made)
    assert "step 2" in made.failure.message and not made.done


def test_validation_images_are_kept_apart_and_the_test_split_is_never_read(tmp_path, monkeypatch):
    """Every other image is shown once before any is shown twice."""
    shown, read, pixels, load = [], [], imagesets.ImageSet.pixels, imagesets.load
    monkeypatch.setattr(imagesets, "load", lambda *a, **k: (read.append(a), load(*a, **k))[1])
    monkeypatch.setattr(imagesets.ImageSet, "pixels", lambda self, i: (shown.append(i), pixels(self, i))[1])
    train(tmp_path, epochs=2, validation=0.3)
    assert read == [("digits", "train")]
    fit, held = carve(1297, 0.3, seed=0)
    validated = [picked for picked in shown if len(picked) == len(held)]
    assert len(validated) == 2 and all(picked.equal(held) for picked in validated)
    trained = torch.cat([picked for picked in shown if len(picked) == 64])
    assert trained[: len(fit)].sort().values.equal(fit)
    assert not set(trained.tolist()) & set(held.tolist())


def test_rows_of_validation_are_what_the_kept_weights_say(tmp_path):
    made = train(tmp_path, epochs=2, snapshots=(1,))
    images, (_, held) = imagesets.load("digits", "train", root=tmp_path), carve(1297, 0.1, seed=0)
    for snapshot in snapshots(made.path, "classifier"):
        with torch.no_grad():
            logits = load_classifier(snapshot, config_of(made))(images.batch(held))[0]
        found = {
            row["metric"]: row["value"]
            for row in made.rows()
            if row["split"] == "validation" and row["step"] == snapshot.step
        }
        assert found["accuracy"] == pytest.approx((logits.argmax(1) == images.labels[held]).double().mean().item())
        assert found["nll"] == pytest.approx(F.cross_entropy(logits, images.labels[held]).item(), rel=1e-4)
    assert {row["n"] for row in made.rows() if row["split"] == "validation"} == {130}


def test_without_validation_everything_is_trained_on(tmp_path):
    made = train(tmp_path, validation=0)
    assert {row["split"] for row in made.rows()} == {"train"}
    assert snapshots(made.path, "classifier")[-1].step == round(1297 / 64)


def test_snapshots_are_kept_after_the_asked_for_epochs_and_at_the_end(tmp_path):
    found = snapshots(train(tmp_path, epochs=3, snapshots=(0, 2, 3)).path, "classifier")
    assert [(s.epoch, s.step) for s in found] == [(0, 0), (2, 36), (3, 55)]
    assert found[1].kimg == 2.304
    torch.manual_seed(derive_seed(0, "weights"))
    assert same(
        load_file(found[0].path), cnn.build(cnn.Config(width=4), imagesets.spec("digits", tmp_path)).state_dict()
    )


def test_rows_are_means_and_counts_over_windows_that_cover_all_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.training.frame.WINDOWS", 5)
    made, logs, step = cell(tmp_path, alpha=-0.01, snnl_layers=("fc1",)), [], loop.train_step
    monkeypatch.setattr(loop, "train_step", lambda training: (step(training), logs.append(training.losses[-1])))
    work(made)
    rows = [row for row in made.rows() if row["kind"] == "training"]
    assert {row["setting"] for row in rows} == {"alpha=-0.01;layers=fc1"}
    assert rows[0]["metric"] == "parameters" and rows[0]["value"] == 4 * 10 + 8 * 37 + 32 * 129 + 16 * 33 + 10 * 17
    for metric, layer in [("cross_entropy", ""), ("snnl", "fc1"), ("temperature", "fc1")]:
        found = [row for row in rows if row["metric"] == metric]
        assert {row.get("layer", "") for row in found} == {layer}
        assert sum(row["n"] for row in found) == len(logs) == 18
        start = 0
        for row in found:
            values = torch.stack([entry[metric, layer] for entry in logs[start : row["step"]]])
            expected = values.median() if metric == "temperature" else values.mean()
            assert row["value"] == pytest.approx(expected.item(), rel=1e-5)
            start = row["step"]


def test_learned_temperatures_start_from_the_first_batch_and_take_steps_of_their_own_size(tmp_path):
    made = cell(tmp_path, "mlp", alpha=-0.01, temperature="learn")
    training = loop.begin(config_of(made), made)
    first = training.fit[batch_indices(len(training.fit), 64, 0, 0)]
    with torch.no_grad():
        features = training.state.bare(training.images.batch(first))[1]
    before = [parameter.item() for parameter in training.state.objective.parameters()]
    labels = training.images.classes(first)
    best = [entanglement(features[layer], labels).temperature for layer in ("fc1", "fc2")]
    assert [math.exp(-log_beta) for log_beta in before] == pytest.approx(best, rel=1e-3)
    for parameter in training.state.objective.parameters():
        parameter.data += 0.5  # where there is a slope, which Adam's first step is as long for, however steep it is
    loop.train_step(training)
    moved = [p.item() - b - 0.5 for p, b in zip(training.state.objective.parameters(), before, strict=True)]
    assert moved == pytest.approx([-0.3] * 2, rel=1e-3)


@pytest.mark.parametrize("batch, validation", [(4, 0.8), (8, 0.5)])
def test_batches_in_which_no_class_repeats_are_counted(tmp_path, batch, validation):
    made = train(tmp_path, alpha=-0.01, validation=validation, settings={"batch": batch}, snnl_layers=("fc2",))
    images, (fit, _) = imagesets.load("digits", "train", root=tmp_path), carve(1297, validation, seed=0)
    steps = round(len(fit) / batch)
    labels = [images.labels[fit[batch_indices(len(fit), batch, 0, step)]] for step in range(steps)]
    expected = sum(len(set(each.tolist())) == batch for each in labels)
    assert expected > 0
    assert sum(row["value"] for row in made.rows() if row["metric"] == "no_repeat") == expected


def test_steps_whose_search_ended_at_a_limit_are_counted(tmp_path):
    """Apart in a layer from the start: each batch of two classes of blank and of full images."""
    recipe = {"batch": 4, "learning_rate": 1e-12}
    made = train(tmp_path, alpha=-0.01, validation=0.7, settings=recipe, snnl_layers=("fc2", "conv1"))
    training = loop.begin(config_of(made), made)
    expected = {"conv1": 0, "fc2": 0}
    for step in range(training.last):
        picked = training.fit[batch_indices(len(training.fit), 4, 0, step)]
        with torch.no_grad():
            features = training.state.bare(training.images.batch(picked))[1]
        for layer in expected:
            labels = training.images.classes(picked)
            if 1 < len(labels.unique()) < 4:
                expected[layer] += entanglement(features[layer], labels).at_limit != "none"
    rows = [row for row in made.rows() if row["metric"] == "vanished_gradient"]
    found = {layer: sum(row["value"] for row in rows if row["layer"] == layer) for layer in expected}
    assert found == pytest.approx(expected, abs=2) and min(found.values()) > 20


def test_unknown_layers_of_a_network_that_is_to_be_built_end_before_training(tmp_path):
    made = cell(tmp_path, "torchvision", alpha=-0.1, snnl_layers=("layer4", "layer9"))
    with pytest.raises(
        UsageError, match=r"hidden layer 'layer9'; did you mean 'layer4'\? Known: layer1, layer2, layer3"
    ):
        work(made)
    assert made.rows() == []


def test_networks_are_compiled_on_request(tmp_path, monkeypatch):
    plain, calls, compile_module = train(tmp_path / "plain"), [], torch.nn.Module.compile

    def compile_traced(module):
        calls.append(module)
        compile_module(module, backend="aot_eager")  # traces and differentiates as usual, without a C++ compiler

    monkeypatch.setattr(torch.nn.Module, "compile", compile_traced)
    found = train(tmp_path / "compiled", compile=True)
    assert len(calls) == 1
    one, other = weights(plain), weights(found)
    assert one.keys() == other.keys()
    assert all(torch.allclose(one[name], other[name], atol=1e-3) for name in one)


@pytest.mark.parametrize("name", [entry.name for entry in registry.entries("classifiers")])
def test_every_classifier_takes_steps_with_its_layers_entangled(tmp_path, few, name):
    made = cell(tmp_path, name, alpha=-0.01, validation=0.2, settings={"batch": 16})
    work(made)
    layers = {row["layer"] for row in made.rows() if row["metric"] == "snnl"}
    assert len(layers) > 1 and layers == {row["layer"] for row in made.rows() if row["metric"] == "temperature"}
    assert snapshots(made.path, "classifier")[-1].step == 2


def test_dropout_is_a_function_of_seed_and_step(tmp_path, few):
    settings = {"model": "mobilenet_v3_small", "batch": 16}
    one, other = (train(tmp_path / place, "torchvision", settings=settings, validation=0.2) for place in "ab")
    assert same(weights(one), weights(other))
