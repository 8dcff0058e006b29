"""Losses told to experiment trackers besides the rows, through Accelerate. They decide no result.

Whatever a tracker writes lies below the cell's folder, in `trackers`. Trackers that know servers stay offline unless a
variable of theirs says otherwise. Free of Accelerate and torch, so that a command can check names before any work.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cells import layout
from lab.cells.folder import CellFolder
from lab.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from accelerate import Accelerator

PROJECT = "snnl"
EXTRAS = ("tensorboard", "wandb")
"""Trackers whose packages `pip install snnl-workbench[NAME]` brings."""

TRACKERS: dict[str, dict[str, str]] = {
    "aim": {},
    "comet_ml": {"COMET_START_ONLINE": "0", "COMET_OFFLINE_DIRECTORY": "{folder}/comet_ml"},
    "dvclive": {},
    "mlflow": {"MLFLOW_TRACKING_URI": "sqlite:///{folder}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"},
    "swanlab": {
        "SWANLAB_MODE": "offline",
        "SWANLAB_LOG_DIR": "{folder}/swanlab",
        "SWANLAB_SAVE_DIR": "{folder}/swanlab",
    },
    "tensorboard": {},
    "wandb": {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_DATA_DIR": "{folder}/wandb",
        "WANDB_CACHE_DIR": "{folder}/wandb",
        "WANDB_CONFIG_DIR": "{folder}/wandb",
    },
}
"""By Accelerate's names, the environment variables that keep each offline and below {folder}, unless they are set.

Two of Accelerate's are left out: trackio writes where it was first imported for, and clearml takes over the output.
"""


def check_trackers(names: Iterable[str]) -> None:
    """Raise UsageError unless every tracker is known and its package is installed. Nothing is imported."""
    for name in names:
        if name not in TRACKERS:
            raise unknown_name("tracker", name, TRACKERS)
        if find_spec(name) is None:
            package = f"'snnl-workbench[{name}]'" if name in EXTRAS else name
            raise UsageError(f"The tracker {name} needs its package: pip install {package}.")


def accelerator_settings(cell: CellFolder) -> dict[str, Any]:
    """What an Accelerator must be told at its making for the trackers of a cell; nothing where it has none."""
    names = list(cell.record["local"].get("trackers", ()))
    check_trackers(names)
    return {"log_with": names, "project_dir": str(_folder(cell))} if names else {}


@contextmanager
def tracking(accelerator: "Accelerator", cell: CellFolder) -> Iterator[None]:
    """Have `accelerator.log` reach the cell's trackers within the block; they are told the rows so far at its start.

    So the latest that a tracker wrote is whole, however often the training broke off. The first of several processes
    alone tells. What trackers say goes to stderr.
    """
    names = [str(name) for name in accelerator.log_with]
    if not names or not accelerator.is_main_process:
        yield
        return
    folder = _folder(cell)
    folder.mkdir(exist_ok=True)
    with _environment(names, folder), redirect_stdout(sys.stderr):
        accelerator.init_trackers(PROJECT, init_kwargs=_settings(folder, cell))
        try:
            for step, values in _told_by(cell.rows()).items():
                accelerator.log(values, step=step)
            yield
        finally:
            for tracker in accelerator.trackers:
                tracker.finish()
            accelerator.trackers.clear()


def _told_by(rows: Iterable[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """The values by step and curve; those from before the first step are no curves."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["step"]:
            found.setdefault(row["step"], {})[curve(row)] = row["value"]
    return found


def curve(row: Mapping[str, Any]) -> str:
    """What trackers call the curve that a row is a point of: its metric, and of what."""
    return "/".join(filter(None, (row["metric"], row.get("layer"))))


@contextmanager
def _environment(names: list[str], folder: Path) -> Iterator[None]:
    """The trackers' variables, where they are not set, for as long as the block lasts."""
    wanted = {key: value.format(folder=folder) for name in names for key, value in TRACKERS[name].items()}
    added = {key: value for key, value in wanted.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def _settings(folder: Path, cell: CellFolder) -> dict[str, dict[str, Any]]:
    """What the trackers are made with, by name; TensorBoard drops what earlier attempts told."""
    label, key = cell.label, cell.key
    return {
        "dvclive": {"dir": str(folder / "dvclive"), "save_dvc_exp": False, "dvcyaml": False},
        "mlflow": {"run_name": label, "logging_dir": str(folder / "mlflow")},
        "swanlab": {"experiment_name": label},
        "tensorboard": {"purge_step": 0},
        "wandb": {"dir": str(folder), "id": key, "name": label, "resume": "allow"},
    }


def _folder(cell: CellFolder) -> Path:
    return cell.path.absolute() / layout.TRACKERS
