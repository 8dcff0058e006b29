"""What lies in a runs folder, and removing what nobody needs."""

import errno
import json
import os
import shutil
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from filelock import FileLock
from making import made
from PIL import Image

from lab import locks
from lab.cells import layout, removal
from lab.cells.export import export
from lab.cells.folder import CellFolder
from lab.cells.fresh import dropped_if_bare
from lab.cells.runs import Run, Runs, show_run, size_text
from lab.errors import UsageError, WorkbenchError
from lab.registry import ROOT
from lab.running import slurm

TRAIN = made("train", "train", {"seed": 0})
OTHER = made("train", "other", {"seed": 1})
MEASURE = made("measure", "measure", {"n": 1}, needs=(TRAIN,))
EMBED = made("embed", "embed", {"points": 3}, needs=(TRAIN,))


@pytest.fixture
def runs(tmp_path):
    """A folder with two studies: `one` needs all but OTHER, `two` TRAIN, EMBED and OTHER; TRAIN and EMBED are done."""
    root = tmp_path / "runs"
    for cell in (TRAIN, OTHER, MEASURE, EMBED):
        made = CellFolder.create(cell, root / "cells", {"data": str(tmp_path), "download": False})
        made.row(metric="m", value=1.0)
    for cell in (TRAIN, EMBED):
        CellFolder(root / "cells" / cell.folder_name).mark_done(2.0)
    study(root, "s/one", TRAIN, MEASURE, EMBED)
    study(root, "s/two", TRAIN, EMBED, OTHER)
    return root


def study(root, name, *cells):
    folder = root / "studies" / name
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"study": "s", "cells": [cell.folder_name for cell in cells]}))
    (folder / "config.json").write_text('{"seeds": 2}')
    return folder


def place(runs, cell):
    return runs / "cells" / cell.folder_name


def taken(runs, *folders):
    return [run.path.name.rpartition("-")[0] or run.name for run in removal.to_remove(Runs(runs), folders)]


def listed(runs):
    found = Runs(runs)
    return [found.summary(run) for run in found.all]


def states(runs):
    return {run["name"].rpartition("-")[0] or run["name"]: run["state"] for run in listed(runs)}


def test_states(runs):
    assert states(runs) == {
        "s/one": "unfinished",
        "s/two": "unfinished",
        "train": "done",
        "embed": "done",
        "measure": "unfinished",
        "other": "unfinished",
    }
    (place(runs, OTHER) / "FAILED").write_text("no luck")
    (runs / "studies" / "s" / "one" / "DONE").write_text("{}")
    with FileLock(place(runs, MEASURE) / "lock"):
        now = states(runs)
    assert (now["measure"], now["other"], now["s/one"], now["s/two"]) == ("running", "failed", "done", "failed")
    (place(runs, OTHER) / "config.json").write_text('{"format"')
    assert states(runs)["other"] == "unreadable" and states(runs)["measure"] == "unfinished"
    assert listed(runs / "nowhere") == []


def test_age_and_size(runs):
    folder = place(runs, TRAIN)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    (folder / "more").write_bytes(b"x" * 5000)
    os.utime(folder / "more", (1.5e9, 1.5e9))
    run = next(run for run in listed(runs) if run["folder"] == str(folder))
    assert run["size"] == sum(path.stat().st_size for path in folder.iterdir()) > 5000
    assert run["age"] == pytest.approx(time.time() - 1.5e9, abs=60)
    assert [size_text(n) for n in (0, 999, 1000, 1_440_000, 3e15)] == ["0 B", "999 B", "1.0 kB", "1.4 MB", "3000.0 TB"]


def test_a_cell_is_shown(runs):
    (place(runs, MEASURE) / "FAILED").write_text('{"kind": "error", "message": "no luck"}')
    CellFolder(place(runs, MEASURE)).event("progress", done=1, total=2, text="half way")
    shown = show_run(place(runs, MEASURE))
    assert (shown["state"], shown["failure"], shown["rows"], shown["progress"]) == ("failed", "no luck", 1, "half way")
    assert shown["settings"] == {"n": 1} and shown["needs"] == {TRAIN.folder_name: "done"}
    assert shown["needed_by"] == ["s/one"] and shown["files"]["FAILED"] > 7
    needed = show_run(place(runs, TRAIN))
    assert needed["needed_by"] == ["s/one", "s/two", EMBED.folder_name, MEASURE.folder_name]
    json.dumps(shown, allow_nan=False)


def test_a_study_is_shown(runs):
    shown = show_run(runs / "studies" / "s" / "two")
    assert shown["settings"] == {"seeds": 2} and shown["state"] == "unfinished"
    assert shown["needs"] == {TRAIN.folder_name: "done", EMBED.folder_name: "done", OTHER.folder_name: "unfinished"}
    for folder in (runs, runs / "cells", runs.parent):
        with pytest.raises(UsageError, match="no study's or cell's folder"):
            show_run(folder)


def test_a_folder_too_near_the_root_of_the_file_system_is_no_run():
    with pytest.raises(UsageError, match="no study's or cell's folder"):
        show_run(Path("/"))
    assert [str(layout.root_of(Path(path))) for path in ("/", "/a", "/a/b", "/a/b/c")] == ["/", "/", "/", "/a"]


def test_a_study_goes_with_the_cells_that_only_it_needs(runs):
    assert taken(runs, runs / "studies" / "s" / "one") == ["s/one", "measure"]
    assert taken(runs, runs / "studies" / "s" / "two") == ["s/two", "other"]
    both = taken(runs, *(runs / "studies" / "s").iterdir())
    assert set(both[:2]) == {"s/one", "s/two"} and set(both[2:4]) <= {"measure", "embed", "other"}
    assert both[-1] in {"train", "other"} and both.index("train") > max(both.index("measure"), both.index("embed"))


def test_what_a_cell_outside_the_study_reads_is_kept(runs):
    extra = made("measure", "extra", {"n": 2}, needs=(OTHER,))
    CellFolder.create(extra, runs / "cells", {})
    assert taken(runs, runs / "studies" / "s" / "two") == ["s/two"]
    assert taken(runs, runs / "studies" / "s" / "two", place(runs, extra)) == ["s/two", "extra", "other"]


@pytest.mark.parametrize("cell, needer", [(TRAIN, "s/one"), (EMBED, "s/one"), (OTHER, "s/two")])
def test_a_needed_cell_is_refused_and_the_needer_named(runs, cell, needer):
    with pytest.raises(WorkbenchError, match=f"{cell.folder_name} is needed by {needer}"):
        taken(runs, place(runs, cell))


@pytest.mark.parametrize("mark", ["cells/{}/config.json", "studies/s/two/plan.json"])
def test_cells_are_kept_where_something_unreadable_may_need_them(runs, mark):
    """The cell or study may be another version's, or torn."""
    unreadable = runs / mark.format(EMBED.folder_name)
    unreadable.write_text('{"format"')
    name = next(run.name for run in Runs(runs).all if run.path == unreadable.parent)
    with pytest.raises(WorkbenchError, match=f"{name} cannot be read, and may need .*: remove that"):
        taken(runs, runs / "studies" / "s" / "one")
    assert "measure" in taken(runs, *(runs / "studies" / "s").iterdir(), unreadable.parent)
    other = study(runs, "s/three")
    assert taken(runs, other) == ["s/three"], "it takes no cell"


@pytest.fixture
def close(monkeypatch):
    """Closes a folder to this user, as `chmod` does unless that is root."""

    def closing(folder):
        for name in ("listdir", "lstat", "scandir", "stat"):
            monkeypatch.setattr(os, name, refusing(getattr(os, name), folder, name in ("listdir", "scandir")))

    return closing


def refusing(function, folder, too):
    def refuse(path=".", **options):
        if folder in Path(path).parents or (too and Path(path) == folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return function(path, **options)

    return refuse


@pytest.mark.parametrize("where, name", [("cells/{}", EMBED.folder_name), ("studies/s/two", "s/two")])
def test_a_folder_that_another_user_has_closed_is_told_of_and_cells_that_it_may_need_are_kept(runs, close, where, name):
    close(runs / where.format(EMBED.folder_name))
    assert {run["name"]: run["state"] for run in listed(runs)}[name] == "unreadable"
    with pytest.raises(WorkbenchError, match=f"{name} cannot be read, and may need .*: remove that"):
        taken(runs, runs / "studies" / "s" / "one")
    assert slurm.live(run.path for run in Runs(runs).all) == {}


@pytest.mark.parametrize("where", ["cells", "studies", "studies/s"])
def test_where_the_runs_of_a_kind_cannot_be_listed_there_is_an_error_and_no_shorter_list(runs, close, where):
    close(runs / where)
    with pytest.raises(PermissionError, match=where):
        Runs(runs)


def test_a_failure_is_told_beside_studies_that_another_user_has_closed(runs, close):
    close(runs / "studies")
    new = runs / "cells" / "new"
    with pytest.raises(ZeroDivisionError), dropped_if_bare([new]):
        new.mkdir()
        raise ZeroDivisionError
    assert new.exists(), "one of them may want it"


@pytest.mark.parametrize("by_name", [False, True])
def test_what_is_looked_at_grows_no_faster_than_the_study_that_is_removed(tmp_path, monkeypatch, by_name):
    """A study of 10,000 cells, or all its folders by name, would take minutes if each were compared with each."""
    cells = [made(label=f"c{number}") for number in range(40)]
    for cell in cells:
        CellFolder.create(cell, tmp_path / "cells", {})
    folder = study(tmp_path, "s/many", *cells)
    found, looks = Runs(tmp_path), []
    for kind, name in ((Run, "needs"), (Run, "__eq__"), (Path, "resolve")):
        monkeypatch.setattr(kind, name, counted(getattr(kind, name, None), name, looks), raising=False)
    named = [run.path for run in found.all] if by_name else [folder]
    assert len(removal.to_remove(found, named)) == 41
    assert len(looks) < 10 * 41


def counted(known, name, looks):
    """An attribute or a method of a class that notes each look."""
    if known is None:
        return property(lambda thing: looks.append(name) or vars(thing)[name])

    def call(thing, *others):
        looks.append(name)
        return known(thing, *others)

    return call


def test_a_cell_at_work_is_refused(runs):
    with FileLock(place(runs, MEASURE) / "lock"), pytest.raises(WorkbenchError, match="is at work: stop that first"):
        taken(runs, runs / "studies" / "s" / "one")
    found = removal.to_remove(Runs(runs), [runs / "studies" / "s" / "one"])
    with FileLock(place(runs, MEASURE) / "lock"), pytest.raises(WorkbenchError, match="taken up meanwhile"):
        removal.remove(runs, found)
    assert (place(runs, MEASURE) / "rows.jsonl").exists()


def test_a_study_at_work_is_running_and_is_kept_with_its_cells(runs):
    """Even if none of its cells is: it may be between two of them."""
    one, two = (runs / "studies" / "s" / name for name in ("one", "two"))
    found = removal.to_remove(Runs(runs), [one])
    with locks.at_work(one):
        assert states(runs)["s/one"] == "running" and states(runs)["s/two"] == "unfinished"
        (one / "DONE").write_text("{}")
        assert states(runs)["s/one"] == "running", "it is drawn anew"
        for folders in ([one], [one, two], [one, place(runs, MEASURE)]):
            with pytest.raises(WorkbenchError, match="s/one is at work: stop that first"):
                taken(runs, *folders)
        with pytest.raises(WorkbenchError, match=f"{MEASURE.folder_name} is needed by s/one"):
            taken(runs, place(runs, MEASURE))
        with pytest.raises(WorkbenchError, match="s/one has been taken up meanwhile"):
            removal.remove(runs, found)
    assert states(runs)["s/one"] == "done" and place(runs, MEASURE).exists()


def test_what_is_needed_only_since_the_look_is_kept(runs):
    """Whoever is asked whether to remove takes their time."""
    found = removal.to_remove(Runs(runs), [runs / "studies" / "s" / "one"])
    study(runs, "s/three", MEASURE)
    with pytest.raises(WorkbenchError, match=f"{MEASURE.folder_name} is needed by s/three"):
        removal.remove(runs, found)
    assert states(runs).keys() >= {"s/one", "measure"}


@pytest.mark.parametrize("meanwhile", [shutil.rmtree, lambda folder: (folder / "events.jsonl").touch()])
def test_what_others_remove_or_look_at_meanwhile_is_no_error(runs, monkeypatch, meanwhile):
    found, empty = removal.to_remove(Runs(runs), [runs / "studies" / "s" / "one"]), removal._empty
    monkeypatch.setattr(removal, "_empty", lambda run: (empty(run), meanwhile(run.path)))
    removal.remove(runs, found)
    monkeypatch.undo()
    removal.remove(runs, found)
    assert not {"s/one", "measure"} & states(runs).keys()


def test_a_folder_that_stays_is_told_of(runs, monkeypatch):
    found = removal.to_remove(Runs(runs), [runs / "studies" / "s" / "one"])
    monkeypatch.setattr(Path, "rmdir", Mock(side_effect=PermissionError))
    with pytest.raises(PermissionError):
        removal.remove(runs, found)


def test_only_folders_of_runs_are_taken(runs, tmp_path):
    stranger = tmp_path / "elsewhere" / "cells" / "x"
    stranger.mkdir(parents=True)
    (stranger / "config.json").write_text((place(runs, OTHER) / "config.json").read_text())
    (runs / "cells" / "link").symlink_to(stranger)
    (runs / "cells" / "junk").mkdir()
    inside = place(runs, TRAIN) / "samples"
    inside.mkdir()
    for folder in (stranger, runs / "cells" / "link", runs / "cells" / "junk", inside, runs, runs / "cells", tmp_path):
        with pytest.raises(UsageError, match="no study's or cell's folder"):
            taken(runs, folder)


def test_removing_removes_just_that(runs, tmp_path):
    outside = tmp_path / "kept.txt"
    outside.write_text("kept")
    samples = place(runs, MEASURE) / "samples"
    samples.mkdir()
    (samples / "link").symlink_to(outside)
    (samples / "folder").symlink_to(tmp_path, target_is_directory=True)
    removal.remove(runs, removal.to_remove(Runs(runs), [runs / "studies" / "s" / "one"]))
    assert states(runs).keys() == {"s/two", "train", "embed", "other"} and outside.read_text() == "kept"
    removal.remove(runs, removal.to_remove(Runs(runs), [runs / "studies" / "s" / "two"]))
    assert not any(runs.glob("cells/*")) and not (runs / "studies" / "s").exists()


def test_a_removal_that_is_cut_off_leaves_nothing_that_counts_as_done(runs, monkeypatch):
    both = [runs / "studies" / "s" / name for name in ("one", "two")]

    def dies(path):
        raise KeyboardInterrupt

    (place(runs, EMBED) / "samples").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            removal.remove(runs, removal.to_remove(Runs(runs), both))
    assert states(runs)["embed"] == "unfinished"
    left = removal.to_remove(Runs(runs), [run.path for run in Runs(runs).all])
    removal.remove(runs, left)
    assert not Runs(runs).all


def test_a_removal_that_is_cut_off_at_its_first_file_has_taken_the_mark_before(tmp_path, monkeypatch):
    """Whichever file the system names first."""
    alone, whole = (CellFolder.create(cell, tmp_path / "cells", {}) for cell in (OTHER, TRAIN))
    for cell in (alone, whole):
        cell.mark_done(2.0)
    layout.mark(study(tmp_path, "s/one", TRAIN), {})
    for folder in (alone.path, tmp_path / "studies" / "s" / "one"):
        taken = removal.to_remove(Runs(tmp_path), [folder])
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("lab.files.remove", lambda path: raises(KeyboardInterrupt))
            removal.remove(tmp_path, taken)
        assert not layout.is_done(folder) and [*folder.iterdir()]


def raises(error):
    raise error


def test_a_single_finished_cell_is_exported_without_weights(runs, tmp_path):
    folder = place(runs, TRAIN)
    for name in (
        "samples/a.png",
        "samples/.b.png.7.tmp",
        "x.npz",
        ".x.npz.7.tmp",
        "snapshots/w.safetensors",
        "checkpoints/o.pt",
        "trackers/snnl/events",
        "lock",
        "log.txt",
        "events.jsonl",
        "FAILED",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    np.savez(folder / "x.npz", x=np.zeros(2))
    Image.new("L", (4, 4)).save(folder / "samples" / "a.png")
    copied = export(folder, tmp_path / "kept")
    assert copied == tmp_path / "kept" / "cells" / TRAIN.folder_name
    files = {str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file()}
    assert files == {"config.json", "rows.jsonl", "DONE", "samples/a.png", "x.npz"}
    assert CellFolder(copied).record == {**CellFolder(folder).record, "local": {}}
    with pytest.raises(WorkbenchError, match="is not finished"):
        export(place(runs, OTHER), tmp_path / "kept")
    with pytest.raises(UsageError, match="no study's folder and no cell's"):
        export(runs, tmp_path / "kept")


def test_an_export_writes_nothing_outside_of_its_target(runs, tmp_path):
    """A link there in the place of a cell, or of a folder of it, is not followed; the target itself may be one."""
    samples = place(runs, TRAIN) / "samples"
    samples.mkdir()
    Image.new("L", (4, 4)).save(samples / "a.png")
    before = {path.relative_to(place(runs, OTHER)): path.read_bytes() for path in place(runs, OTHER).iterdir()}
    (tmp_path / "kept").mkdir()
    (tmp_path / "target").symlink_to(tmp_path / "kept")
    copied = tmp_path / "kept" / "cells" / TRAIN.folder_name
    copied.parent.mkdir()
    copied.symlink_to(place(runs, OTHER))
    with pytest.raises(WorkbenchError, match="is a link, and is not followed"):
        export(place(runs, TRAIN), tmp_path / "target")
    copied.unlink()
    copied.mkdir()
    (copied / "config.json").write_text("{}")
    (copied / "samples").symlink_to(place(runs, OTHER))
    with pytest.raises(WorkbenchError, match="samples is a link, and is not followed"):
        export(place(runs, TRAIN), tmp_path / "target")
    (copied / "samples").unlink()
    assert export(place(runs, TRAIN), tmp_path / "target") == tmp_path / "target" / "cells" / TRAIN.folder_name
    assert (copied / "samples" / "a.png").is_file() and not (copied / "samples").is_symlink()
    assert before == {path.relative_to(place(runs, OTHER)): path.read_bytes() for path in place(runs, OTHER).iterdir()}


def test_published_results_are_what_export_leaves(tmp_path):
    """Exporting them once more changes no byte."""
    published = ROOT / "results"
    for folder in sorted(published.glob("studies/*/*")):
        export(folder, tmp_path)
    left = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    drawn = ("report.html", "rows.csv", "figures", "tables")
    kept = {
        path.relative_to(published): path.read_bytes()
        for place in ("cells", "studies")
        for path in (published / place).rglob("*")
        if path.is_file() and not any(part in drawn for part in path.relative_to(published).parts)
    }
    assert left.keys() == kept.keys() and left == kept


def test_a_runs_folder_may_have_any_name(runs):
    other = runs.rename(runs.parent / "studies")
    assert show_run(place(other, TRAIN))["state"] == "done"
    assert show_run(other / "studies" / "s" / "two")["kind"] == "study"


def test_a_file_that_vanishes_while_runs_are_listed(runs, monkeypatch):
    """A cell at work renames and removes files all the time."""
    lstat = Path.lstat

    def late(path):
        if path.name == "rows.jsonl":
            raise FileNotFoundError(path)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", late)
    assert len(listed(runs)) == 6
