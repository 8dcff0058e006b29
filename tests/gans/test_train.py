"""The adversarial loop: reproducible, and honest about divergence."""

import math

import pytest
import torch
from safetensors.torch import load_file

import gans._loop as loop
import imagesets
from evaluation.trained import load_last
from gans._kept import grids
from gans._snapshots import generate, load_generator
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.errors import UsageError, WorkbenchError
from lab.reporting.pictures import tiles
from lab.running.one import do_cell
from lab.training.snapshots import snapshots
from tasks import _spaces, train_gan

GANS = ("dcgan", "wgan-gp", "r3gan", "snnl-gan")
KIMG = 1.28


def cell(folder, gan, *, kimg=KIMG, settings=None, **values):
    """A training on digits, whose generator is kept three times."""
    recipe = {"width": 4, "latent": 8, "batch": 64, **(settings or {})}
    fixed = {"gan": gan, "imageset": "digits", "device": "cpu", "kimg": kimg, "settings": recipe}
    values = {"precision": "float32", "snapshots": train_gan.schedule(kimg, 3), **values}
    made = train_gan.cell(train_gan.Config.parse({**fixed, **values}), folder)
    return CellFolder.create(made, folder, {"data": str(folder), "download": False})


def train(*arguments, **settings):
    made = cell(*arguments, **settings)
    work(made)
    return made


def weights(folder):
    *_, checkpoint = sorted((folder.path / "checkpoints").glob("step-*"))
    return {
        f"{file.stem}.{name}": tensor
        for file in checkpoint.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("gan", GANS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path, gan, precision):
    first, again, other = (
        train(tmp_path / name, gan, seed=seed, precision=precision, kimg=KIMG / 4)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same(weights(first), weights(again))
    assert first.rows() == again.rows()
    assert not same(weights(first), weights(other))
    grids = [sorted((folder.path / "samples").glob("*.png"))[-1].read_bytes() for folder in (first, again, other)]
    assert grids[0] == grids[1] != grids[2]


def test_divergence_names_step_and_loss(tmp_path, monkeypatch):
    update = loop._update_generator

    def poisons(training, *batch):
        losses = update(training, *batch)
        return losses if training.state.step < 7 else losses | {"generator_loss": torch.tensor(math.nan)}

    monkeypatch.setattr(loop, "_update_generator", poisons)
    made = cell(tmp_path, "dcgan")
    with pytest.raises(WorkbenchError, match="dcgan diverged at step 8: generator_loss is nan"):
        work(made)
    assert "step 8" in made.failure.message and not made.done


def test_a_huge_learning_rate_really_diverges(tmp_path):
    with pytest.raises(WorkbenchError, match="diverged at step"):
        train(tmp_path, "wgan-gp", settings={"learning_rate": 1e12})


def test_snapshots_are_the_averaged_generator_at_the_asked_for_times(tmp_path):
    made = train(tmp_path, "dcgan")
    found = snapshots(made.path, "generator")
    assert [(s.kimg, s.step) for s in found] == [(0.0, 0), (0.32, 5), (1.28, 20)]
    ema = {name.removeprefix("ema."): w for name, w in weights(made).items() if name.startswith("ema.")}
    assert same(load_file(found[-1].path), ema)
    raw = {name.removeprefix("generator."): w for name, w in weights(made).items() if name.startswith("generator.")}
    assert not same(ema, raw)
    generator = load_generator(found[-1], train_gan.Config.parse(made.config))
    images = generate(generator, 70, 8, seed=5)
    assert images.shape == (70, 1, 16, 16) and images.dtype == torch.uint8
    assert images.equal(generate(generator, 70, 8, seed=5, batch=9))
    assert not images.equal(generate(generator, 70, 8, seed=6))
    shown = torch.from_numpy(tiles(grids(made.path)[-1][1], 16))
    assert shown.equal(generate(generator, 64, 8, seed=0)), "the grid shows it"


def test_a_length_is_the_nearest_number_of_steps():
    settings = {"batch": 64, "critic_steps": 5}
    config = train_gan.Config.parse({"gan": "wgan-gp", "settings": settings, "kimg": 1})
    assert [config.steps_at(kimg) for kimg in (0, 0.15, 0.17, 0.47, 0.49, 1)] == [0, 0, 1, 1, 2, 3]


def test_the_average_has_the_stated_half_life():
    class Scalar(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.register_buffer("count", torch.tensor(0))

    from gans._state import GanState, average_of

    generator = Scalar()
    state = object.__new__(GanState)
    state.ema, state.bare = average_of(generator), {"generator": generator}
    with torch.no_grad():
        generator.weight.fill_(1.0)
        generator.count.fill_(9)
    for _ in range(10):
        state.update_average(0.5 ** (1 / 10))
    assert state.ema.weight.item() == pytest.approx(0.5, rel=1e-5)
    assert state.ema.count == 9
    assert not state.ema.weight.requires_grad and state.ema.weight.grad_fn is None and not state.ema.training


@pytest.mark.parametrize("gan, compiled", [("dcgan", 2), ("wgan-gp", 1)])
def test_networks_are_compiled_on_request_but_not_a_critic_that_is_differentiated_twice(
    tmp_path, monkeypatch, gan, compiled
):
    plain, calls, compile_module = train(tmp_path / "plain", gan, kimg=0.32), [], torch.nn.Module.compile

    def compile_traced(module):
        calls.append(module)
        compile_module(module, backend="aot_eager")  # traces and differentiates as usual, without a C++ compiler

    monkeypatch.setattr(torch.nn.Module, "compile", compile_traced)
    found = train(tmp_path / "compiled", gan, kimg=0.32, compile=True)
    assert len(calls) == compiled
    one, other = weights(plain), weights(found)
    assert one.keys() == other.keys()
    assert all(torch.allclose(one[name], other[name], atol=1e-3) for name in one)


def test_rows_tell_losses_and_parameter_counts(tmp_path):
    rows = train(tmp_path, "wgan-gp").rows()
    metrics = {row["metric"] for row in rows}
    assert {"discriminator_loss", "generator_loss", "gradient_penalty", "generator_parameters"} <= metrics
    count = next(row["value"] for row in rows if row["metric"] == "discriminator_parameters")
    assert count == (16 * 4 + 4) + (16 * 4 * 8 + 8) + (8 * 16 + 1)
    seen = [row["n"] for row in rows if row["metric"] == "generator_loss"]
    assert sum(seen) == 20


def test_the_loop_shows_the_whole_epoch(tmp_path, monkeypatch):
    """Every training image is shown once before any is shown twice."""
    shown = []
    batch = imagesets.ImageSet.batch
    monkeypatch.setattr(imagesets.ImageSet, "batch", lambda self, i: (shown.append(i), batch(self, i))[1])
    train(tmp_path, "dcgan", kimg=1.344)
    first = torch.cat(shown)[:1297]
    assert first.sort().values.equal(torch.arange(1297))


def test_a_gan_without_a_discriminator_has_nothing_of_one(tmp_path):
    made = train(tmp_path, "snnl-gan")
    rows = made.rows()
    assert {row["metric"] for row in rows} == {"generator_parameters", "generator_loss", "snnl"}
    assert {name.partition(".")[0] for name in weights(made)} == {"generator", "ema"}
    assert len(snapshots(made.path, "generator")) == 3


def test_a_generator_is_trained_in_the_features_of_a_classifier_that_stays_as_it_is(tmp_path, monkeypatch):
    """The classifier's cell comes first; it is another than that in whose features the generator is compared."""
    small = {"classifier": "mlp", "epochs": 1, "seed": 1, "settings": {"width": 8, "depth": 1}}
    monkeypatch.setattr(_spaces, "GUIDE", small)
    monkeypatch.setattr(loop, "begin", lambda *given, begin=loop.begin: begun.append(begin(*given)) or begun[-1])
    begun, config = [], {"gan": "snnl-gan", "kimg": 0.32, "precision": "float32", "snapshots": (0.0, 0.32)}
    recipe = {"width": 4, "latent": 8, "batch": 64}
    made = [
        do_cell(
            train_gan.cell(train_gan.Config.parse({**config, "settings": {**recipe, "space": space}}), tmp_path),
            tmp_path,
            {"data": str(tmp_path), "download": False},
        )
        for space in ("pixels", "classifier")
    ]
    assert not made[0].needs and not same(*(weights(folder) for folder in made))
    assert weights(made[0]).keys() == weights(made[1]).keys()
    (trained,) = made[1].needs
    assert trained.done and begun[0].state.guide is None
    kept, guide = load_last(trained).state_dict(), begun[1].state.guide
    assert all(guide.state_dict()[name].equal(value) for name, value in kept.items())
    assert not any(value.requires_grad or value.grad is not None for value in guide.parameters())
    assert _spaces.evaluator("digits", tmp_path).key != _spaces.guide("digits", tmp_path).key


@pytest.mark.parametrize("name", ["critic_steps", "snnl_weight"])
def test_what_only_a_discriminator_has_cannot_be_set_without_one(name):
    with pytest.raises(UsageError, match=name):
        train_gan.Config.parse({"gan": "snnl-gan", "settings": {name: 2}})


def test_the_weight_of_entanglement_changes_the_generator_and_is_told(tmp_path):
    plain, entangled = (train(tmp_path / str(w), "dcgan", kimg=0.32, settings={"snnl_weight": w}) for w in (0, 1))
    assert not same(weights(plain), weights(entangled))
    assert {row["metric"] for row in entangled.rows()} - {row["metric"] for row in plain.rows()} == {"snnl"}


def test_the_engine_is_part_of_what_a_training_is_where_it_decides(tmp_path):
    parts = {
        name: cell(tmp_path, gan, settings=settings).record["identity"]["versions"].keys()
        for name, gan, settings in (
            ("plain", "dcgan", {}),
            ("weighted", "dcgan", {"snnl_weight": 0.1}),
            ("own", "snnl-gan", {}),
        )
    }
    assert "snnl_core" not in parts["plain"]
    assert "snnl_core" in parts["weighted"] and "snnl_core" in parts["own"]
