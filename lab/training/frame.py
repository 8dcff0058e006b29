"""The frame of every training loop: where it goes on from, what it tells, what it keeps, and what it sums up.

Rows are made of what every step left, which is kept with each checkpoint, so that going on gives the rows that an
undisturbed run gives. The first of several processes writes; all of them do the same after the same step.
"""

import json
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

from lab.cells.folder import CellFolder
from lab.cells.layout import CHECKPOINTS
from lab.errors import DivergedError
from lab.hashing import file_hash
from lab.interrupts import Ending, deferred
from lab.processes import forget_launchers, rank, world_size
from lab.training import checkpoint
from lab.training.checkpoint import Arithmetic, Checkpoint
from lab.training.compute import Compute
from lab.training.precision import bf16_products, set_gpu_arithmetic
from lab.training.resume import KEPT, agreed_start, take_over
from lab.training.state import TrainingState
from lab.training.tensors import packed, unpacked
from lab.training.together import agreed, leave, mean, of_the_first
from lab.training.tracking import accelerator_settings, curve, tracking

Curve = tuple[str, str]
"""A metric and the layer that it is of, which is empty where it is of no layer."""
EVENT_SECONDS = 1.0
HISTORY = "losses.pt"
WINDOWS = 100
"""Rows of losses over a training, about; more where something is kept or measured in between."""


@dataclass(kw_only=True)
class Training(ABC):
    """One run of a loop: what it trains, on what, and how far."""

    accelerator: Accelerator
    state: TrainingState
    arithmetic: Arithmetic
    """What its numbers are computed in."""
    losses: list[dict[Curve, Tensor]] = field(default_factory=list)
    """What the last steps left: scalars."""
    history: dict[Curve, Tensor] = field(default_factory=dict)
    """The same of all the steps before those in `losses`, float32 (steps,), on the CPU."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The network's name."""

    @property
    @abstractmethod
    def last(self) -> int:
        """The number of steps in all."""

    @property
    @abstractmethod
    def images_per_step(self) -> int:
        """Images that are shown to the network in one step, over all processes."""

    @property
    @abstractmethod
    def progress(self) -> tuple[float, float, str]:
        """How far it is, how far it goes, and the unit."""

    @property
    @abstractmethod
    def kept_files(self) -> dict[int, tuple[Path, ...]]:
        """The steps after which something is kept, and its files, below the cell's folder."""

    @abstractmethod
    def take_step(self) -> None:
        """One step, which appends to `losses`."""

    @abstractmethod
    def keep(self, folder: Path) -> None:
        """Write what is kept after the present step; of several processes the first one is asked."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """The rows of the steps after `start` up to `stop`, made from the history; before the first, of step 0."""

    @property
    def step(self) -> int:
        """The steps done."""
        return self.state.step

    def files(self) -> dict[str, bytes]:
        """All that the training is but for its history, as the files of a checkpoint."""
        return self.state.files()

    def restore(self, found: Checkpoint) -> None:
        """Become what `files` gave when the checkpoint was saved."""
        self.state.restore(found)

    @property
    def measured(self) -> Collection[int]:
        """The steps after which the network is measured."""
        return ()

    def measure(self) -> None:
        """What is to be done after those steps, by all processes."""
        raise NotImplementedError(f"{self.name} says when to measure it, but not how")

    def autocast(self) -> torch.autocast:
        """Where the networks' passes run: in bf16 if that is the precision."""
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.arithmetic.precision == "bf16")

    def may_be_infinite(self, curve: Curve) -> bool:
        """Whether one of the losses may be infinite or NaN, as none usually may."""
        return False

    def kimg_at(self, step: int) -> float:
        """Thousands of images shown in so many steps."""
        return step * self.images_per_step / 1000

    @property
    def windows(self) -> dict[int, int]:
        """Where the rows of losses are: each is of the steps after `windows[step]` up to `step`."""
        every = max(1, self.last // WINDOWS)
        ends = sorted({*range(every, self.last, every), self.last, *self.kept_files, *self.measured} - {0})
        return dict(zip(ends, [0, *ends[:-1]], strict=True))

    def rows_so_far(self) -> Iterator[dict[str, Any]]:
        """Every row up to the present step."""
        yield from self.rows(0, 0)
        for stop, start in self.windows.items():
            if stop <= self.step:
                yield from self.rows(start, stop)

    def settle(self) -> None:
        """Move the losses since the last call, as means over the processes, to the history; they must be finite."""
        recent, self.losses = self.losses, []
        if not recent:
            return
        for key in recent[0]:
            own = torch.stack([losses[key] for losses in recent]).float()
            values = mean(self.accelerator, own)
            bad = (~values.isfinite()).nonzero().flatten()
            if len(bad) and not self.may_be_infinite(key):
                step = self.step - len(recent) + int(bad[0]) + 1
                raise DivergedError(
                    f"{self.name} diverged at step {step}: {' '.join(filter(None, key))} is {values[bad[0]].item()}. "
                    "Try a smaller learning rate or float32."
                )
            self.history[key] = torch.cat([self.history.get(key, values[:0]), values])


def train(training: Training, cell: CellFolder, length: Collection[str] = ()) -> None:
    """Train to the end, from the cell's last checkpoint if it has one.

    Args:
        training: one that has just been made.
        cell: what it is done for.
        length: the settings that do not decide what a step does: the training goes on from that of another cell which
            differs in these alone.

    Raises:
        WorkbenchError: a loss became NaN or infinite; the message names step and loss.
        Interrupted: it was asked to end, and has saved what it needs to go on.
    """
    start = agreed_start(cell, training.kept_files, training.last, length, training.arithmetic)
    if start:
        take_over(start, cell, training.kept_files)
        training.restore(start.checkpoint)
        training.history = unpacked(start.checkpoint.files[HISTORY])
    cell.keep_rows(list(training.rows_so_far()))
    with deferred() as ending:
        with tracking(training.accelerator, cell), bf16_products(training.arithmetic):
            _to_the_end(training, cell, ending)
        training.accelerator.free_memory()
        leave(training.accelerator)


def _to_the_end(training: Training, cell: CellFolder, ending: Ending) -> None:
    last, windows, kept, measured = training.last, training.windows, training.kept_files, training.measured
    pace, saved = _Pace(training), time.monotonic()
    if training.step == 0 and 0 in kept:
        _keep(training, cell)
    while training.step < last:
        training.take_step()
        step = training.step
        if step in windows:
            training.settle()
            if step in measured:
                training.measure()
            rows = list(training.rows(windows[step], step))
            for row in rows:
                cell.row(**row)
            training.accelerator.log({curve(row): row["value"] for row in rows}, step=step)
        if step in kept:
            _keep(training, cell)
        pace.tell(cell)
        late = time.monotonic() - saved >= cell.checkpoint_seconds
        due, ends = agreed(training.accelerator, late, bool(ending.number))
        if step == last or due or ends:
            _save(training, cell)
            saved = time.monotonic()
        if ends and step < last:
            cell.event("stopped", step=step, text=pace.so_far)
            return ending.ask()


def _save(training: Training, cell: CellFolder) -> None:
    """Save a checkpoint, with hashes of what has been kept by now."""
    training.settle()
    if rank() == 0:
        kept = [file for step, files in training.kept_files.items() if step <= training.step for file in files]
        new = [file for file in kept if str(file) not in cell.hashes and (cell.path / file).exists()]
        cell.hashes |= {str(file): file_hash(cell.path / file) for file in new}
        files = {**training.files(), HISTORY: packed(training.history), KEPT: json.dumps(cell.hashes).encode()}
        checkpoint.save(cell.path / CHECKPOINTS, training.step, cell.key, training.arithmetic, files)


def _keep(training: Training, cell: CellFolder) -> None:
    if rank() == 0:
        training.keep(cell.path)


class _Pace:
    """Tells how far the training is and how many images a second it sees, once a second."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.told, self.step = time.monotonic(), training.step

    @property
    def so_far(self) -> str:
        """How far the training is, in words."""
        done, total, unit = self.training.progress
        return f"{done:.1f} of {total:g} {unit}"

    def tell(self, cell: CellFolder) -> None:
        elapsed = time.monotonic() - self.told
        if elapsed < EVENT_SECONDS:
            return
        done, total, _ = self.training.progress
        rate = (self.training.step - self.step) * self.training.images_per_step / elapsed
        text = f"{self.so_far}, {rate:.0f} images/s"
        cell.event("progress", done=done, total=total, text=text, images_per_second=rate)
        self.told, self.step = time.monotonic(), self.training.step


def begin(config: Compute, cell: CellFolder, products: str) -> tuple[Accelerator, Arithmetic]:
    """Accelerate's part, and the arithmetic that a training has here, which its environment keeps.

    Args:
        config: its settings.
        cell: what it is done for.
        products: the library of products for one that is new; of several processes the first one decides.

    Raises:
        UsageError: the device cannot do what is asked for.
        WorkbenchError: there is no such device.
    """
    forget_launchers()
    own = config.arithmetic(cell.path, products)
    accelerator = make_accelerator(own.device, own.precision, **accelerator_settings(cell))
    arithmetic = of_the_first(own)
    cell.note(**arithmetic._asdict())
    return accelerator, arithmetic


def make_accelerator(device: str, precision: str = "float32", **trackers: Any) -> Accelerator:
    """Accelerate's part: the device, averaging gradients over the processes, and trackers.

    Buffers stay each process's own: broadcasting them would write to BatchNorm's statistics between two forward passes
    that share one backward pass. A sum of three or more gradients depends on where they stand in what is sent, and
    after its first step a process would place them anew, unless it is to look for parameters that are not used.
    """
    set_gpu_arithmetic(tf32=precision == "tf32")
    # torch warns of it since 2.14 in every process; the way that it names instead is in no version before.
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
    averaging = DistributedDataParallelKwargs(
        broadcast_buffers=False, gradient_as_bucket_view=True, find_unused_parameters=world_size() > 2
    )
    AcceleratorState._reset_state(reset_partial_state=True)  # else the device of a process's first training stays
    return Accelerator(mixed_precision="no", cpu=device == "cpu", kwargs_handlers=[averaging], **trackers)


def evaluation_device(training: CellFolder) -> str:
    """Where a trained network is looked at, in float32: where it was trained, or the CPU if that is not here."""
    set_gpu_arithmetic()
    return "cuda" if training.environment.get("device") == "cuda" and torch.cuda.is_available() else "cpu"
