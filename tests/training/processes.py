"""Trainings on three and on four processes, whole, broken off by a signal, and gone on with: processes.py FOLDER

The processes are forks of this one, which has torch imported. In a broken training one process alone gets the signal.
"""

import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from unittest import mock

os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

import torch._dynamo  # so that no fork has to

import classifiers._loop
import gans._loop
import imagesets
from lab import registry
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.interrupts import Interrupted
from lab.training import frame
from tasks import train_classifier, train_gan

STOP, MEGABYTES = 3, 0.002
"""The step in which the signal comes, and what DDP sends at a time, so that there are several buckets."""
HOW = {"imageset": "digits", "precision": "float32", "device": "cpu"}
GAN = {"gan": "dcgan", "settings": {"width": 4, "latent": 4, "batch": 48}, "kimg": 0.288, "snapshots": (0.096, 0.288)}
CLASSIFIER = {
    "classifier": "cnn",
    "settings": {"width": 2, "batch": 180},
    "alpha": -0.02,
    "snnl_layers": ("conv1", "fc2"),
    "epochs": 1,
}
TRAININGS = {"gan": (gans._loop, train_gan, GAN), "classifier": (classifiers._loop, train_classifier, CLASSIFIER)}
NUMBERS = {3: ("gan", "classifier"), 4: ("gan",)}


def cell(folder: Path, name: str, processes: int) -> CellFolder:
    """A training that saves at its end only."""
    _, task, settings = TRAININGS[name]
    config = task.Config.parse({**settings, **HOW, "processes": processes})
    local = {"data": str(folder), "download": False, "checkpoint_minutes": 99}
    return CellFolder.create(task.cell(config, folder), folder, local)


def begin(folder: Path, processes: int) -> None:
    """Each training whole, and another time until a signal comes to the last process."""
    for name in NUMBERS[processes]:
        work(cell(folder / "whole", name, processes))
        loop, _, _ = TRAININGS[name]
        step = loop.train_step

        def stops(training, step=step):
            if training.step == STOP and os.environ["RANK"] == str(processes - 1):
                signal.raise_signal(signal.SIGTERM)
            step(training)

        with mock.patch.object(loop, "train_step", stops):
            try:
                work(cell(folder / "broken", name, processes))
                raise AssertionError("it was not broken off")
            except Interrupted:
                pass


def go_on(folder: Path, processes: int) -> None:
    """The broken ones to their end."""
    for name in NUMBERS[processes]:
        work(cell(folder / "broken", name, processes))


def together(processes: int, what: object, folder: Path) -> None:
    """Have so many processes do something together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = [child(rank, processes, port, what, folder) for rank in range(processes)]
    ends = [os.waitpid(number, 0)[1] for number in children]
    if any(ends):
        raise SystemExit(f"one of {processes} processes failed")


def child(rank: int, processes: int, port: int, what: object, folder: Path) -> int:
    """The number of a fork of this process."""
    number = os.fork()
    if number:
        return number
    known = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {name: str(value) for name, value in known.items()}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    try:
        what(folder, processes)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main(folder: Path) -> None:
    """Do all of it."""
    torch.set_num_threads(1)
    settings = frame.DistributedDataParallelKwargs
    registry.load("gans", "dcgan"), registry.load("classifiers", "cnn")
    imagesets.load("digits", "train", root=folder, download=False)
    small = lambda **more: settings(bucket_cap_mb=MEGABYTES, **more)  # noqa: E731
    with (
        mock.patch.object(frame, "DistributedDataParallelKwargs", small),
        mock.patch.object(frame, "WINDOWS", 1),
        mock.patch.object(frame.Accelerator, "end_training"),  # the next training needs the group
    ):
        for processes in NUMBERS:
            together(processes, begin, folder / str(processes))
            for broken in (folder / str(processes) / "broken").iterdir():
                made = CellFolder(broken)
                points = sorted(path.name for path in (broken / "checkpoints").iterdir())
                print("not broken off" if made.done or made.failure else "saved", *points, flush=True)
            together(processes, go_on, folder / str(processes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
