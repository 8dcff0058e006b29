"""The command line as people use it: help, exit codes, and the smoke study from end to end, twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

import cli

ROOT = Path(__file__).resolve().parent.parent


def commands(command=cli.cli, path=()):
    """Every command and group, with its path."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


@pytest.mark.parametrize(
    "path, command", list(commands()), ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_and_option_has_help(path, command):
    assert command.help and command.get_help(click.Context(command, info_name="snnl"))
    for option in command.params:
        assert isinstance(option, click.Argument) or option.help, f"{path}: {option.name}"


def test_help_is_light():
    code = (
        "import sys; sys.argv = ['snnl', '--help']; import cli\n"
        "try: cli.main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'pydantic', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["study"], "gan-entanglement"),
        (["list", "gans"], "wgan-gp"),
        (["list", "classifiers"], "resnet"),
        (["classifier", "list"], "mlp"),
        (["list", "imagesets"], "fashion-mnist"),
    ],
)
def test_entries_are_listed(snnl, arguments, words):
    done = snnl(*arguments)
    assert done.returncode == 0 and words in done.stdout and not done.stderr


def test_a_classifier_is_trained_and_evaluated(snnl, tmp_path):
    train = ["classifier", "train", "cnn", "--width", "4", "--epochs", "1", "--alpha", "-0.01", "--snnl-layers", "fc1"]
    done = snnl(*train, "--temperature", "20", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = json.loads(done.stdout.splitlines()[-1])["folder"]
    assert f"Next: snnl classifier evaluate {folder}" in done.stderr
    done = snnl("classifier", "evaluate", folder, "--splits", "test,validation", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, *rows, last = done.stdout.splitlines()
    assert header.split() == ["split", "accuracy", "nll", "ece", "n"]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [("test", "500"), ("validation", "130")]
    found = json.loads(last)["splits"]["test"]
    assert 0 <= found["accuracy"] <= 1 and found["nll"] > 0 and found["n"] == 500


def test_the_help_says_in_words_what_alpha_does(snnl):
    text = " ".join(snnl("classifier", "train", "cnn", "--help").stdout.split())
    assert "negative entangles the classes of hidden layers, as in the paper; positive disentangles them" in text


def test_a_group_alone_tells_its_commands(snnl):
    done = snnl("measure")
    assert done.returncode == 2 and "features" in done.stderr and not done.stdout


def test_layers_of_a_foreign_network_are_printed(snnl):
    arguments = ["--imageset", "digits", "--size", "32", "--n", "60", "--max-features", "512", "--anchors", "40"]
    done = snnl("measure", "layers", "--model", "torchvision:resnet18", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    header, *rows, last = done.stdout.splitlines()
    assert header.split() == [
        "layer", "features", "score", "loss", "temperature", "bound", "at_limit", "n_valid", "stderr",
    ]  # fmt: skip
    found = json.loads(last)
    assert {key: value for key, value in found.items() if key != "layers"} == {
        "model": "torchvision:resnet18", "imageset": "digits", "split": "test", "n": 60, "seed": 0,
    }  # fmt: skip
    assert [row.split()[0] for row in rows] == [layer["layer"] for layer in found["layers"]]
    assert set(found["layers"][0]) == {*header.split()}
    assert found["layers"][0]["features"] == 64 * 2 * 2 and 0 < found["layers"][0]["score"] < 1
    assert "random weights (seed 0)" in done.stderr and "averaged to at most 512 features" in done.stderr


def test_features_of_a_file_are_printed(snnl, tmp_path):
    import numpy as np

    labels = np.arange(40) % 2
    x = np.random.default_rng(0).normal(size=(40, 3)) + 100 * labels[:, None]
    np.savez(tmp_path / "apart.npz", x=x, labels=labels)
    np.savez(tmp_path / "broken.npz", x=np.where(x > 101, np.nan, x), y=labels)
    done = snnl("measure", "features", tmp_path / "apart.npz", "--json")
    assert done.returncode == 0, done.stderr
    assert "40 points of 3 features, all anchors" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["all", "0.000", "0.000", *lines[1].split()[3:]] and "cold" in lines[1]
    assert ["class", "1", "0.000", "1.000"] in [line.split() for line in lines]
    assert json.loads(lines[-1])["score"] == pytest.approx(0, abs=1e-6)
    refused = snnl("measure", "features", tmp_path / "broken.npz")
    assert refused.returncode == 1 and refused.stderr.startswith("Error: ") and refused.stderr.count("\n") == 1
    assert "has no array labels; it has: x, y" in refused.stderr


def test_the_limit_of_features_is_that_of_the_engine():
    from snnl_core.pooling import MAX_FEATURES

    option = next(o for o in cli.measure.commands["layers"].params if o.name == "max_features")
    assert option.default == MAX_FEATURES


def test_the_smoke_study_ends_in_a_report(study):
    home, _, done, _ = study
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result) == {"study", "folder", "report", "table", "verdicts", "cells"}
    assert result["cells"] == {"total": 11, "run": 11, "cached": 0, "failed": 0}
    assert len(result["verdicts"]) == 3
    for verdict in result["verdicts"]:
        assert {"claim", "verdict", "effect", "interval", "n"} <= set(verdict)
        assert verdict["verdict"] == "no verdict" and verdict["n"] == 2
    page = (home / result["report"]).read_text(encoding="utf-8")
    assert page.count("<img") >= 8 + 4 * 2 and "<h2" in page
    header = (home / result["table"]).read_text().splitlines()[0]
    assert header.startswith("study,cell,kind,model,imageset,seed,kimg,step")
    assert "Report:" in done.stderr and "Next:" in done.stderr


def test_a_search_ends_in_a_file_that_the_study_takes(snnl, tmp_path):
    tiny = ("--epochs", 1, "--settings", "width=2,batch=100", "--seeds", 1, "--json")
    done = snnl("tune", "classifier-regularization", "--search", "alpha", "--trials", 1, *tiny, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "trial" in done.stdout and f"--config {found['preset']}" in done.stderr
    again = snnl("study", "classifier-regularization", "--preset", "smoke", "--config", found["preset"], "--seeds", 2,
                 "--json", cwd=tmp_path)  # fmt: skip
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout.splitlines()[-1])
    assert result["cells"] == {"total": 8, "run": 8, "cached": 0, "failed": 0}
    assert f"alpha = {found['best']['values']['alpha']:g}" in result["verdicts"][0]["claim"]
    page = (tmp_path / result["report"]).read_text(encoding="utf-8")
    assert page.count("<img") >= 3 and "is maximised, as in the paper" in page


def test_every_promised_number_is_in_the_table(study):
    import pandas as pd

    home, _, done, _ = study
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
    home, arguments, first, took = study
    folder = home / json.loads(first.stdout.splitlines()[-1])["folder"]
    pages = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    start = time.monotonic()
    again = snnl(*arguments, cwd=home)
    assert again.returncode == 0
    assert json.loads(again.stdout.splitlines()[-1])["cells"] == {"total": 11, "run": 0, "cached": 11, "failed": 0}
    assert time.monotonic() - start < took
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == pages
    redrawn = snnl("report", folder, "--json", cwd=home)
    assert redrawn.returncode == 0
    assert (
        json.loads(redrawn.stdout.splitlines()[-1])["verdicts"] == json.loads(first.stdout.splitlines()[-1])["verdicts"]
    )


def test_nothing_outside_the_named_folder_is_touched(study):
    home, *_ = study
    assert [path.name for path in home.iterdir()] == ["my runs"]


def test_no_lock_is_left_behind(study):
    home, *_ = study
    left = [path.name for path in (home / "my runs").rglob("*")]
    assert "DONE" in left and not [name for name in left if name.startswith(("lock", "at-work"))]


def test_a_dry_run_tells_what_is_done_and_does_nothing(study, snnl, tmp_path):
    home, arguments, *_ = study
    done = snnl(*arguments, "--dry-run", cwd=home)
    assert "0 of 11 cells to do" in done.stdout and done.stdout.count("done  ") == 11
    fresh = snnl("study", "gan-entanglement", "--preset", "smoke", "--seeds", "4", "--dry-run", cwd=tmp_path)
    assert fresh.stdout.count("to do  ") == 19 and "about" in fresh.stdout
    assert not list(tmp_path.iterdir())


def test_a_larger_study_takes_the_cells_that_are_there(study, snnl):
    home, arguments, *_ = study
    done = snnl(*arguments, "--seeds", "3", "--gans", "dcgan", "--dry-run", cwd=home)
    assert "2 of 8 cells to do" in done.stdout


def test_samples_of_a_trained_gan(study, snnl):
    from PIL import Image

    home, *_ = study
    cell = next((home / "my runs" / "cells").glob("gan-dcgan-digits-s0-*"))
    done = snnl("gan", "sample", cell, "-n", 9, "--out", home / "my runs" / "grid.png", cwd=home)
    assert done.returncode == 0, done.stderr
    assert Image.open(home / "my runs" / "grid.png").size == (48, 48)
    (home / "my runs" / "grid.png").unlink()


def test_exported_results_are_redrawn_without_the_runs(study, snnl, tmp_path):
    home, _, first, _ = study
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


def test_runs_are_listed_shown_and_removed(study, snnl, tmp_path):
    import shutil

    home, _, first, _ = study
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
        ([], 2, "--yes"), (["--dry-run"], 0, "Not removed: 12 folders"), (["--yes"], 0, "Removed: 12 folders"),
    ):  # fmt: skip
        done = snnl("runs", "remove", folder, "--runs", "my runs", *arguments, cwd=tmp_path)
        assert done.returncode == code and words in done.stderr, done.stderr
        assert any(tmp_path.rglob("DONE")) == (arguments != ["--yes"])


def test_the_doctor_tells_what_is_wrong(snnl, tmp_path):
    done = snnl("doctor", "--json", cwd=tmp_path, OMP_NUM_THREADS="many")
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1 and not result["ok"] and not list(tmp_path.iterdir())
    assert "broken   threads: OMP_NUM_THREADS is 'many'" in done.stdout
    states = {check["check"]: check["state"] for check in result["checks"]}
    assert states["python"] == states["runs"] == "ok" and len(states) == 11


@pytest.mark.skipif(os.name != "posix", reason="gloo over loopback")
def test_the_doctor_tries_processes(snnl, tmp_path):
    done = snnl("doctor", "--processes", "2", cwd=tmp_path, OMP_NUM_THREADS="")
    assert done.returncode == 0, done.stdout
    assert "processes: 2 steps of a tiny dcgan on cpu, 2 processes" in done.stdout


def test_one_gan_is_trained_once(snnl, tmp_path):
    arguments = ["gan", "train", "wgan-gp", "--kimg", "1", "--width", "4", "--runs", "here", "--json"]
    first, second = (snnl(*arguments, cwd=tmp_path) for _ in range(2))
    one, two = (json.loads(done.stdout.splitlines()[-1]) for done in (first, second))
    assert one == two and one["rows"] > 10
    assert "gan sample" in first.stderr
    done = snnl("cell", one["folder"], cwd=tmp_path)
    assert done.returncode == 0 and "Done" in done.stderr


def test_a_failing_cell_leaves_the_others_and_the_report_says_so(snnl, incomplete):
    home, arguments, done, blocked = incomplete
    assert done.returncode == 3, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["cells"] == {"total": 7, "run": 4, "cached": 0, "failed": 3}
    page = (home / "incomplete.html").read_text(encoding="utf-8")
    assert "Incomplete" in page and blocked.parent.name in page
    blocked.unlink()
    healed = snnl(*arguments, cwd=home)
    assert healed.returncode == 0, healed.stderr
    assert json.loads(healed.stdout.splitlines()[-1])["cells"] == {"total": 7, "run": 3, "cached": 4, "failed": 0}


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_an_interrupt_is_130_and_the_same_command_goes_on(tmp_path):
    arguments = [
        "study",
        "gan-entanglement",
        "--preset",
        "smoke",
        "--seeds",
        "1",
        "--gans",
        "dcgan",
        "--jobs",
        "1",
        "--json",
    ]
    command = [sys.executable, str(ROOT / "cli.py"), *arguments]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/cells/*/DONE")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "Interrupted" in err and "Traceback" not in err and not out
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout.splitlines()[-1])["cells"]
    assert cells["cached"] >= 1 and cells["cached"] + cells["run"] == cells["total"] == 4
