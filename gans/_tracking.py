"""Losses told to experiment trackers besides the rows, through Accelerate. They decide no result.

Whatever a tracker writes lies below the cell's folder, in `trackers`. Trackers that know servers stay offline unless a
variable of theirs says otherwise. Free of Accelerate and torch, so that a command can check names before any work.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError, unknown_name
from lab.folder import CellFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

FOLDER = "trackers"
PROJECT = "snnl"
EXTRAS = ("tensorboard", "wandb")
"""Trackers whose packages `pip install snnl-workbench[NAME]` brings."""


@dataclass(frozen=True)
class Tracker:
    """What one of Accelerate's trackers needs to know.

    Attributes:
        variables: environment variables, by their templates of {folder}, that keep it offline and its files below the
            cell's folder; one that is set already stays as it is.
        settings: what its constructor gets, from the folder of trackers, the cell and the last step done.
    """

    variables: dict[str, str] = field(default_factory=dict)
    settings: Callable[[Path, CellFolder, int], dict[str, Any]] = lambda folder, cell, step: {}


TRACKERS = {
    "aim": Tracker(),
    "clearml": Tracker(
        {"CLEARML_OFFLINE_MODE": "1", "CLEARML_CACHE_DIR": "{folder}/clearml"},
        lambda folder, cell, step: {"task_name": cell.record["label"]},
    ),
    "comet_ml": Tracker({"COMET_START_ONLINE": "0", "COMET_OFFLINE_DIRECTORY": "{folder}/comet_ml"}),
    "dvclive": Tracker(
        {},
        lambda folder, cell, step: {
            "dir": str(folder / "dvclive"), "resume": step > 0, "save_dvc_exp": False, "dvcyaml": False,
        },
    ),  # fmt: skip
    "mlflow": Tracker(
        {"MLFLOW_TRACKING_URI": "sqlite:///{folder}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"},
        lambda folder, cell, step: {"run_name": cell.record["label"], "logging_dir": str(folder / "mlflow")},
    ),
    "swanlab": Tracker(
        {"SWANLAB_MODE": "offline", "SWANLAB_LOG_DIR": "{folder}/swanlab", "SWANLAB_SAVE_DIR": "{folder}/swanlab"},
        lambda folder, cell, step: {"experiment_name": cell.record["label"]},
    ),
    # Steps from after the checkpoint are told again: TensorBoard drops those of the attempt that broke off.
    "tensorboard": Tracker({}, lambda folder, cell, step: {"purge_step": step + 1}),
    "wandb": Tracker(
        {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_DATA_DIR": "{folder}/wandb",
         "WANDB_CACHE_DIR": "{folder}/wandb", "WANDB_CONFIG_DIR": "{folder}/wandb"},
        lambda folder, cell, step: {
            "dir": str(folder), "id": cell.record["key"], "name": cell.record["label"], "resume": "allow",
        },
    ),
}  # fmt: skip
"""By the names that Accelerate gives them. Its trackio is left out: that writes where it was first imported for."""


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
def tracking(accelerator: "Accelerator", cell: CellFolder, step: int) -> Iterator[None]:
    """Have `accelerator.log` reach the cell's trackers within the block; `step` is the last step done before it.

    The first of several processes alone tells.
    """
    names = [str(name) for name in accelerator.log_with]
    if not names or not accelerator.is_main_process:
        yield
        return
    folder = _folder(cell)
    folder.mkdir(exist_ok=True)
    with _environment(names, folder):
        accelerator.init_trackers(PROJECT, init_kwargs={n: TRACKERS[n].settings(folder, cell, step) for n in names})
        try:
            yield
        finally:
            for tracker in accelerator.trackers:
                tracker.finish()
            accelerator.trackers.clear()


@contextmanager
def _environment(names: list[str], folder: Path) -> Iterator[None]:
    """The trackers' variables, where they are not set, for as long as the block lasts."""
    wanted = {key: value.format(folder=folder) for name in names for key, value in TRACKERS[name].variables.items()}
    added = {key: value for key, value in wanted.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def _folder(cell: CellFolder) -> Path:
    return cell.path.absolute() / FOLDER
