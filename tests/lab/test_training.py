"""The frame of every training loop, with a loop that only counts. GANs and classifiers show the rest."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from making import made
from torch import distributed
from torch.utils._python_dispatch import _get_current_dispatch_mode

from lab import machine
from lab.cells.folder import CellFolder
from lab.errors import DivergedError
from lab.training import frame, together
from lab.training.checkpoint import Arithmetic
from lab.training.frame import make_accelerator
from lab.training.precision import InFloat32
from lab.training.state import TrainingState


class Nothing(TrainingState):
    """Nothing but the steps done."""

    def networks(self):
        return {}

    def rest(self):
        return {}


@dataclass(kw_only=True)
class Counting(frame.Training):
    """Each step leaves its number; it is kept after step 7 and measured after 5 and 10."""

    name = "counting"
    last: int = 10
    images_per_step = 4
    measured = (5, 10)
    values: dict = field(default_factory=dict)
    found: list = field(default_factory=list)
    stop: int = -1

    @property
    def progress(self):
        return self.step, self.last, "steps"

    @property
    def kept_files(self):
        return {0: (Path("kept-0"),), 7: (Path("kept-7"),)}

    def take_step(self):
        if self.step == self.stop:
            raise KeyboardInterrupt
        self.state.step += 1
        loss = self.values.get(self.step, self.step)
        self.losses.append({("loss", ""): torch.tensor(float(loss)), ("free", "fc1"): torch.tensor(math.inf)})

    def may_be_infinite(self, curve):
        return curve == ("free", "fc1")

    def measure(self):
        assert not self.losses, "the losses are settled first"
        self.found.append(self.step)

    def keep(self, folder):
        (folder / f"kept-{self.step}").write_text("kept")

    def files(self):
        return {**super().files(), "found.json": json.dumps(self.found).encode()}

    def restore(self, found):
        super().restore(found)
        self.found = json.loads(found.files["found.json"])

    def rows(self, start, stop):
        if stop == 0:
            yield {"metric": "start", "value": 0, "step": 0}
        else:
            yield {"metric": "loss", "value": self.history["loss", ""][start:stop].mean().item(), "step": stop}
            if stop in self.found:
                yield {"metric": "measured", "value": stop, "step": stop}


@pytest.fixture
def cell(tmp_path):
    def make(place="a", minutes=0, **config):
        local = {"data": "x", "download": False, "checkpoint_minutes": minutes}
        return CellFolder.create(made("count", "counting", config), tmp_path / place, local)

    return make


@pytest.fixture
def counting():
    def make(**settings):
        accelerator = make_accelerator("cpu")
        return Counting(accelerator=accelerator, arithmetic=Arithmetic("cpu", "float32"), state=Nothing(), **settings)

    return make


def rows_of(folder):
    return [(row["metric"], row["value"], row["step"]) for row in folder.rows()]


def test_windows_cover_all_steps_and_end_where_something_happens(cell, counting, monkeypatch):
    monkeypatch.setattr(frame, "WINDOWS", 3)
    work = cell()
    frame.train(counting(), work)
    losses = {3: 2.0, 5: 4.5, 6: 6.0, 7: 7.0, 9: 8.5, 10: 10.0}
    expected = [("start", 0, 0)]
    for stop, mean in losses.items():
        expected += [("loss", mean, stop), *([("measured", stop, stop)] if stop in (5, 10) else [])]
    assert rows_of(work) == expected
    assert sorted(path.name for path in work.path.glob("kept-*")) == ["kept-0", "kept-7"]


@pytest.mark.parametrize("stop", [2, 5, 8])
def test_going_on_gives_the_same_rows(cell, counting, stop):
    whole, broken = cell("whole"), cell("broken")
    frame.train(counting(), whole)
    with pytest.raises(KeyboardInterrupt):
        frame.train(counting(stop=stop), broken)
    frame.train(counting(), broken)
    assert rows_of(broken) == rows_of(whole)


def test_another_cell_is_gone_on_from_only_if_it_differs_in_the_length_alone(cell, counting):
    frame.train(counting(), cell(length=10, recipe=1))
    for config, length, begun in [
        ({"length": 14, "recipe": 1}, (), None),
        ({"length": 12, "recipe": 2}, ("length",), None),
        ({"length": 12, "recipe": 1}, ("length",), 10),
    ]:
        work = cell(**config)
        frame.train(counting(last=config["length"]), work, length)
        events = work.path / "events.jsonl"
        assert (json.loads(events.read_text())["step"] if events.exists() else None) == begun


@pytest.mark.parametrize(
    "precision, kind", [("float32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_networks_pass_in_the_precision_that_is_told(precision, kind):
    made = Counting(accelerator=make_accelerator("cpu"), arithmetic=Arithmetic("cpu", precision), state=Nothing())
    with made.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == kind


@pytest.mark.parametrize(
    "precision, flags, summed", [("bf16", (), True), ("bf16", ("bf16",), False), ("float32", (), False)]
)
def test_steps_and_measurements_sum_bf16_in_float32_where_the_processor_has_none(
    cell, counting, monkeypatch, precision, flags, summed
):
    monkeypatch.setattr(machine, "processor", lambda: ("a processor", frozenset(flags)))
    training, modes = counting(), []
    training.arithmetic = Arithmetic("cpu", precision)
    for name in ("take_step", "measure"):
        work = getattr(training, name)
        monkeypatch.setattr(training, name, lambda work=work: (modes.append(_get_current_dispatch_mode()), work()))
    frame.train(training, cell())
    assert len(modes) == 12 and all(isinstance(mode, InFloat32) == summed for mode in modes)
    assert _get_current_dispatch_mode() is None


def test_a_checkpoint_is_saved_when_it_is_due_and_at_the_end(cell, counting):
    for minutes, saved in ((9, ["step-00000010"]), (0, ["step-00000009", "step-00000010"])):
        work = cell(f"{minutes}", minutes=minutes)
        frame.train(counting(), work)
        assert sorted(path.name for path in work.path.glob("checkpoints/*")) == saved


@pytest.fixture
def clock(monkeypatch):
    """Each step of a training takes a second."""

    def follow(training):
        monkeypatch.setattr(frame, "time", SimpleNamespace(monotonic=lambda: float(training.step)))

    return follow


def test_the_next_checkpoint_is_due_so_long_after_the_last(cell, counting, clock, monkeypatch):
    training, saved = counting(), []
    clock(training)
    monkeypatch.setattr(frame.checkpoint, "save", lambda folder, step, *rest: saved.append(step))
    frame.train(training, cell(minutes=3 / 60))
    assert saved == [3, 6, 9, 10]


def test_it_tells_how_many_images_it_sees_in_a_second(cell, counting, clock):
    training, work = counting(), cell(minutes=9)
    clock(training)
    frame.train(training, work)
    said = [json.loads(line) for line in (work.path / "events.jsonl").read_text().splitlines()]
    assert [event["images_per_second"] for event in said] == [4] * 10
    assert said[-1]["text"] == "10.0 of 10 steps, 4 images/s"


def test_tf32_is_for_trainings_that_ask_for_it_and_nothing_is_looked_at_in_it():
    def allowed():
        return {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}

    try:
        for precision in ("tf32", "float32", "tf32", "bf16"):
            make_accelerator("cpu", precision)
            assert allowed() == {precision == "tf32"}
        frame.set_gpu_arithmetic(tf32=True)
        assert frame.evaluation_device(SimpleNamespace(environment={"device": "cpu"})) == "cpu"
        assert allowed() == {False}
    finally:
        frame.set_gpu_arithmetic()


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="an older torch has the older switches alone")
@pytest.mark.parametrize("owner", [torch.backends, torch.backends.cudnn], ids=["all", "cudnn"])
def test_what_code_of_others_says_of_all_products_does_not_reach_convolutions(owner):
    """Such as a file that builds a user's own network, and is run before that is measured."""
    before = owner.fp32_precision
    try:
        owner.fp32_precision = "tf32"
        frame.set_gpu_arithmetic()
        assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cudnn.rnn.fp32_precision == "ieee"
        assert not torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.fp32_precision == "ieee"
    finally:
        owner.fp32_precision = before


def test_a_training_has_its_own_device_whatever_others_in_its_process_had(monkeypatch):
    """As those of a study whose cells name one and whose evaluator takes what there is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("accelerate.state.check_cuda_p2p_ib_support", lambda: True)
    devices = "cpu", "cuda", "cpu"
    try:
        assert tuple(make_accelerator(device).device.type for device in devices) == devices
    finally:
        make_accelerator("cpu")


def test_buffers_are_never_written_between_two_passes():
    """On a GPU an error, where a network with BatchNorm passes twice before its gradients are computed."""
    assert make_accelerator("cpu").ddp_handler.broadcast_buffers is False


@pytest.mark.parametrize(
    "work", [lambda: make_accelerator("cpu"), lambda: frame.evaluation_device(SimpleNamespace(environment={}))]
)
def test_convolutions_give_the_same_bits_twice_on_a_gpu_too(monkeypatch, work):
    """Those of an attack on a trained network, as well, whose gradients are of them."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    work()
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark


@pytest.mark.parametrize("windows", [1, 100])
def test_what_may_not_be_infinite_ends_the_training(cell, counting, monkeypatch, windows):
    """It is told of the step that it came in, at the end of however many."""
    monkeypatch.setattr(frame, "WINDOWS", windows)
    with pytest.raises(DivergedError, match="counting diverged at step 4: loss is nan"):
        frame.train(counting(values={4: math.nan}), cell(minutes=9))


@pytest.mark.parametrize("waits", [False, True])
def test_the_group_of_processes_stays_where_torch_could_wait_for_its_threads_for_ever(monkeypatch, waits):
    monkeypatch.setattr(together, "WAITS_FOR_ITS_THREADS", waits)
    monkeypatch.setattr(together, "_left", [])
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    group = distributed.group.WORLD
    together.leave(SimpleNamespace(end_training=distributed.destroy_process_group))
    assert not distributed.is_initialized() and together._left == [group] * waits
    together.leave(SimpleNamespace(end_training=lambda: None))  # there may have been no group
