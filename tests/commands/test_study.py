"""The smoke study from end to end, twice, and a search."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from pages import examples

from commands import study as study_command
from commands import tune
from lab import machine
from lab.errors import UsageError


def test_the_smoke_study_ends_in_a_report(study):
    home, _, done = study
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result) == {"study", "folder", "report", "table", "verdicts", "cells"}
    assert result["cells"] == {"total": 11, "run": 11, "cached": 0, "failed": 0}
    assert len(result["verdicts"]) == 3
    for verdict in result["verdicts"]:
        assert {"claim", "verdict", "effect", "interval", "n"} <= set(verdict)
        assert verdict["verdict"] == "no verdict" and verdict["n"] == 2
    page = (home / result["report"]).read_text(encoding="utf-8")
    assert page.count("<img") + page.count("<svg") >= 8 + 4 * 2 and "<h2" in page
    header = (home / result["table"]).read_text().splitlines()[0]
    assert header.startswith("study,cell,kind,model,imageset,seed,kimg,step")
    assert "Report:" in done.stderr
    (offered,) = re.findall(r"^Next: (.+) draws it anew$", done.stderr, re.MULTILINE)
    assert shlex.split(offered) == ["snnl", "report", result["folder"]] and " " in result["folder"]


def test_the_rows_of_a_study_are_read_as_is_told_for_notebooks(study, monkeypatch, capsys):
    home, arguments, done = study
    (example,) = examples("docs", "runs.md")
    monkeypatch.chdir(home)
    monkeypatch.setattr(subprocess, "run", lambda command, **settings: done)
    told = {}
    exec(compile(example, "runs.md", "exec"), told)
    assert set(told["command"][1:]) < set(arguments)
    assert not told["joint"].duplicated(["model", "seed", "kimg"]).any(), "one value of each"
    assert re.match(r"model +dcgan +wgan-gp\nkimg", capsys.readouterr().out)


def test_a_search_ends_in_a_file_that_the_study_takes(snnl, tmp_path):
    tiny = ("--epochs", 1, "--settings", "width=2,batch=100", "--seeds", 1, "--jobs", 1, "--json")
    done = snnl("tune", "classifier-regularization", "--search", "alpha", "--trials", 1, *tiny, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "trial" in done.stdout and f"--config {found['preset']}" in done.stderr
    settings = [
        "--preset",
        "smoke",
        "--config",
        found["preset"],
        "--seeds",
        2,
        "--executor",
        "here",
        "--svg-only",
        "--json",
    ]
    again = snnl("study", "classifier-regularization", *settings, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout.splitlines()[-1])
    assert result["cells"] == {"total": 8, "run": 8, "cached": 0, "failed": 0}
    assert f"alpha = {found['best']['values']['alpha']:g}" in result["verdicts"][0]["claim"]
    page = (tmp_path / result["report"]).read_text(encoding="utf-8")
    assert page.count("<svg") >= 3 and "is maximised, as in the paper" in page


def test_a_search_is_told_before_it_runs(tmp_path, capsys):
    """And nothing is written."""
    command = tune.command.get_command(None, "classifier-regularization")
    asked = ["--dry-run", "--trials", "7", "--seeds", "3", "--search", "alpha,temperature", "--json"]
    command.main([*asked, "--runs", str(tmp_path / "my runs")], standalone_mode=False)
    *table, outlook, result = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in table] == [
        ["setting", "searched"],
        ["alpha", "-0.1 to -0.001, by the logarithm"],
        ["temperature", "minimize or learn"],
    ]
    assert outlook.startswith("7 of 7 trials to do in ") and "of 3 trainings each" in outlook
    assert set(json.loads(result)) == {"study", "folder", "space", "trials"} and not list(tmp_path.iterdir())
    known = Path(json.loads(result)["folder"])
    known.mkdir(parents=True)
    (known / "trials.csv").write_text("trial,alpha,score\n1,-0.1,0.5\n2,-0.01,0.6\n")
    command.main([*asked, "--runs", str(tmp_path / "my runs")], standalone_mode=False)
    assert "5 of 7 trials to do" in capsys.readouterr().out


def test_every_promised_number_is_in_the_table(study):
    import pandas as pd

    home, _, done = study
    table = pd.read_csv(home / json.loads(done.stdout.splitlines()[-1])["table"], keep_default_na=False)
    gan = table[table["kind"] == "gan"]
    for (_, _, split), one in gan.groupby(["model", "seed", "split"]):
        assert one["kimg"].nunique() == 4, split
        end = one[one["step"] == one["step"].max()]
        assert set(end["side"]) == {"joint", "real", "generated"}
        assert {"entanglement", "entanglement_loss", "inverse_temperature", "coverage", "one_nn_accuracy"} == set(
            end["metric"]
        )
        assert set(end["group"]) == {"", *"0123456789"}
    assert set(gan["split"]) == {"test", "train"}
    references = table[table["kind"] == "reference"]
    assert set(references["model"]) == {"real", "noise"}
    scores = references[(references["side"] == "joint") & (references["metric"] == "entanglement")]
    assert scores[scores["model"] == "real"]["value"].astype(float).min() > 0.9
    assert scores[scores["model"] == "noise"]["value"].astype(float).max() < 0.01
    assert (table["study"] == "gan-entanglement").all() and (table["cell"] != "").all()


def test_a_second_run_only_redraws_the_same_report(study, snnl):
    home, arguments, first = study
    folder = home / json.loads(first.stdout.splitlines()[-1])["folder"]
    pages = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    redrawn = snnl("report", folder, "--svg-only", "--json", cwd=home)
    assert redrawn.returncode == 0
    assert (
        json.loads(redrawn.stdout.splitlines()[-1])["verdicts"] == json.loads(first.stdout.splitlines()[-1])["verdicts"]
    )
    again = snnl(*arguments, cwd=home)
    assert again.returncode == 0
    assert json.loads(again.stdout.splitlines()[-1])["cells"] == {"total": 11, "run": 0, "cached": 11, "failed": 0}
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == pages


def test_nothing_outside_the_named_folder_is_touched(study):
    home, *_ = study
    assert [path.name for path in home.iterdir()] == ["my runs"]


def test_a_dry_run_tells_what_is_done_and_does_nothing(study, snnl, tmp_path):
    home, arguments, *_ = study
    done = snnl(*arguments, "--dry-run", cwd=home)
    assert "0 of 11 cells to do.\n" in done.stdout and done.stdout.count("done  ") == 11
    fresh = snnl("study", "gan-entanglement", "--preset", "smoke", "--seeds", "4", "--dry-run", cwd=tmp_path)
    assert fresh.stdout.count("to do  ") == 19 and "by a first guess.\n" in fresh.stdout
    assert not list(tmp_path.iterdir())


def test_a_plan_for_a_queue_tells_all_the_work_by_the_pace_of_this_machine(study, monkeypatch, capsys):
    """The study that was done here, without a GPU, has taught how long cells of its tasks take."""
    monkeypatch.setattr(machine, "gpus", lambda: ())
    monkeypatch.setattr("lab.running.slurm.check", lambda: None)  # where no Slurm is, too
    home, *_ = study
    monkeypatch.chdir(home)
    line = ["gan-entanglement", "--preset", "smoke", "--seeds", "3", "--runs", "my runs", "--executor", "slurm"]
    study_command.command([*line, "--dry-run"], standalone_mode=False)
    told = capsys.readouterr().out
    assert re.search(r"4 of 15 cells to do, by slurm; one after the other, about \d+ s\.\n", told), told


def test_a_larger_study_takes_the_cells_that_are_there(study, snnl):
    home, arguments, *_ = study
    done = snnl(*arguments, "--seeds", "3", "--gans", "dcgan", "--dry-run", cwd=home)
    assert "2 of 8 cells to do" in done.stdout


def test_a_failing_cell_leaves_the_others_and_the_report_says_so(snnl, incomplete):
    home, arguments, done, blocked = incomplete
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1] == "Next: the command of the study does the cells that are left"
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["cells"] == {"total": 7, "run": 4, "cached": 0, "failed": 3}
    page = (home / "incomplete.html").read_text(encoding="utf-8")
    assert "Incomplete" in page and blocked.parent.name in page
    blocked.unlink()
    healed = snnl(*arguments, cwd=home)
    assert healed.returncode == 0, healed.stderr
    assert healed.stderr.splitlines()[-1].startswith("Next: snnl report ")
    assert json.loads(healed.stdout.splitlines()[-1])["cells"] == {"total": 7, "run": 3, "cached": 4, "failed": 0}


def test_one_name_is_for_one_folder(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    words = ["classifier-regularization", "--imagesets", ",".join(f"folder:{folder}" for folder in folders)]
    with pytest.raises(UsageError, match=r"^--name is for one folder or archive; these are 2: leave it out\.$"):
        study_command.command([*words, "--name", "x"], standalone_mode=False)


@pytest.fixture
def planned(monkeypatch, capsys, tmp_path):
    """A function that gives what a dry run says on stderr, where the processor has some flags and there is no GPU."""

    def told(flags, *arguments):
        monkeypatch.setattr(machine, "gpus", lambda: ())
        monkeypatch.setattr(machine, "processor", lambda: ("a processor", frozenset(flags)))
        line = ["gan-entanglement", "--preset", "smoke", "--dry-run", "--runs", str(tmp_path / "runs"), *arguments]
        study_command.command(line, standalone_mode=False)
        out, err = capsys.readouterr()
        assert "11 of 11 cells to do" in out
        return err

    return told


def test_who_waits_for_slow_arithmetic_is_told(planned):
    told = planned([], "--precision", "bf16")
    assert told.count("which takes longer than a first guess knows") == told.count("need no run (--published)") == 1


@pytest.mark.parametrize("flags, precision", [(["amx_bf16"], "bf16"), ([], "float32"), ([], "auto")])
def test_who_does_not_is_not(planned, flags, precision):
    assert not planned(flags, "--precision", precision)


def test_a_plan_for_another_machine_needs_none_of_its_devices(planned):
    assert not planned([], "--precision", "bf16", "--device", "cuda")


def test_no_lock_is_left_behind(study):
    home, *_ = study
    left = [path.name for path in (home / "my runs").rglob("*")]
    assert "DONE" in left and not [name for name in left if name.startswith(("lock", "at-work"))]
