"""Which cells of a plan are done, published, or to do; and what a report tells of its making."""

import dataclasses
import errno
import json
import re
import shutil
from pathlib import Path
from typing import ClassVar

import pytest
from making import made
from PIL import UnidentifiedImageError

from lab import locks, machine
from lab.cells import layout
from lab.cells.failure import Failure, keep_failure
from lab.cells.folder import CellFolder
from lab.cells.removal import to_remove
from lab.cells.rows import build_table
from lab.cells.runs import Runs
from lab.config import Config
from lab.errors import WorkbenchError
from lab.files import read_object, write_json
from lab.reporting.provenance import section
from lab.reporting.report import Report
from lab.running import schedule
from lab.running.place import HERE, SLOTS, Place
from lab.running.schedule import Outcome
from lab.studying import drawing, study
from lab.studying.plan import Plan, Planned, plan_cells, plan_study

TRAIN = made("train", "train", {"seed": 0, "precision": "bf16", "device": "auto"}, cost=10)
MEASURE = made("measure", "measure", {"n": 1}, needs=(TRAIN,), cost=2)
DATA = Path("data")


class Settings(Config):
    """The settings of a study that trains."""

    device: str = "auto"


class Module:
    """A study of two cells."""

    @staticmethod
    def plan(config, data):
        assert data == DATA
        return [MEASURE]

    Config = Settings
    PRESETS: ClassVar = {"laptop": {}}

    @staticmethod
    def claims(config):
        return []

    @staticmethod
    def report(config, table, artifacts):
        return Report("Title", "Question?", [])


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders for runs and for published results; the study is the one above."""
    load = study.registry.load
    monkeypatch.setattr(study.registry, "load", lambda kind, name: Module if kind == "studies" else load(kind, name))
    monkeypatch.setattr(layout, "PUBLISHED", tmp_path / "results")
    return tmp_path / "runs", tmp_path / "results"


def finish(cell, place):
    folder = CellFolder.create(cell, place / "cells", {})
    folder.mark_done(1.5)
    return folder


def states(runs, published=False):
    plan = plan_study("x", Settings(), DATA, runs, published=published)
    return {planned.cell.label: planned.state for planned in plan.cells}


def test_what_is_not_done_is_to_do(places):
    runs, _ = places
    assert states(runs) == {"train": "to do", "measure": "to do"}
    finish(TRAIN, runs)
    assert states(runs) == {"train": "done", "measure": "to do"}
    finish(MEASURE, runs)
    assert states(runs) == {"train": "done", "measure": "done"}


def test_published_cells_count_when_asked_for(places):
    runs, results = places
    finish(TRAIN, results)
    finish(MEASURE, results)
    assert states(runs) == {"train": "to do", "measure": "to do"}
    assert len(plan_study("x", Settings(), DATA, runs).published) == 2
    assert states(runs, published=True) == {"train": "published", "measure": "published"}


def test_a_copy_without_published_cells_says_so(places):
    """As `pip install .` without -e makes one: all would be to do, without a word."""
    runs, results = places
    with pytest.raises(WorkbenchError, match=re.escape(f"nothing published in {results}: ")):
        states(runs, published=True)


def test_a_published_training_has_no_weights_to_measure(places):
    runs, results = places
    finish(TRAIN, results)
    assert states(runs, published=True) == {"train": "to do", "measure": "to do"}
    for published in (False, True):
        assert not plan_study("x", Settings(), DATA, runs, published=published).published, "--published takes none"


def test_what_a_published_cell_needs_that_is_measured_anew_is_done_anew_too(places):
    """Down to the first of a chain: what ships has no weights."""
    runs, results = places
    embed = made("embed", "embed", needs=(MEASURE,))
    finish(TRAIN, results), finish(MEASURE, results)
    plan = plan_cells("x", Settings(), [embed], runs, published=True)
    assert [(one.cell.label, one.state) for one in plan.cells] == [
        ("train", "to do"),
        ("measure", "to do"),
        ("embed", "to do"),
    ]


def test_other_settings_are_another_study_though_its_cells_are_the_same(places):
    cells = [Planned(MEASURE, "to do")]
    folders = [Plan("x", settings, places[0], cells).folder for settings in (Settings(), Settings(device="cpu"))]
    assert folders[0] != folders[1] and folders[0] == Plan("x", Settings(device="auto"), places[0], cells).folder


def test_slots(places):
    runs, _ = places
    plan = plan_study("x", Settings(), DATA, runs)
    assert plan.slots(1) == 1 and plan.slots(64) == 2
    assert plan.folder.parent == runs / "studies" / "x"


@pytest.mark.parametrize("gpus, processes, slots", [(0, 1, 8), (0, 2, 4), (0, 64, 1), (4, 1, 4), (4, 2, 2)])
def test_a_training_takes_a_core_or_gpu_for_each_process(places, monkeypatch, gpus, processes, slots):
    monkeypatch.setattr(machine, "gpus", lambda: (("H100", 9.0),) * gpus)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    cells = [made("train", "train", {"seed": seed, "device": "auto"}, processes=processes) for seed in range(9)]
    plan = Plan("x", Settings(), places[0], [Planned(cell, "to do") for cell in cells])
    assert plan.slots(None) == slots == plan.slots_at(SLOTS) == plan.slots_at(HERE)
    queue, nothing = Place("slurm"), dataclasses.replace(plan, cells=[])
    assert (plan.slots_at(queue), plan.slots_at(Place("slurm", jobs=2)), nothing.slots_at(queue)) == (9, 2, 1)


def test_a_study_that_trains_nothing_takes_cores_and_asks_for_no_gpu(places, monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: (("H100", 9.0),) * 4)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    cells = [made("count", "count", {"seed": seed}) for seed in range(9)]
    plan = Plan("x", Config(), places[0], [Planned(cell, "to do") for cell in cells])
    assert (plan.device, plan.slots(None)) == ("cpu", 8)


def test_a_slot_has_the_same_threads_however_much_is_left(places):
    runs, _ = places
    before = plan_study("x", Settings(), DATA, runs)
    finish(TRAIN, runs)
    after = plan_study("x", Settings(), DATA, runs)
    assert len(after.to_do) < len(before.to_do)
    assert after.slots(None) == before.slots(None)
    assert after.slots(64) == before.slots(64) == 2


def test_the_section_for_reviewers_shows_what_was_recorded(tmp_path):
    folders = [finish(TRAIN, tmp_path)]
    facts = {"commit": "abc", "packages": {"torch": "2.9", "snnl-workbench": None}, "cores": 2, "precision": "bf16"}
    facts |= {"started": "2026-01-02T03:04:05Z", "seed": 0}
    (folders[0].path / "environment.json").write_text(json.dumps(facts))
    counts = {"metric": "generator_parameters", "model": "dcgan", "value": 12.0}
    second = {**counts, "metric": "discriminator_parameters", "value": 34.0}
    alone = {**counts, "model": "cnn", "metric": "parameters", "value": 5.0}
    table = build_table([counts, second, alone, counts, {**counts, "metric": "loss"}])
    *lines, settings, environment, cells, parameters = section("snnl study x", "x/1f", Settings(), table, folders).items
    found = {item.name: item.to_markdown() for item in (settings, environment, cells, parameters)}
    assert [one.text.splitlines()[0] for one in lines] == ["snnl study x", "@misc{snnl-workbench,"]
    assert (
        "title = {SNNL workbench},\n  note = {Study x, settings and cells 1f, code abc}" in lines[1].text
        and cells.folded
    )
    assert "| model | generator | discriminator | network |" in found["parameters"]
    assert "| dcgan | 12 | 34 | - |" in found["parameters"] and "| cnn | - | - | 5 |" in found["parameters"]
    assert "loss" not in found["parameters"]
    assert "| torch | 2.9 |" in found["environment"] and "| precision | bf16 |" in found["environment"]
    assert "| 0 |" in found["cells"] and "1.5" in found["cells"] and "| 2026-01-02T03:04:05Z |" in found["cells"]
    assert "started" not in found["environment"] and "seed" not in found["environment"], "they are a cell's own"
    assert "author = {{The SNNL workbench authors}},\n  title" in lines[1].text
    assert "code abc},\n  year = {2026}\n}" in lines[1].text


def test_the_section_for_reviewers_tells_the_images_the_versions_and_code_that_was_changed(tmp_path):
    cell = dataclasses.replace(TRAIN, versions={"gans/dcgan": 3, "snnl_core": 1}, data="images:5184de4059d0")
    folder = finish(cell, tmp_path)
    (folder.path / "environment.json").write_text(json.dumps({"commit": "abc", "dirty": True}))
    cited, environment = section("snnl study x", "x/1f", Settings(), build_table([]), [folder]).items[1:4:2]
    assert "code abc-dirty}\n}" in cited.text
    text = environment.to_markdown()
    assert "| images | images 5184de4059d0 |" in text and "| versions | gans/dcgan 3; snnl_core 1 |" in text
    folder = finish(dataclasses.replace(TRAIN, data="images:5184de4059d0;digits-1f;made"), tmp_path)
    (folder.path / "environment.json").write_text(json.dumps({"commit": 12}))
    cited, environment = section("snnl study x", "x/1f", Settings(), build_table([]), [folder]).items[1:4:2]
    assert "code 12}\n}" in cited.text, "what a stranger's says may be anything"
    assert "| images | digits 1f; images 5184de4059d0; made |" in environment.to_markdown()


def test_a_picture_that_cannot_be_read_is_the_cells_fault_and_a_full_disk_is_not(tmp_path):
    """Pillow says of both that they are the system's."""
    telling = drawing._telling_of_strange_cells
    with pytest.raises(WorkbenchError, match="cannot be drawn from what its cells hold"), telling(tmp_path):
        raise UnidentifiedImageError("cannot identify image file")
    with pytest.raises(OSError, match="No space left"), telling(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_study_that_could_not_begin_leaves_nothing(places, monkeypatch):
    runs, _ = places
    plan = plan_study("x", Settings(), DATA, runs)
    reason = Failure("error", "no data")
    monkeypatch.setattr(schedule, "do", lambda folders, *_, **__: Outcome(broken={one.path: reason for one in folders}))
    with pytest.raises(WorkbenchError, match="no data"):
        study.run_study(plan, local={}, progress=False)
    assert not runs.exists()


def test_a_study_of_which_some_is_there_has_its_report_though_all_that_was_left_failed(places, monkeypatch):
    """And it teaches nothing of how long a study takes beside its cells."""
    runs, _ = places
    finish(TRAIN, runs)
    plan, reason, learned = plan_study("x", Settings(), DATA, runs), Failure("error", "no data"), []
    monkeypatch.setattr(schedule, "do", lambda folders, *_, **__: Outcome(broken={one.path: reason for one in folders}))
    result = study.run_study(plan, local={}, progress=False)
    assert result.cells == {"total": 2, "run": 0, "cached": 1, "failed": 1} and result.report.exists()
    assert not (plan.folder / "DONE").exists()
    other = made("train", "other", {"seed": 1})
    monkeypatch.setattr(study.timing, "learn", lambda runs, done, beside=None: learned.append(beside))
    outcome = Outcome(
        done=[layout.cell(runs, other.folder_name)], broken={layout.cell(runs, MEASURE.folder_name): reason}
    )
    monkeypatch.setattr(schedule, "do", lambda folders, *_, **__: (finish(other, runs), outcome)[1])
    study.run_study(plan_cells("x", Settings(), [MEASURE, other], runs), local={}, progress=False)
    assert learned == [None]


def test_a_report_is_drawn_by_who_holds_the_folder_and_without_what_killed_ones_left(places, monkeypatch):
    runs, _ = places
    finish(TRAIN, runs), finish(MEASURE, runs)
    plan, held = plan_study("x", Settings(), DATA, runs), []
    study.run_study(plan, local={})
    left = plan.folder / ".report.html.77.tmp"
    left.touch()

    def report(config, table, artifacts):
        held.append(locks.is_locked(plan.folder))
        return Report("Title", "Question?", [])

    monkeypatch.setattr(Module, "report", report)
    drawing.draw_study(plan.folder)
    assert held == [True] and not left.exists() and not locks.is_locked(plan.folder)


def test_a_study_that_lost_a_cell_is_not_done_any_more(places, monkeypatch):
    runs, _ = places
    train, _ = finish(TRAIN, runs), finish(MEASURE, runs)
    plan = plan_study("x", Settings(), DATA, runs)
    study.run_study(plan, local={})
    assert (plan.folder / "DONE").exists()
    (train.path / "DONE").unlink()
    drawing.draw_study(plan.folder)
    assert not (plan.folder / "DONE").exists()


def test_a_report_counts_as_failed_what_has_failed(places):
    """What was not done yet is absent, and has not failed."""
    runs, _ = places
    finish(TRAIN, runs)
    left = CellFolder.create(MEASURE, runs / "cells", {})
    folder = layout.study(runs, "x", "half")
    folder.mkdir(parents=True)
    write_json(folder / layout.CONFIG, {})
    write_json(folder / layout.PLAN, {"study": "x", "cells": [TRAIN.folder_name, MEASURE.folder_name]})
    result = drawing.draw_study(folder)
    assert result.cells == {"total": 2, "run": 0, "cached": 1, "failed": 0} and result.left == 1
    assert "not done yet" in (folder / "report.html").read_text(encoding="utf-8")
    keep_failure(left.path, Failure("error", "no luck"))
    assert drawing.draw_study(folder).cells["failed"] == 1
    assert "no luck" in (folder / "report.html").read_text(encoding="utf-8")


def measure_again(places, monkeypatch, *, published):
    """Plan and draw a study whose cells ship with the code, and of which a measurement has failed here."""
    runs, results = places
    finish(TRAIN, results), finish(MEASURE, results)
    failed = CellFolder.create(MEASURE, runs / "cells", {})
    keep_failure(failed.path, Failure("error", "no luck"))
    monkeypatch.setattr(schedule, "do", lambda folders, *_, **__: Outcome(done=[finish(TRAIN, runs).path]))
    plan = plan_study("x", Settings(), DATA, runs, published=published)
    study.run_study(plan, local={}, progress=False)
    return plan.folder, drawing.draw_study(plan.folder)


def test_what_ships_takes_no_place_of_a_failure_where_it_was_not_asked_for(places, monkeypatch):
    folder, result = measure_again(places, monkeypatch, published=False)
    assert result.failed == {MEASURE.folder_name: "no luck"} and not (folder / "DONE").exists()
    assert "no luck" in (folder / "report.html").read_text(encoding="utf-8")


def test_what_ships_is_in_a_report_where_it_was_asked_for_also_after_a_failure(places, monkeypatch):
    folder, result = measure_again(places, monkeypatch, published=True)
    assert result.cells == {"total": 2, "run": 0, "cached": 2, "failed": 0} and (folder / "DONE").exists()


def test_of_an_older_plan_all_that_ships_will_do(places, monkeypatch):
    folder, _ = measure_again(places, monkeypatch, published=False)
    plan = read_object(folder / layout.PLAN)
    write_json(folder / layout.PLAN, {key: value for key, value in plan.items() if key != "published"})
    assert drawing.draw_study(folder).cells["cached"] == 2


def test_a_study_is_at_work_from_its_plan_to_its_report(places, monkeypatch):
    """Two commands at once; neither the study nor a cell of it can be removed until both have ended."""
    runs, _ = places
    plan, seen = plan_study("x", Settings(), DATA, runs), []

    def look(folders, *_, **__):
        seen.append(Runs(runs).state(Runs(runs).get(plan.folder)))
        for folder in (plan.folder, folders[0].path):
            with pytest.raises(WorkbenchError, match=r"is at work|is needed by x/"):
                to_remove(Runs(runs), [folder])
        if len(seen) == 1:
            study.run_study(plan, local={}, progress=False)
            seen.append(Runs(runs).state(Runs(runs).get(plan.folder)))
        return Outcome(done=[finish(cell, runs).path for cell in (TRAIN, MEASURE)])

    monkeypatch.setattr(schedule, "do", look)
    study.run_study(plan, local={}, progress=False)
    assert seen == ["running"] * 3
    assert Runs(runs).state(Runs(runs).get(plan.folder)) == "done"
    assert len(to_remove(Runs(runs), [plan.folder])) == 3


def test_a_study_whose_folder_was_removed_meanwhile_says_so_and_keeps_its_cells(places, monkeypatch):
    runs, _ = places
    plan = plan_study("x", Settings(), DATA, runs)

    def loses_its_folder(folders, *_, **__):
        shutil.rmtree(plan.folder)
        return Outcome(done=[finish(cell, runs).path for cell in (TRAIN, MEASURE)])

    monkeypatch.setattr(schedule, "do", loses_its_folder)
    with pytest.raises(WorkbenchError, match=r"x/\w+ has been removed or moved meanwhile"):
        study.run_study(plan, local={}, progress=False)
    assert len(Runs(runs).cells) == 2


def test_a_damaged_cell_costs_no_more_than_itself_and_what_needs_it(places, monkeypatch):
    """One that is not finished, whose settings were torn: the others are done."""
    runs, _ = places
    alone = made("train", "alone", {"seed": 1, "device": "cpu"})
    cells = [TRAIN, MEASURE, alone]
    torn = CellFolder.create(TRAIN, runs / "cells", {}).path
    (torn / "config.json").write_text("{")
    monkeypatch.setattr(schedule, "do", lambda folders, *_, **__: Outcome(done=[finish(alone, runs).path]))
    plan = Plan("x", Settings(), runs, [Planned(cell, "to do") for cell in cells])
    result = study.run_study(plan, local={}, progress=False)
    assert "no readable config.json" in result.failed[torn.name] and result.cells["run"] == 1
    page = (plan.folder / "report.html").read_text(encoding="utf-8")
    assert f"{torn.name}: {torn} is no cell" in page


def test_what_no_report_can_be_drawn_from_is_told_in_one_line(places, monkeypatch):
    runs, _ = places
    finish(TRAIN, runs), finish(MEASURE, runs)
    plan = plan_study("x", Settings(), DATA, runs)
    monkeypatch.setattr(Module, "report", lambda config, table, artifacts: {}["coordinates"])
    with pytest.raises(WorkbenchError, match=r"cannot be drawn from what its cells hold \(KeyError: 'coordinates'\)"):
        study.run_study(plan, local={})


@pytest.mark.parametrize("left", [False, True])
def test_a_study_is_left_in_the_queue_unless_nothing_could_be_put_there(places, monkeypatch, left):
    runs, _ = places
    plan = plan_study("study", Settings(), DATA, runs)
    refused = Failure("error", "sbatch says: Invalid account")
    paths = [layout.cell(runs, cell.folder_name) for cell in plan.to_do]
    outcome = Outcome(broken={paths[0]: refused}, left=paths[1:] if left else [])
    monkeypatch.setattr(study, "do_cells", lambda plan, **more: outcome)
    if left:
        assert study.queue_study(plan, local={}, place=study.SLOTS) is outcome and layout.is_study(plan.folder)
        return
    with pytest.raises(WorkbenchError, match="Invalid account"):
        study.queue_study(plan, local={}, place=study.SLOTS)
    assert not runs.exists()
