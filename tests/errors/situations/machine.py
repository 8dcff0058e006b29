"""Files of settings, searches, the machine, and the workbench itself."""

import errno
import json
import os
from pathlib import Path
from unittest import mock

from filelock import FileLock, Timeout

from lab import registry
from lab.training import tracking
from situations import situation


def settings(study="classifier-regularization", config=None, **more):
    """The file `mine.json` of a study's settings."""
    Path("mine.json").write_text(json.dumps({"study": study, "config": config or {}, **more}))


def begun(study):
    """A search that was begun in the folder `mine`."""
    from lab.studying.search import plan_search, search
    from studies.classifier_regularization import SEARCH

    config = SEARCH.settings.parse({"epochs": 9})
    places = {"runs": Path("runs"), "data": Path("data"), "folder": Path("mine")}
    search(plan_search(study, SEARCH, config, **places), trials=0, local={})


@situation("settings that are no JSON")
def _(place):
    Path("mine.json").write_text("alphas: -0.1")


@situation("settings without end")
def _(place):
    Path("mine.json").write_text('{"study":' * 100_000 + "1" + "}" * 100_000)


@situation("a list in place of settings")
def _(place):
    Path("mine.json").write_text("[]")


@situation("settings with a key too many")
def _(place):
    settings(seeds=3)


@situation("settings of the other study")
def _(place):
    settings()


@situation("settings that are unknown")
def _(place):
    settings(config={"alpha": -0.1})


@situation("settings out of range")
def _(place):
    settings(config={"epochs": 0})


@situation("a search of other settings")
def _(place):
    begun("classifier-regularization")


@situation("a search of another study")
def _(place):
    begun("gan-entanglement")


@situation("its journal damaged")
def _(place):
    begun("classifier-regularization")
    log = Path("mine/journal.log")
    first, *rest = log.read_text().splitlines(keepends=True)
    log.write_text("".join([first, "no line of a journal\n", *rest]))


@situation("a journal of one's own in it")
def _(place):
    Path("mine").mkdir()
    Path("mine/journal.log").write_text("mine, without a line's end")


@situation("its journal a link")
def _(place):
    Path("mine").mkdir()
    Path("mine/journal.log").symlink_to("/etc/hostname")


@situation("a table of one's own in it")
def _(place):
    Path("mine").mkdir()
    Path("mine/trials.csv").write_text("mine")


@situation("another command at work in it")
def _(place):
    Path("mine").mkdir()
    place.patch.setattr(FileLock, "acquire", mock.Mock(side_effect=Timeout("mine/lock")))


@situation("without Optuna")
def _(place):
    from lab.studying import journal

    place.patch.setattr(journal, "find_spec", lambda name: None)


# The machine, and the workbench itself.


@situation("without Slurm")
def _(place):
    place.patch.setenv("PATH", str(place.path))


@situation("a Slurm that refuses it")
def _(place):
    words = "sbatch: error: invalid partition specified: gpuu\nsbatch: error: Batch job submission failed: "
    slurm(place, sbatch=f"echo '{words}Invalid partition name specified' >&2; exit 1")


@situation("a Slurm that does not answer")
def _(place):
    words = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    slurm(place, squeue=f"echo '{words}' >&2; exit 1")


@situation("a Slurm whose queue cannot be looked at")
def _(place):
    slurm(place, squeue="echo 'squeue: error: Invalid authentication credential' >&2; exit 1")


def slurm(place, **lines):
    """Slurm's commands, of which some run a line of the shell and others say nothing."""
    said = dict.fromkeys(("sbatch", "squeue", "scancel", "scontrol"), "") | lines
    programs = place.path.parent / "slurm"
    programs.mkdir(exist_ok=True)
    for name, line in said.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    place.patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@situation("on a full disk")
def _(place):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    place.patch.setattr(Path, "write_bytes", full)


@situation("with no memory left")
def _(place):
    from gans import _loop

    place.patch.setattr(_loop, "train", mock.Mock(side_effect=MemoryError))


@situation("outside its environment")
def _(place):
    error = ModuleNotFoundError("No module named 'click'", name="a_package_that_is_not_there")
    place.patch.setattr(registry, "entries", mock.Mock(side_effect=error))


@situation("without a tracker's package")
def _(place):
    place.patch.setattr(tracking, "find_spec", lambda name: None)


@situation("ended with Ctrl-C")
def _(place):
    def interrupt(kind):
        raise KeyboardInterrupt

    place.patch.setattr(registry, "entries", interrupt)


@situation("a fault in the workbench")
def _(place):
    place.patch.setattr(registry, "entries", lambda kind: 1 / 0)
