"""The folder of a search: people may name any, and nothing of theirs in it is touched; what lies elsewhere is found."""

import json
import os
import shutil
from contextlib import ExitStack

import pytest
from searching import Settings, run

from lab.cells import layout
from lab.cells.export import export
from lab.cells.fresh import dropped_if_bare
from lab.cells.record import read_search
from lab.cells.removal import remove, to_remove
from lab.cells.runs import Runs, show_run
from lab.errors import UsageError, WorkbenchError
from lab.studying.search_folder import entered

pytestmark = pytest.mark.usefixtures("importable", "in_this_process")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_no_searchs_own_stays(tmp_path):
    """Whatever it is called, and wherever below: half-written files of cells at work are among it."""
    mine = tmp_path / "mine"
    checkpoint = mine / "runs" / "cells" / "gan-0" / "checkpoints" / ".step-00000003.tmp"
    for path in (mine / "sub", mine / ".work.tmp", mine / ".trials.csv.7.tmp", checkpoint):
        path.mkdir(parents=True)
    theirs = ["sub/.notes.tmp", ".work.tmp/data", ".notes.7.tmp", ".search.json.old.tmp", ".trials.csv.7.tmp/x"]
    for name in [*theirs, "sub/.search.json.7.tmp", "config.json", "notes.csv", f"{checkpoint.relative_to(mine)}/w"]:
        (mine / name).write_text(name)
    before = files(mine)
    for name in (".search.json.7.tmp", ".trials.csv.7-0123abcd.tmp", ".preset.json.9.tmp", ".DONE.1.tmp"):
        (mine / name).write_text("half")
    found = run(tmp_path / "runs", trials=2, folder=mine)
    assert len(found.trials) == 2
    own = {"search.json", "journal.log", "trials.csv", "preset.json", "DONE"}
    assert files(mine) == {**before, **{name: (mine / name).read_bytes() for name in own}}


@pytest.mark.parametrize("lock", ["", "mine"])
def test_a_look_at_a_folder_with_a_search_removes_nothing_and_tells_of_its_own_alone(tmp_path, lock):
    """Files that are called as the locks of commands are people's, too."""
    mine = tmp_path / "mine"
    run(tmp_path / "runs", trials=1, folder=mine)
    own = {name: len(data) for name, data in files(mine).items()}
    for name in ("at-work-notes", "at-work-1", "data.bin", "sub/data.bin"):
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / name).write_text("x" * 10_000)
    (mine / "lock").write_text(lock)
    before = files(mine)
    shown = show_run(mine)
    assert files(mine) == before and shown["state"] == "done"
    assert shown["files"] == {**own, "lock": len(lock)} and shown["size"] == sum(own.values()) + len(lock)


def test_a_search_with_a_command_in_its_folder_is_running(tmp_path):
    seen = []
    run(tmp_path / "runs", trials=1, folder=tmp_path / "mine", say=lambda _: seen.append(show_run(tmp_path / "mine")))
    assert [shown["state"] for shown in seen] == ["running"]


def test_a_search_with_a_worker_in_its_folder_is_running_and_stays(tmp_path):
    """Between two trials, too, when none of its cells is at work."""
    folder = run(tmp_path / "runs", trials=1).folder
    (folder / "at-work-2").write_text("mine")
    found = to_remove(Runs(tmp_path / "runs"), [folder])
    with entered(folder, named=False, alone=False):
        runs = Runs(tmp_path / "runs")
        assert runs.state(runs.get(folder)) == "running"
        with pytest.raises(WorkbenchError, match="is at work: stop that first"):
            to_remove(runs, [folder])
        with pytest.raises(WorkbenchError, match="has been taken up meanwhile"):
            remove(tmp_path / "runs", found)
        assert layout.is_done(folder)
    assert (folder / "at-work-2").read_text() == "mine"


def test_links_of_peoples_are_nothing_to_a_search_and_its_own_files_are_none(tmp_path):
    """A virtual environment has some."""
    mine = tmp_path / "mine"
    (mine / "venv" / "bin").mkdir(parents=True)
    (mine / "venv" / "bin" / "python").symlink_to("/usr/bin/python3")
    (mine / "latest").symlink_to("venv")
    if hasattr(os, "mkfifo"):
        os.mkfifo(mine / "pipe")
    found = run(tmp_path / "runs", trials=1, folder=mine)
    assert read_search(mine).study == "parabola" and show_run(mine)["state"] == "done"
    assert export(mine, tmp_path / "kept").is_dir() and len(found.trials) == 1
    for name in ("search.json", "journal.log", "trials.csv", "preset.json", "DONE", "lock"):
        data = (mine / name).read_bytes() if (mine / name).exists() else b""
        (mine / name).unlink(missing_ok=True)
        (tmp_path / "outside").write_bytes(data)
        (mine / name).symlink_to(tmp_path / "outside")
        with pytest.raises(WorkbenchError, match=rf"{name} is a link, and is not followed"):
            read_search(mine)
        with pytest.raises(WorkbenchError, match=rf"{name} is a link, and is not followed"):
            run(tmp_path / "runs", trials=2, folder=mine)
        (mine / name).unlink()
        if name != "lock":
            (mine / name).write_bytes(data)
    assert len(run(tmp_path / "runs", trials=2, folder=mine).trials) == 2


@pytest.mark.parametrize("storage", [False, True])
@pytest.mark.parametrize("name", ["search.json", "journal.log", "trials.csv", "preset.json", "DONE", "lock"])
@pytest.mark.parametrize("kind", ["text", "object", "folder"])
def test_a_folder_with_a_file_of_a_searchs_name_is_refused_as_it_is(tmp_path, name, kind, storage):
    mine = tmp_path / "mine"
    mine.mkdir()
    if kind == "folder":
        (mine / name).mkdir()
        (mine / name / "data").write_text("mine")
    else:
        (mine / name).write_text('{"mine": 1}' if kind == "object" else "mine, without a line's end")
    before = files(mine)
    more = {"storage": f"sqlite:///{tmp_path / 'trials.db'}"} if storage else {}
    with pytest.raises(UsageError, match=rf"mine/{name} is there, and is no search's: .*another folder"):
        run(tmp_path / "runs", trials=1, folder=mine, **more)
    assert files(mine) == before and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("journal", [b"", b'{"op_', b'{"op_code":0,"worker_id":"x'])
def test_a_search_that_was_killed_at_its_very_beginning_goes_on(tmp_path, journal):
    """Its lock is left, and its journal was begun."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "lock").touch()
    (tmp_path / "mine" / "journal.log").write_bytes(journal)
    whole = run(tmp_path / "whole", trials=2)
    assert run(tmp_path / "runs", trials=2, folder=tmp_path / "mine").trials == whole.trials


@pytest.mark.parametrize("name", ["journal.log", "journal.log.lock", "lock", "trials.csv"])
def test_in_a_folder_with_a_search_too_a_file_of_peoples_is_refused_as_it_is(tmp_path, name):
    """One that cannot be the search's by what is in it: a folder, or what no journal and no lock has."""
    mine, where = tmp_path / "mine", {"runs": tmp_path / "runs", "folder": tmp_path / "mine"}
    run(trials=1, storage=f"sqlite:///{tmp_path / 'trials.db'}", **where)
    if name == "trials.csv":
        (mine / name).unlink()
        (mine / name).mkdir()
    else:
        (mine / name).write_text("mine, without a line's end")
    before = files(mine)
    with pytest.raises(UsageError, match=rf"mine/{name} is there, and is no search's: move it"):
        run(trials=2, **where)
    assert files(mine) == before


def test_several_may_be_in_a_folder_at_once_but_where_they_share_it_nothing_is_cleared_away(tmp_path):
    (tmp_path / ".search.json.7.tmp").write_text("another is writing")
    with entered(tmp_path, named=True, alone=False), entered(tmp_path, named=True, alone=False):
        assert (tmp_path / ".search.json.7.tmp").exists()


@pytest.mark.parametrize("named", [False, True])
def test_a_worker_that_fails_takes_no_folder_from_another_that_began_at_the_same_time(tmp_path, named):
    folder, other = tmp_path / "mine", ExitStack()
    with other, pytest.raises(ZeroDivisionError), dropped_if_bare([folder]):
        other.enter_context(entered(folder, named=named, alone=False))
        (folder / "search.json").write_text("{}")
        with entered(folder, named=False, alone=False):
            raise ZeroDivisionError
    assert files(folder) == {"search.json": b"{}"}


def test_a_file_of_peoples_that_is_called_as_the_mark_of_a_command_at_work_is_refused_as_it_is(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "at-work-1").write_text("mine")
    with pytest.raises(UsageError, match="mine/at-work-1 is there, and is no search's: move it"):
        run(tmp_path / "runs", trials=1, folder=tmp_path / "mine", storage=f"sqlite:///{tmp_path / 'trials.db'}")
    assert files(tmp_path / "mine") == {"at-work-1": b"mine"}
    assert len(run(tmp_path / "runs", trials=1, folder=tmp_path / "mine").trials) == 1, "alone it makes no such mark"


# What lies elsewhere than in its folder of runs.


@pytest.fixture(params=["mysearch", "my/own", "searches/of/mine", "runs/searches/deep/down/mine", "runs/mine"])
def elsewhere(request, tmp_path):
    """A search of two trials in a folder of people's choice in `s`, whose cells are in `s/runs`."""
    run(tmp_path / "s" / "runs", trials=2, folder=tmp_path / "s" / request.param)
    return tmp_path / "s" / request.param


def test_a_search_elsewhere_is_shown_with_its_cells(elsewhere, tmp_path):
    shown = show_run(elsewhere)
    assert (shown["kind"], shown["state"]) == ("search", "done") and list(shown["needs"].values()) == ["done"] * 2
    assert shown["runs"] == str(tmp_path / "s" / "runs")
    cell = show_run(tmp_path / "s" / "runs" / "cells" / next(iter(shown["needs"])))
    assert cell["kind"] == "cell" and cell["needed_by"] == [], "it cannot be known there"


def test_a_search_elsewhere_is_exported_with_its_cells_and_goes_on_from_the_copy(elsewhere, tmp_path):
    said = []
    copied = export(elsewhere, tmp_path / "kept", said.append)
    assert copied == tmp_path / "kept" / "searches" / elsewhere.parent.name / elsewhere.name
    assert said == [f"{elsewhere} has its cells in {tmp_path}/s/runs."], "a stranger's may name any folder"
    assert len([*(tmp_path / "kept" / "cells").iterdir()]) == 2
    assert not [text for text in files(tmp_path / "kept").values() if str(tmp_path).encode() in text or b".." in text]
    shutil.rmtree(tmp_path / "s")
    assert list(show_run(copied)["needs"].values()) == ["done"] * 2
    again = run(tmp_path / "kept", trials=2, folder=copied)
    assert len(again.trials) == 2 and len([*(tmp_path / "kept" / "cells").iterdir()]) == 2


def test_a_copy_replaces_no_other_search_whose_folder_is_called_the_same(tmp_path):
    one, other = (tmp_path / place / "searches" / "mine" for place in "ab")
    run(tmp_path / "runs", trials=1, folder=one)
    run(tmp_path / "runs", trials=1, folder=other, config=Settings(peak=0.2))
    export(one, tmp_path / "kept")
    before = files(tmp_path / "kept")
    with pytest.raises(WorkbenchError, match="kept/searches/searches/mine holds another search"):
        export(other, tmp_path / "kept")
    assert files(tmp_path / "kept") == before
    plan = tmp_path / "kept" / "searches" / "searches" / "mine" / "search.json"
    known = json.loads(plan.read_text())
    plan.write_text(json.dumps({name: known[name] for name in ("study", "cells")}))  # as an older version wrote it
    run(tmp_path / "runs", trials=2, folder=one)
    export(one, tmp_path / "kept")
    assert len([*(tmp_path / "kept" / "cells").iterdir()]) == 2, "the same one is copied anew when it has gone on"


def test_what_is_copied_is_known_where_everything_moved_together(elsewhere, tmp_path):
    moved = (tmp_path / "s").rename(tmp_path / "t") / elsewhere.relative_to(tmp_path / "s")
    assert layout.root_of(moved) == tmp_path / "t" / "runs"
    assert list(show_run(moved)["needs"].values()) == ["done"] * 2


def test_a_search_that_moved_alone_is_told_of_and_mended_by_the_same_command(elsewhere, tmp_path):
    moved, said, runs = elsewhere.rename(tmp_path / "away"), [], tmp_path / "s" / "runs"
    assert list(show_run(moved)["needs"].values()) == ["not there"] * 2
    export(moved, tmp_path / "kept", said.append)
    line = said[-1]
    assert line.startswith("0 of 2 cells are copied. Of those in ") and line.endswith("/cells, not there: 2.")
    run(runs, trials=2, folder=moved)
    assert list(show_run(moved)["needs"].values()) == ["done"] * 2


def test_a_search_in_its_own_place_says_nothing_of_places(tmp_path):
    """It moves as it likes."""
    found = run(tmp_path / "runs", trials=1)
    assert set(json.loads((found.folder / "search.json").read_text())) == {"study", "cells", "identity"}
    assert "runs" not in json.loads((export(found.folder, tmp_path / "kept") / "search.json").read_text())


def test_an_export_says_what_it_leaves_out(tmp_path):
    found, said = run(tmp_path / "runs", trials=3), []
    one, other, _ = sorted((tmp_path / "runs" / "cells").iterdir())
    (one / "DONE").unlink()
    shutil.rmtree(other)
    export(found.folder, tmp_path / "kept", said.append)
    assert said == [f"1 of 3 cells are copied. Of those in {tmp_path}/runs/cells, not finished: 1, not there: 1."]


def test_a_search_elsewhere_is_not_removed_with_what_people_have_there(elsewhere, tmp_path):
    known = {one.path for one in Runs(tmp_path / "s" / "runs").searches}
    assert elsewhere not in known
    with pytest.raises(UsageError, match="is no study's or cell's folder in"):
        to_remove(Runs(tmp_path / "s" / "runs"), [elsewhere])


def test_a_search_that_is_removed_leaves_what_people_put_beside_it(tmp_path):
    """The size that is told before is that of what goes."""
    alone, beside = (run(tmp_path / "runs", trials=1, config=Settings(peak=peak)).folder for peak in (0.1, 0.2))
    for name in ("notes.txt", "at-work-1", "sub/search.json"):
        (beside / name).parent.mkdir(exist_ok=True)
        (beside / name).write_text("mine")
    (beside / ".trials.csv.7.tmp").write_text("half")
    (alone / "at-work-1").touch()  # of a worker that was killed
    for folder in (alone, beside):
        remove(tmp_path / "runs", to_remove(Runs(tmp_path / "runs"), [folder]))
    assert not alone.exists() and set(files(beside)) == {"notes.txt", "at-work-1", "sub/search.json"}
    assert not Runs(tmp_path / "runs").all


def test_what_other_workers_are_at_is_noted_too(tmp_path):
    """Each writes the plan anew, and cells of the others' trials are in it."""
    url, noted = f"sqlite:///{tmp_path / 'trials.db'}", []
    places = {"folder": tmp_path / "shared", "storage": url, "runs": tmp_path / "runs", "trials": 3}

    def stop(text):
        noted.append(set(read_search(tmp_path / "shared").cells))
        raise KeyboardInterrupt

    def planned(cells):
        if not noted:
            noted.append({path.name for path in cells})
            with pytest.raises(KeyboardInterrupt):
                run(**places, say=stop)

    run(**places, planned=planned)
    first, seen_by_the_other = noted
    assert len(first) == 1 and len(seen_by_the_other) == 2 and first < seen_by_the_other
    assert set(read_search(tmp_path / "shared").cells) == {
        path.name for path in (tmp_path / "runs" / "cells").iterdir()
    }
