"""The folder of a search: people may name any, and nothing of theirs in it is touched; what lies elsewhere is found."""

import pytest
from searching import run

from lab.cells.record import read_search
from lab.errors import UsageError
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


def test_a_torn_plan_of_a_search_is_mended_by_the_same_command(tmp_path):
    mine = tmp_path / "mine"
    run(tmp_path / "runs", trials=1, folder=mine)
    (mine / "search.json").write_text('{"study"')
    with pytest.raises(UsageError, match="is no search's folder"):
        read_search(mine)
    run(tmp_path / "runs", trials=2, folder=mine)
    assert len(read_search(mine)[1]) == 2


def test_several_may_be_in_a_folder_at_once_but_where_they_share_it_nothing_is_cleared_away(tmp_path):
    (tmp_path / ".search.json.7.tmp").write_text("another is writing")
    with entered(tmp_path, named=True, alone=False), entered(tmp_path, named=True, alone=False):
        assert (tmp_path / ".search.json.7.tmp").exists()
