"""The adversarial loop: reproducible, resumable, and honest about divergence."""

import math

import pytest
import torch
from safetensors.torch import load_file

import gans._loop as loop
import imagesets
from gans._snapshots import generate, load_generator, snapshots
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError
from lab.training.compute import Compute
from tasks.measure_gan import schedule, training_cell

GANS = ("dcgan", "wgan-gp")
KIMG = 1.28


def cell(folder, gan, seed=0, kimg=KIMG, minutes=5, **settings):
    precision, compute = settings.pop("precision", "float32"), settings.pop("compute", {})
    work = training_cell(
        gan, "digits", seed=seed, kimg=kimg, snapshots=schedule(kimg, 3),
        compute=Compute(precision=precision, device="cpu", **compute),
        settings={"width": 4, "latent": 8, "batch": 64, **settings},
    )  # fmt: skip
    return CellFolder.create(work, folder, {"data": str(folder), "download": False, "checkpoint_minutes": minutes})


def train(*arguments, **settings):
    made = cell(*arguments, **settings)
    made.work()
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
        train(tmp_path / name, gan, seed=seed, precision=precision) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same(weights(first), weights(again))
    assert first.rows() == again.rows()
    assert not same(weights(first), weights(other))
    grids = [sorted((folder.path / "samples").glob("*.png"))[-1].read_bytes() for folder in (first, again, other)]
    assert grids[0] == grids[1] != grids[2]


@pytest.mark.parametrize("settings", [{}, {"critic_steps": 2}])
@pytest.mark.parametrize("gan", GANS)
def test_going_on_from_a_checkpoint_changes_no_bit(tmp_path, monkeypatch, gan, settings):
    whole = train(tmp_path / "whole", gan, **settings)
    broken = cell(tmp_path / "broken", gan, minutes=0, **settings)
    step = loop.train_step

    def stops(training):
        if training.state.step == 6:
            raise KeyboardInterrupt
        step(training)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stops)
        with pytest.raises(KeyboardInterrupt):
            broken.work()
    assert not broken.done
    broken.row(metric="from after the checkpoint", value=1.0, step=7)
    broken.work()
    assert same(weights(whole), weights(broken))
    assert whole.rows() == broken.rows()


def test_resuming_in_the_middle_of_training_starts_where_it_stopped(tmp_path, monkeypatch):
    work = cell(tmp_path, "dcgan", minutes=0)
    steps, step = [], loop.train_step

    def counts(training):
        steps.append(training.state.step)
        if len(steps) == 8:
            raise KeyboardInterrupt
        step(training)

    monkeypatch.setattr(loop, "train_step", counts)
    with pytest.raises(KeyboardInterrupt):
        work.work()
    work.work()
    assert steps == [*range(8), *range(7, 20)]


def test_divergence_names_step_and_loss(tmp_path, monkeypatch):
    update = loop._update_generator

    def poisons(training, real):
        losses = update(training, real)
        return losses if training.state.step < 7 else losses | {"generator_loss": torch.tensor(math.nan)}

    monkeypatch.setattr(loop, "_update_generator", poisons)
    work = cell(tmp_path, "dcgan")
    with pytest.raises(WorkbenchError, match="dcgan diverged at step 8: generator_loss is nan"):
        work.work()
    assert "step 8" in work.failure and not work.done


def test_a_huge_learning_rate_really_diverges(tmp_path):
    with pytest.raises(WorkbenchError, match="diverged at step"):
        train(tmp_path, "wgan-gp", learning_rate=1e12)


def test_snapshots_are_the_averaged_generator_at_the_asked_for_times(tmp_path):
    work = train(tmp_path, "dcgan")
    found = snapshots(work.path)
    assert [(s.kimg, s.step) for s in found] == [(0.0, 0), (0.32, 5), (1.28, 20)]
    ema = {name.removeprefix("ema."): w for name, w in weights(work).items() if name.startswith("ema.")}
    assert same(load_file(found[-1].path), ema)
    raw = {name.removeprefix("generator."): w for name, w in weights(work).items() if name.startswith("generator.")}
    assert not same(ema, raw)
    config = work.config
    generator = load_generator(found[-1], config)
    images = generate(generator, 70, 8, seed=5)
    assert images.shape == (70, 1, 16, 16) and images.dtype == torch.uint8
    assert images.equal(generate(generator, 70, 8, seed=5, batch=9))
    assert not images.equal(generate(generator, 70, 8, seed=6))


def test_the_average_has_the_stated_half_life():
    class Scalar(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.register_buffer("count", torch.tensor(0))

    from gans._state import TrainingState, average_of

    generator = Scalar()
    state = object.__new__(TrainingState)
    state.ema, state._bare = average_of(generator), [generator]
    with torch.no_grad():
        generator.weight.fill_(1.0)
        generator.count.fill_(9)
    for _ in range(10):
        state.update_average(0.5 ** (1 / 10))
    assert state.ema.weight.item() == pytest.approx(0.5, rel=1e-5)
    assert state.ema.count == 9
    assert not state.ema.weight.requires_grad and state.ema.weight.grad_fn is None


@pytest.mark.parametrize("gan, compiled", [("dcgan", 2), ("wgan-gp", 1)])
def test_networks_are_compiled_on_request_but_not_a_critic_that_is_differentiated_twice(
    tmp_path, monkeypatch, gan, compiled
):
    plain, calls, compile_module = train(tmp_path / "plain", gan, kimg=0.32), [], torch.nn.Module.compile

    def compile_traced(module):
        calls.append(module)
        compile_module(module, backend="aot_eager")  # traces and differentiates as usual, without a C++ compiler

    monkeypatch.setattr(torch.nn.Module, "compile", compile_traced)
    found = train(tmp_path / "compiled", gan, kimg=0.32, compute={"compile": True})
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
