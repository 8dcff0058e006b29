"""What a folder says of its search: damaged, the same command mends it; where it is of another one, it is refused."""

import json

import pytest
from searching import PARABOLA, Settings, run

from lab.cells.export import export
from lab.cells.record import read_search
from lab.cells.runs import show_run
from lab.errors import UsageError, WorkbenchError
from lab.running.place import Place
from lab.studying.journal import difference
from lab.studying.search import plan_search

pytestmark = pytest.mark.usefixtures("importable", "in_this_process")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_another_journal_says_is_searched_differs_whatever_it_is():
    here = {"study": "a", "settings": {"b": 1}, "space": {}}
    assert difference({"study": {"a": 1}}, here) == "study: {'a': 1} there, 'a' here"
    assert difference({**here, "settings": {"b": 2}}, here) == "b: 2 there, 1 here"
    assert difference({**here, "settings": [1]}, here) == "settings: [1] there, {'b': 1} here"
    assert difference([1], here) == "study: None there, 'a' here"


def test_a_torn_plan_of_a_search_is_mended_by_the_same_command(tmp_path):
    mine = tmp_path / "mine"
    run(tmp_path / "runs", trials=1, folder=mine)
    (mine / "search.json").write_text('{"study"')
    with pytest.raises(UsageError, match="is no search's folder"):
        read_search(mine)
    run(tmp_path / "runs", trials=1, folder=mine)
    assert len(read_search(mine).cells) == 1, "though nothing is left to do"
    (mine / "search.json").write_text('{"study"')
    run(tmp_path / "runs", trials=2, folder=mine)
    assert len(read_search(mine).cells) == 2


def test_without_a_damaged_journal_the_same_command_goes_on(tmp_path):
    """What people have beside it stays, and the trials are those that they were."""
    mine = tmp_path / "mine"
    whole = run(tmp_path / "runs", trials=3, folder=mine)
    (mine / "notes.txt").write_text("mine")
    log = mine / "journal.log"
    first, *rest = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([first, b"no entry\n", *rest]))
    with pytest.raises(WorkbenchError, match=r"mine/journal\.log is damaged: remove it and search again; finished"):
        run(tmp_path / "runs", trials=3, folder=mine)
    log.unlink()
    assert run(tmp_path / "runs", trials=3, folder=mine).trials == whole.trials
    assert (mine / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("runs", [None, 1, [], "", "\0", "\ud800", {"x": 1}])
def test_a_place_that_is_none_is_a_damaged_plan(tmp_path, runs):
    mine = tmp_path / "mine"
    run(tmp_path / "runs", trials=1, folder=mine)
    plan = json.loads((mine / "search.json").read_text())
    assert plan["runs"] == "../runs"
    (mine / "search.json").write_text(json.dumps({**plan, "runs": runs}))
    for look in (read_search, lambda folder: export(folder, tmp_path / "kept")):
        with pytest.raises(UsageError, match="is damaged: the command that made it mends it"):
            look(mine)
    assert show_run(mine)["state"] == "unreadable" and not (tmp_path / "kept").exists()
    run(tmp_path / "runs", trials=1, folder=mine)
    assert json.loads((mine / "search.json").read_text()) == plan


@pytest.mark.parametrize("change", [{"runs": None}, {"cells": 1}, {"cells": ["../x"]}, {"study": 3}])
@pytest.mark.parametrize("shared", [False, True])
def test_a_damaged_plan_is_mended_by_the_same_command_whether_trials_are_shared(tmp_path, change, shared):
    mine, url = tmp_path / "mine", f"sqlite:///{tmp_path / 'trials.db'}"
    places = {"runs": tmp_path / "runs", "folder": mine, "trials": 1, "storage": url if shared else None}
    run(**places)
    plan = json.loads((mine / "search.json").read_text())
    (mine / "search.json").write_text(json.dumps({**plan, **change}))
    with pytest.raises(UsageError, match="is damaged: the command that made it mends it"):
        read_search(mine)
    run(**places)
    assert json.loads((mine / "search.json").read_text()) == plan


@pytest.mark.parametrize("text", ['{"mine": 1}', '{"study": "parabola"}', '{"study"', "[]"])
def test_a_plan_that_is_no_searchs_is_called_so_by_whoever_reads_it(tmp_path, text):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "search.json").write_text(text)
    with pytest.raises(UsageError, match="mine is no search's folder"):
        read_search(mine)
    with pytest.raises(UsageError, match=r"search\.json is there, and is no search's"):
        run(tmp_path / "runs", trials=1, folder=mine, storage=f"sqlite:///{tmp_path / 'trials.db'}")


OTHERS = {
    "settings": ({"config": Settings(peak=0.2)}, "holds another search \\(.*\\): name another folder, or none"),
    "study": ({"study": "circle"}, "another search \\(study: 'parabola' there, 'circle' here\\)"),
}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("here", [False, True])
@pytest.mark.parametrize("other", OTHERS)
def test_another_search_is_refused_wherever_its_trials_and_those_of_the_first_lie(tmp_path, there, here, other):
    """In the folder or in a database, which a refused one does not begin either."""
    mine, (change, words) = tmp_path / "mine", OTHERS[other]
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("there", "here")}
    where = {"runs": tmp_path / "runs", "folder": mine, "trials": 1}
    run(storage=urls["there"] if there else None, **where)
    before = files(mine)
    with pytest.raises(UsageError, match=words):
        run(storage=urls["here"] if here else None, **where, **change)
    assert files(mine) == before and not (tmp_path / "here.db").exists()
    run(storage=urls["there"] if there else None, **{**where, "trials": 2})


@pytest.mark.parametrize("lost", ["identity", "journal"])
def test_another_search_is_known_by_what_is_left_of_the_first(tmp_path, lost):
    """Plans once said nothing of what is searched, as the journal does."""
    mine = tmp_path / "mine"
    where = {"runs": tmp_path / "runs", "folder": mine, "trials": 1}
    run(**where)
    if lost == "journal":
        (mine / "journal.log").unlink()
    else:
        plan = json.loads((mine / "search.json").read_text())
        (mine / "search.json").write_text(json.dumps({name: plan[name] for name in plan if name != "identity"}))
    with pytest.raises(UsageError, match="holds another search"):
        run(storage=f"sqlite:///{tmp_path / 'trials.db'}", config=Settings(peak=0.2), **where)
    run(**where)


@pytest.mark.parametrize("jobs, slots, together", [(None, 8, 4), (3, 3, 1), (1, 1, 1)])
def test_a_queue_has_eight_cells_of_a_search_at_a_time_unless_it_is_said(tmp_path, jobs, slots, together):
    place = Place("slurm", jobs)
    planned = plan_search("s", PARABOLA, Settings(seeds=2), runs=tmp_path, data=tmp_path, place=place)
    assert (planned.slots, planned.together) == (slots, together) and not list(tmp_path.iterdir())
