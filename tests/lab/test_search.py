"""A search over cells: it goes on, refuses what is another's, and writes its best."""

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from unittest import mock

import forks
import optuna
import pytest
from making import made
from searching import PARABOLA, Settings, cells, preset, run, score, space

from lab.cells.export import export
from lab.cells.removal import to_remove
from lab.cells.runs import Runs, show_run
from lab.errors import UsageError, WorkbenchError
from lab.studying import journal, search
from lab.studying.space import Choice, Range, Searchable

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.usefixtures("importable")
quick = pytest.mark.usefixtures("in_this_process")


@quick
def test_the_best_is_found_and_becomes_a_preset(tmp_path):
    said = []
    found = run(tmp_path, trials=14, say=said.append)
    assert len(found.trials) == len(said) == 14
    assert found.best.values["kind"] == "good" and -0.15 < found.best.values["x"] < -0.017
    assert all(-1 <= trial.values["x"] <= -1e-3 for trial in found.trials)
    later, earlier = ([t.score for t in some] for some in (found.trials[7:], found.trials[:5]))
    assert max(later) > max(earlier), "the process has learned nothing"
    assert json.loads(found.preset.read_text()) == {"study": "parabola", "config": {"alphas": [found.best.values["x"]]}}
    rows = list(csv.reader((found.folder / "trials.csv").open()))
    assert rows[0] == ["trial", "x", "kind", "score"] and len(rows) == 15
    different = {tuple(trial.values.items()) for trial in found.trials}
    assert len(list((tmp_path / "cells").iterdir())) == len(different), "trials are ordinary cells"


@quick
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_proposed_does_not_depend_on_interruptions(tmp_path, jobs):
    """Two dimensions have five random trials first: the last of eight are the process's own."""
    whole = run(tmp_path / "whole", trials=8, jobs=jobs)
    for trials in (2, 6, 8):
        pieces = run(tmp_path / "pieces", trials=trials, jobs=jobs)
    assert pieces.trials == whole.trials
    again = run(tmp_path / "pieces", trials=3, jobs=jobs)
    assert again.trials == whole.trials, "what is done stays, and nothing is done anew"


@quick
@pytest.mark.parametrize("where", ["propose", "tell", "do_cells"])
def test_a_search_that_broke_off_ends_as_an_undisturbed_one(tmp_path, monkeypatch, where):
    """Broken off at every call of a step of it: while asking, while telling, and with cells to do."""
    whole = run(tmp_path / "whole", trials=7, jobs=2)
    methods = {"propose": (journal.Journal, "_propose"), "tell": (journal.Journal, "tell")}
    place, name = methods.get(where, (search, where))
    real, calls = getattr(place, name), 0
    every = 3 if where == "propose" else 2  # a first round of two is proposed whole, or leaves nothing behind

    def breaks(*arguments, before, **more):
        nonlocal calls
        calls += 1
        if not before:
            real(*arguments, **more)
        if calls % every == 1:
            raise KeyboardInterrupt
        return real(*arguments, **more) if before else None

    for before in (True, False):
        if name == "do_cells" and not before:
            continue
        calls, ended = 0, False
        with monkeypatch.context() as patch:
            patch.setattr(place, name, lambda *arguments, **more: breaks(*arguments, before=before, **more))  # noqa: B023
            for _ in range(30):
                try:
                    found = run(tmp_path / f"broken-{before}", trials=7, jobs=2)
                except KeyboardInterrupt:
                    continue
                ended = True
                break
        assert ended and found.trials == whole.trials


@quick
def test_a_search_is_known_kept_without_weights_and_removed_with_its_cells(tmp_path):
    found = run(tmp_path / "runs", trials=3)
    runs = Runs(tmp_path / "runs")
    assert [(one.path, runs.state(one)) for one in runs.searches] == [(found.folder, "done")]
    assert set(show_run(found.folder)["needs"].values()) == {"done"} and len(runs.cells) == 3
    with pytest.raises(WorkbenchError, match="is needed by parabola/"):
        to_remove(runs, [next(iter(runs.cells.values())).path])
    copied = export(found.folder, tmp_path / "kept")
    again = run(tmp_path / "kept", trials=3)
    assert again.folder == copied and again.trials == found.trials, "it goes on from the copy"
    assert {run.kind for run in to_remove(runs, [found.folder])} == {"search", "cell"}


def test_of_equal_scores_the_first_is_the_best():
    trials = [search.Trial(number, {"x": number}, score) for number, score in enumerate((0.2, 0.7, 0.1, 0.7))]
    assert search.Found("parabola", Path("here"), trials).best.number == 1


WORDS = {"kind": ("good", "bad"), "seed": ("3", "1", "2")}


def choosing(names):
    """A search over words alone, as many of which are good."""

    def cells(config, values, data):
        return [made("parabola", "choice", {"peak": config.peak, **values})]

    space = {name: Choice(WORDS[name]) for name in names}
    return Searchable(Settings, lambda config: space, cells, score, lambda config, values: {})


@quick
@pytest.mark.parametrize("names, jobs", [(["kind"], 1), (["seed"], 1), (["kind", "seed"], 1), (["kind", "seed"], 2)])
def test_no_choice_is_repeated_before_all_were_tried(tmp_path, names, jobs):
    """However the search is taken up again, and whatever the process has learned by then."""
    grid = len(list(product(*(WORDS[name] for name in names))))
    settings = {"jobs": jobs, "searchable": choosing(names)}
    whole = run(tmp_path / "whole", trials=grid + 1, **settings).trials
    tried = [tuple(trial.values.values()) for trial in whole]
    assert len(set(tried[:grid])) == grid, "all of them, each once"
    assert len(tried) == grid + 1, "and then on"
    for trials in (1, 2, grid + 1):
        pieces = run(tmp_path / "pieces", trials=trials, **settings).trials
    assert pieces == whole


def test_a_killed_search_goes_on(tmp_path):
    """The process gets no time to put anything in order."""
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}, {str(Path(__file__).parent)!r}]\n"
        "import test_search as t; from pathlib import Path\n"
        "if __name__ == '__main__': t.run(Path(sys.argv[1]), trials=4, say=print)"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    words = [sys.executable, "-u", script, tmp_path / "killed"]
    process = forks.ForkedProgram(words, stdout=subprocess.PIPE, text=True)
    for _ in range(2):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run(tmp_path / "killed", trials=4).trials == run(tmp_path / "whole", trials=4).trials


@quick
def test_the_best_so_far_is_written_after_every_trial(tmp_path):
    """Two trials a round: the first one of it is written, too, before the second is told."""
    folder, seen = tmp_path / "here", []

    def look(text):
        rows = list(csv.reader((folder / "trials.csv").open()))[1:]
        best = max(rows, key=lambda row: float(row[-1]))
        assert json.loads((folder / "preset.json").read_text())["config"] == {"alphas": [float(best[1])]}
        seen.append(len(rows))

    run(tmp_path, trials=4, jobs=2, folder=folder, say=look)
    assert seen == [1, 2, 3, 4]


@quick
@pytest.mark.parametrize("write, file", [("write_preset", "preset.json"), ("atomic_write", "trials.csv")])
def test_a_kill_between_the_last_score_and_its_files_leaves_them_to_the_next_command(
    tmp_path, monkeypatch, write, file
):
    whole, folder = run(tmp_path / "whole", trials=2), tmp_path / "here"
    with monkeypatch.context() as patch:
        patch.setattr(search, write, mock.Mock(side_effect=[None, KeyboardInterrupt]))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "broken", trials=2, folder=folder)
    assert run(tmp_path / "broken", trials=2, folder=folder).trials == whole.trials
    assert (folder / file).read_bytes() == (whole.folder / file).read_bytes()


@quick
def test_a_torn_line_and_a_dead_lock_are_removed(tmp_path):
    whole = run(tmp_path / "whole", trials=4)
    found = run(tmp_path / "torn", trials=3)
    log = found.folder / "journal.log"
    with log.open("ab") as file:
        file.write(b'{"op_code":4,"worker_')
    Path(f"{log}.lock").symlink_to(log)
    start = time.monotonic()
    assert run(tmp_path / "torn", trials=4).trials == whole.trials
    assert time.monotonic() - start < 25, "Optuna waits 30 s for the lock of a dead process"


@quick
def test_a_trial_half_proposed_is_left_out(tmp_path):
    found = run(tmp_path, trials=2)
    log = found.folder / "journal.log"
    storage = optuna.storages.journal.JournalStorage(optuna.storages.journal.JournalFileBackend(str(log)))
    half = optuna.load_study(study_name="parabola", storage=storage).ask()
    half.suggest_float("x", 1e-3, 1.0, log=True)
    assert run(tmp_path, trials=3).trials == run(tmp_path / "whole", trials=3).trials


@quick
@pytest.mark.parametrize(
    "change, words",
    [
        ({"config": Settings(peak=0.2)}, r"peak: 0.05 there, 0.2 here"),
        ({"study": "circle"}, r"study: 'parabola' there, 'circle' here"),
        (
            {
                "searchable": replace(
                    PARABOLA,
                    space=lambda config: {"kind": Choice(("good", "bad"))},
                    cells=lambda config, values, data: cells(config, {**values, "x": -1.0}, data),
                )
            },
            "x: ",
        ),
        (
            {"searchable": replace(PARABOLA, space=lambda config: space(config) | {"x": Range(1e-3, 2.0, sign=-1)})},
            "x: .*'high': 1.0.* there, .*'high': 2.0",
        ),
        (
            {
                "searchable": replace(
                    PARABOLA, cells=lambda *given: [replace(cell, data="another") for cell in cells(*given)]
                )
            },
            "another version of the code",
        ),
    ],
)
def test_another_search_is_refused(tmp_path, change, words):
    folder = tmp_path / "here"
    run(tmp_path, trials=1, folder=folder)
    before = (folder / "journal.log").read_bytes()
    with pytest.raises(UsageError, match=f"holds another search \\(.*{words}.*\\): name another folder") as error:
        run(tmp_path, trials=1, folder=folder, **change)
    assert "\n" not in str(error.value)
    assert (folder / "journal.log").read_bytes() == before


def test_a_journal_of_someone_elses_study_is_refused(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    storage = optuna.storages.journal.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    )
    optuna.create_study(study_name="theirs", storage=storage).optimize(lambda trial: trial.suggest_int("n", 0, 3), 2)
    with pytest.raises(UsageError, match=r"holds another search \(study 'theirs'\)"):
        run(tmp_path, folder=folder)


@quick
def test_a_damaged_journal_is_told(tmp_path):
    found = run(tmp_path, trials=2)
    log = found.folder / "journal.log"
    lines = log.read_bytes().splitlines(keepends=True)
    for line in (b"no json\n", b"null\n", b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n"):
        log.write_bytes(b"".join([*lines[:2], line, *lines[2:]]))
        with pytest.raises(WorkbenchError, match="is damaged: remove"):
            run(tmp_path, trials=2)
    log.write_bytes(b"".join(lines).replace(b'"directions":[2]', b'"directions":[]'))
    with pytest.raises(WorkbenchError, match="is damaged: remove"):
        run(tmp_path, trials=2)


@quick
def test_a_journal_that_leads_elsewhere_is_not_followed(tmp_path):
    """What a killed command left of its last line is cut off: not in a file outside."""
    folder, outside = tmp_path / "mine", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("no line break at the end")
    (folder / "journal.log").symlink_to(outside)
    with pytest.raises(WorkbenchError, match=r"journal.log is a link, and is not followed"):
        run(tmp_path, folder=folder)
    assert outside.read_text() == "no line break at the end"


@quick
def test_a_training_that_diverges_has_the_lowest_score_and_other_failures_end_the_search(tmp_path):
    reasons = {"good": {"why": "a loss is nan.", "diverges": True}, "bad": {"why": "the disk is gone."}}

    def failing(config, values, data):
        why = reasons[str(values["kind"])] if values["kind"] in config_kinds else {}
        return [made("parabola", "parabola", {"peak": config.peak, "seed": 0, **values, **why})]

    config_kinds = {"good"}
    found = run(tmp_path / "a", trials=5, searchable=Searchable(Settings, space, failing, score, preset))
    assert {trial.score for trial in found.trials if trial.values["kind"] == "good"} == {0.0}
    assert found.best.values["kind"] == "bad"
    config_kinds = {"bad"}
    searchable = Searchable(Settings, space, failing, score, preset)
    for _ in range(2):  # the failed trial is tried again, not given up
        with pytest.raises(WorkbenchError, match=r"failed: the disk is gone\. The same command goes on"):
            run(tmp_path / "b", trials=9, searchable=searchable)
    config_kinds = set()
    assert len(run(tmp_path / "b", trials=9, searchable=searchable).trials) == 9


@quick
def test_two_commands_do_not_search_in_one_folder(tmp_path):
    folder = tmp_path / "here"
    errors = []

    def at_work(text):
        with pytest.raises(WorkbenchError, match="Another command is at work") as error:
            run(tmp_path, folder=folder)
        errors.append(error)

    run(tmp_path, trials=1, folder=folder, say=at_work)
    assert errors


def test_several_cells_of_a_trial_are_done_side_by_side(tmp_path, monkeypatch):
    plans = []
    real = search.do_cells
    monkeypatch.setattr(search, "do_cells", lambda plan, **more: plans.append(plan) or real(plan, **more))
    run(tmp_path / "a", trials=3, jobs=2)
    run(tmp_path / "b", trials=2, jobs=2, config=Settings(seeds=2))
    assert [len(plan.to_do) for plan in plans] == [2, 1, 2, 2]


@quick
def test_a_search_tells_what_cells_it_is_about_to_do(tmp_path):
    """Before they are begun, those of a round together, and no others."""
    told = []

    def planned(cells):
        cells = [*cells]
        told.append({path.name for path in cells})
        assert not [path for path in cells if (path / "DONE").exists()]

    run(tmp_path / "others", trials=1)
    (tmp_path / "others").rename(tmp_path / "runs")
    run(tmp_path / "runs", trials=3, jobs=2, config=Settings(peak=0.2), planned=planned)
    done = {path.name for path in (tmp_path / "runs" / "cells").iterdir()}
    assert [len(some) for some in told] == [2, 1] and len(done - told[0] - told[1]) == 1


def test_without_optuna_there_is_no_search(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'snnl-workbench\[tune\]'"):
        run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_searching_is_planned_without_optuna_and_torch(python):
    code = "import sys, lab.studying.search; print({'optuna', 'torch'} & set(sys.modules))"
    assert python(code) == "set()"
