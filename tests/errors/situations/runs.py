"""Cells and studies."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from imagesets import digits
from lab.cells.cell import Cell
from lab.cells.failure import Failure
from lab.cells.folder import CellFolder
from lab.cells.runs import Run
from lab.config import Config
from lab.reporting.report import Report
from situations import LOCAL, ROOT, SITUATIONS, cut, edit, situation
from studies import gan_entanglement
from tasks import train_gan

FIRST = Cell("embed", "first", Config())
SECOND = Cell("embed", "second", Config(), needs=(FIRST,))


@situation("beside a run of another study")
def _(place):
    place.study()
    Path("results").mkdir()
    Path("results", "config.json").write_text("{}")
    Path("results", "plan.json").write_text('{"study": "toy", "cells": []}')


@situation("a page of one's own where the site is to go")
def _(place):
    Path("site").mkdir()
    Path("site/index.html").write_text("<title>My page</title>")


@situation("a report of one's own in a folder")
def _(place):
    Path("mine").mkdir()
    Path("mine/report.html").write_text("<title>My page</title>")


@situation("a trained classifier and a page of one's own")
def _(place):
    place.classifier()
    Path("mine.html").write_text("<title>My page</title>")


@situation("where a dead link is in the way")
def _(place):
    Path("runs").symlink_to("nowhere")


@situation("where a file is in the way")
def _(place):
    Path("runs").write_text("")


@situation("a trained GAN")
def _(place):
    place.cell()


@situation("a trained GAN and a file where images are to go")
def _(place):
    place.cell()
    Path("photos").write_text("mine")


def alone(place, network=None, **changes):
    """The weights of a trained GAN as a file of their own, which says nothing, or something else than is true."""
    tensors = network or load_file(next((place.cell() / "snapshots").iterdir()))
    config = json.loads((place.path / "cell" / "config.json").read_text())["config"]
    metadata = {"about": json.dumps({"config": config | changes})} if changes else None
    save_file(tensors, place.path / "alone.safetensors", metadata)


@situation("weights that do not say what network they are of")
def _(place):
    alone(place)


@situation("weights and the settings of something else")
def _(place):
    alone(place)
    (place.path / "my.json").write_text('{"config": {}}')


@situation("weights and the settings of another GAN")
def _(place):
    place.cell()
    alone(place, {"weight": torch.ones(1)})


@situation("weights of a GAN that learned other images")
def _(place):
    alone(place, imageset="mnist", spec=digits.SPEC.plain())


@situation("of another version's format")
def _(place):
    edit(place.cell() / "config.json", format=99)


@situation("settings cut off")
def _(place):
    cut(place.cell() / "config.json")


@situation("settings edited by hand")
def _(place):
    folder = CellFolder(place.cell())
    edit(folder.path / "config.json", config={**folder.config, "kimg": 3.0})


@situation("of a task that is not there")
def _(place):
    place.planned(Cell("train-gam", "x", Config()))


@situation("before the cell that it needs")
def _(place):
    CellFolder.create(FIRST, Path(), LOCAL)
    place.planned(SECOND)


@situation("away from the cell that it needs")
def _(place):
    place.planned(SECOND)


@situation("a snapshot cut off")
def _(place):
    cut(next((place.cell() / "snapshots").iterdir()))


@situation("a snapshot of another network")
def _(place):
    save_file({"x": torch.zeros(2)}, next((place.cell() / "snapshots").iterdir()))


@situation("a snapshot that is not finite")
def _(place):
    """In a folder from before there were hashes."""
    (weights,) = (place.cell() / "snapshots").iterdir()
    save_file({name: value * float("nan") for name, value in load_file(weights).items()}, weights)
    edit(Path("cell/DONE"), files={})


@situation("a file of another name among the snapshots")
def _(place):
    next((place.cell() / "snapshots").iterdir()).rename("cell/snapshots/kimg-best.safetensors")


@situation("without its weights")
def _(place):
    shutil.rmtree(place.cell() / "snapshots")


@situation("a trained classifier")
def _(place):
    place.classifier()


@situation("a classifier trained on every image")
def _(place):
    place.classifier(validation=0)


@situation("a trained classifier whose images have no test split")
def _(place):
    place.classifier()
    place.patch.setattr(digits, "SPEC", replace(digits.SPEC, splits=("train",)))


@situation("a trained classifier without its weights")
def _(place):
    place.classifier().unlink()


@situation("a trained classifier whose weights are cut off")
def _(place):
    cut(place.classifier())


def image(place):
    """The file image.png."""
    Image.new("L", (30, 20), 9).save(place.path / "image.png")


@situation("an image")
def _(place):
    image(place)


@situation("a trained GAN and an image")
def _(place):
    place.cell()
    image(place)


@situation("a trained classifier and an image")
def _(place):
    place.classifier()
    image(place)


@situation("a trained classifier and a text that is called an image")
def _(place):
    place.classifier()
    Path("image.png").write_text("no image")


@situation("a trained classifier and a pipe")
def _(place):
    place.classifier()
    os.mkfifo("image.png")


@situation("a trained classifier and an image that was cut off")
def _(place):
    place.classifier()
    image(place)
    cut(Path("image.png"))


@situation("a classifier trained on every image and an image")
def _(place):
    place.classifier(validation=0)
    image(place)


@situation("a trained classifier without its weights and an image")
def _(place):
    place.classifier().unlink()
    image(place)


@situation("a cell that trains nothing")
def _(place):
    place.planned(FIRST)


@situation("a GAN without a discriminator")
def _(place):
    place.planned(train_gan.cell(train_gan.Config.parse({"gan": "snnl-gan", "kimg": 1}), Path()))


# Studies.


@situation("an unknown setting written into it")
def _(place):
    edit(place.study() / "config.json", colour="red")


@situation("a setting out of range written into it")
def _(place):
    edit(place.study() / "config.json", seeds=0)


@situation("of a study that is not there")
def _(place):
    edit(place.study() / "plan.json", study="gan-entanglment")


@situation("its plan cut off")
def _(place):
    cut(place.study() / "plan.json")


@situation("its settings cut off")
def _(place):
    cut(place.study() / "config.json")


@situation("its settings gone")
def _(place):
    (place.study() / "config.json").unlink()


def references(place):
    """The folder of the references' cell of a finished study, whose page is drawn empty."""
    place.patch.setattr(gan_entanglement, "report", lambda *_: Report("Title", "Question?", []))
    (name,) = (name for name in plan(place.study())["cells"] if name.startswith("references-"))
    return shutil.copytree(ROOT / "results" / "cells" / name, Path("runs/cells", name))


def plan(study):
    """What the plan of a study's folder holds."""
    return json.loads((study / "plan.json").read_text())


@situation("a row of a cell damaged")
def _(place):
    rows = references(place) / "rows.jsonl"
    rows.write_text(rows.read_text().replace('"value"', "'value'", 1))


@situation("a row of a cell edited by hand")
def _(place):
    edit(references(place) / "DONE", rows="the hash of other rows")


@situation("the end of a cell damaged")
def _(place):
    (references(place) / "DONE").write_text("")


@situation("a cell's archive of arrays cut off")
def _(place):
    (references(place) / "more.npz").write_bytes(b"no archive")


@situation("a link among the files of a cell")
def _(place):
    (references(place) / "more.npz").symlink_to("/dev/zero")


@situation("its cells named by paths")
def _(place):
    edit(place.study() / "plan.json", cells=["../../elsewhere"])


@situation("onto a file")
def _(place):
    place.study()
    Path("kept").write_text("")


@situation("onto another's folder")
def _(place):
    (Path("kept/cells") / references(place).name).mkdir(parents=True)


@situation("cells that need one another")
def _(place):
    for cell in (FIRST, SECOND):
        CellFolder.create(cell, Path("runs/cells"), LOCAL)


@situation("cells of which one is torn")
def _(place):
    SITUATIONS["cells that need one another"](place)
    Path("runs/cells", FIRST.folder_name, "config.json").write_text("{")


@situation("one of them at work")
def _(place):
    SITUATIONS["cells that need one another"](place)
    place.patch.setattr(Run, "is_running", lambda run: True)


@situation("a cell that fails")
def _(place):
    from lab.running import schedule

    def do(folders, *_, **__):
        done, *broken = [folder.path for folder in folders]
        return schedule.Outcome(done=[done], broken=dict.fromkeys(broken, Failure("error", "no luck")))

    place.patch.setattr(schedule, "do", do)


@situation("a finished cell with a link in it")
def _(place):
    folder = CellFolder.create(FIRST, Path("runs/cells"), LOCAL)
    folder.mark_done(1.0)
    (folder.path / "samples").mkdir()
    (folder.path / "samples" / "0.png").symlink_to("/etc/hostname")


@situation("with Ctrl-C at its question")
def _(place):
    def broken_off(*arguments, **settings):
        raise click.Abort

    SITUATIONS["cells that need one another"](place)
    place.patch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    place.patch.setattr(click, "confirm", broken_off)
