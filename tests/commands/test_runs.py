"""Looking after runs."""

import json
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from click.testing import CliRunner
from making import made

from commands import _site, runs, tune
from lab.cells import layout
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError
from lab.running.slurm import Job, Unreachable


def test_exported_results_are_redrawn_without_the_runs(study, snnl, tmp_path):
    home, _, first = study
    result = json.loads(first.stdout.splitlines()[-1])
    done = snnl("runs", "export", home / result["folder"], tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    kept = list((tmp_path / "kept").rglob("*"))
    assert not [
        path for path in kept if path.suffix in {".safetensors", ".pt"} or path.name in {"events.jsonl", "lock"}
    ]
    assert not [path for path in kept if path.is_file() and str(home).encode() in path.read_bytes()]
    redrawn = snnl("report", done.stdout.strip(), "--json")
    again = json.loads(redrawn.stdout.splitlines()[-1])
    assert again["verdicts"] == result["verdicts"]
    assert again["cells"] == {"total": 11, "run": 0, "cached": 11, "failed": 0}
    assert Path(again["report"]).read_bytes() == (home / result["report"]).read_bytes()


def test_what_strangers_called_their_runs_is_shown_and_not_obeyed(tmp_path):
    name = "a\x1b]0;b\x07"
    (tmp_path / "cells" / name).mkdir(parents=True)
    (tmp_path / "cells" / name / "config.json").write_text("")
    listed = CliRunner().invoke(runs.command, ["list", "--runs", str(tmp_path)])
    shown = CliRunner().invoke(runs.command, ["show", str(tmp_path / "cells" / name)])
    for done in (listed, shown):
        assert "\x1b" not in done.output and r"/a\x1b]0;b\x07" in done.output, done.output


def test_runs_are_listed_shown_and_removed(study, snnl, tmp_path):
    import shutil

    home, _, first = study
    folder = json.loads(first.stdout.splitlines()[-1])["folder"]
    shutil.copytree(home / "my runs", tmp_path / "my runs")
    listed = snnl("runs", "list", "--runs", "my runs", "--json", cwd=tmp_path)
    runs = json.loads(listed.stdout.splitlines()[-1])["runs"]
    assert len(runs) == 12 and {run["state"] for run in runs} == {"done"}, listed.stderr
    assert all(run["folder"] in listed.stdout for run in runs)
    training = next(run["folder"] for run in runs if "/gan-dcgan-" in run["folder"])
    shown = snnl("runs", "show", training, "--json", cwd=tmp_path)
    about = json.loads(shown.stdout.splitlines()[-1])
    assert about["settings"]["gan"] == "dcgan" and len(about["needed_by"]) >= 2 and "  gan: dcgan\n" in shown.stdout
    refused = snnl("runs", "remove", training, "--runs", "my runs", "--yes", cwd=tmp_path)
    assert refused.returncode == 1 and "is needed by gan-entanglement/" in refused.stderr
    for arguments, code, words in (
        ([], 2, "--yes"),
        (["--dry-run"], 0, "Not removed: 12 folders"),
        (["--yes"], 0, "Removed: 12 folders"),
    ):
        done = snnl("runs", "remove", folder, "--runs", "my runs", *arguments, cwd=tmp_path)
        assert done.returncode == code and words in done.stderr, done.stderr
        assert any(tmp_path.rglob("DONE")) == (arguments != ["--yes"])


def test_who_breaks_off_at_the_question_is_told_that_nothing_was_removed(monkeypatch, tmp_path, capsys):
    """By Ctrl-C, or by the end of the input."""
    folder = CellFolder.create(made(), tmp_path / "runs" / "cells", {}).path
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=lambda *_: ""))
    for error in (KeyboardInterrupt, EOFError):
        monkeypatch.setattr("click.termui.visible_prompt_func", mock.Mock(side_effect=error))
        with pytest.raises(SystemExit) as end:
            runs.command.main(["remove", str(folder), "--runs", str(tmp_path / "runs")], standalone_mode=False)
        assert end.value.code == 130 and folder.exists()
        assert capsys.readouterr().err.splitlines()[-1] == "Nothing was removed."


def test_what_waits_in_slurms_queue_is_not_removed(monkeypatch, tmp_path):
    folder = CellFolder.create(made(), tmp_path / "my runs" / "cells", {}).path
    queue = {folder: Job("7", "PENDING", "Priority")}
    monkeypatch.setattr("lab.running.slurm.live", lambda cells: {cell: queue[cell] for cell in cells if cell in queue})
    asked = ["remove", str(folder), "--runs", str(tmp_path / "my runs"), "--yes"]
    with pytest.raises(WorkbenchError, match=r"is in Slurm's queue \(job 7\): snnl runs cancel '.*my runs.*' first"):
        runs.command.main(asked, standalone_mode=False)
    assert folder.exists()
    queue.clear()
    runs.command.main(asked, standalone_mode=False)
    assert not folder.exists()


def test_folders_are_listed_while_slurm_does_not_answer(monkeypatch, tmp_path):
    """And not removed, as they may be in its queue."""
    folder = CellFolder.create(made(), tmp_path / "cells", {}).path
    silent = mock.Mock(side_effect=Unreachable("squeue says: Unable to contact slurm controller"))
    monkeypatch.setattr("lab.running.slurm.live", silent)
    done = CliRunner().invoke(runs.command, ["list", "--runs", str(tmp_path), "--json"])
    assert done.exit_code == 0, done
    assert json.loads(done.stdout.splitlines()[-1])["runs"][0]["state"] == "unfinished"
    assert done.stderr.startswith("What waits in Slurm's queue is not told: squeue says: Unable to contact")
    with pytest.raises(Unreachable):
        runs.command.main(["remove", str(folder), "--runs", str(tmp_path), "--yes"], standalone_mode=False)
    assert folder.exists()


def test_what_takes_searches_says_so_and_what_does_not_know_all_of_them_does():
    for name in ("list", "show", "remove", "cancel", "export"):
        assert "search" in runs.command.commands[name].help, name
    told = " ".join(next(one.help for one in made_tune().params if one.name == "folder").split())
    assert told.startswith("Folder of the search. `runs list` and `runs remove` know only the default one.")


def made_tune():
    context = tune.command.make_context("tune", ["classifier-regularization"])
    return tune.command.get_command(context, "classifier-regularization")


def test_a_search_elsewhere_has_its_jobs_cancelled_and_says_what_an_export_leaves_out(monkeypatch, tmp_path, capsys):
    """Its folder is named, and its cells are found where it says that they are."""
    folder = CellFolder.create(made(), tmp_path / "runs" / "cells", {}).path
    (tmp_path / "mine").mkdir()
    plan = {"study": "s", "cells": [folder.name, "gone-0123abcd"], "runs": "../runs"}
    (tmp_path / "mine" / "search.json").write_text(json.dumps(plan))
    asked = []
    monkeypatch.setattr("lab.running.slurm.check", lambda: None)
    monkeypatch.setattr("lab.running.slurm.live", lambda cells: asked.extend(cells) or {})
    runs.command.main(["cancel", str(tmp_path / "mine")], standalone_mode=False)
    assert sorted(asked) == sorted([folder, folder.with_name("gone-0123abcd")])
    runs.command.main(["show", str(tmp_path / "mine")], standalone_mode=False)
    assert f"{folder.name}: unfinished" in capsys.readouterr().out
    runs.command.main(["export", str(tmp_path / "mine"), str(tmp_path / "kept")], standalone_mode=False)
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(tmp_path / "kept" / "searches" / tmp_path.name / "mine")]
    assert "0 of 2 cells are copied." in err and "/runs/cells, not finished: 1, not there: 1." in err


def test_an_empty_list_names_no_folder_to_go_on_with(tmp_path):
    done = CliRunner().invoke(runs.command, ["list", "--runs", str(tmp_path / "none"), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout.splitlines()[-1]) == {"runs": []}
    assert done.stderr == f"No runs in {tmp_path / 'none'}: a study, a search or a training makes some.\n"


def test_a_copy_without_what_is_published_says_so_before_it_shows_the_rest(monkeypatch, tmp_path):
    """Nobody else sees that the site lacks what `--published` is to show."""
    monkeypatch.setattr(layout, "PUBLISHED", tmp_path / "results")
    asked = ["site", str(tmp_path / "site"), "--runs", str(tmp_path / "none")]
    told = f"Warning: There is nothing published in {tmp_path / 'results'}: install the workbench"
    with pytest.raises(WorkbenchError, match="There is no finished study in"):
        runs.command.main([*asked, "--no-published"], standalone_mode=False)
    done = CliRunner().invoke(runs.command, asked)
    assert done.stderr.startswith(told) and "There is no finished study in" in str(done.exception)
    monkeypatch.setattr(_site, "finished", lambda places: [*places, tmp_path])
    monkeypatch.setattr(_site, "write_site", lambda folders, findings, target: folders)
    done = CliRunner().invoke(runs.command, asked)
    assert done.exit_code == 0 and done.stderr.startswith(told), done.stderr
    (tmp_path / "results").mkdir()
    done = CliRunner().invoke(runs.command, asked)
    assert done.exit_code == 0 and told not in done.stderr
