"""The doctor's checks leave nothing behind, and one that fails stops no other."""

import json
import os
from pathlib import Path

import forks
import pytest

from commands import doctor
from lab import checks, machine
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError
from lab.running import launch, one, slurm
from lab.running.place import HERE, Place


def test_image_sets_are_looked_for_and_not_downloaded(tmp_path):
    text = doctor.check_imagesets(tmp_path)
    assert text.startswith(f"digits in {tmp_path}; not there: ") and "mnist" in text
    assert not list(tmp_path.iterdir())


def test_two_steps_are_trained_and_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(machine, "gpus", lambda: ())
    assert doctor.check_training(1).startswith("2 steps of a tiny dcgan on cpu, one process")
    assert not list(tmp_path.iterdir())


def work(path):
    """In each of two processes: their part of the training."""
    launch.work(CellFolder(Path(path)))


@pytest.mark.skipif(os.name != "posix", reason="gloo over loopback")
def test_two_processes_that_reach_each_other_train_together(tmp_path, monkeypatch):
    def torchrun(folder):
        assert folder.processes == 2
        forks.together(__file__, "work", 2, str(folder.path))
        return 0

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(machine, "gpus", lambda: ())
    monkeypatch.setattr(launch, "_torchrun", torchrun)
    assert doctor.check_training(2).startswith("2 steps of a tiny dcgan on cpu, 2 processes")
    assert not list(tmp_path.glob("snnl-doctor-*"))


def test_two_that_do_not_are_broken_and_their_log_is_told(tmp_path, monkeypatch):
    def torchrun(folder):
        (folder.path / "log.txt").write_text("before\nno route to host\n\n")
        return 1

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(machine, "gpus", lambda: ())
    monkeypatch.setattr(launch, "_torchrun", torchrun)
    with pytest.raises(checks.Broken, match=r"one of 2 processes died .* Its log ends: no route to host"):
        doctor.check_training(2)
    assert not list(tmp_path.iterdir())


def test_a_check_that_fails_stops_no_other(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("the disk is on fire")

    monkeypatch.setattr(checks, "check_packages", fails)
    for name in ("check_training", "check_imagesets"):
        monkeypatch.setattr(doctor, name, fails)
    found = list(doctor.findings(tmp_path / "runs", tmp_path / "data", processes=2))
    assert [one["check"] for one in found][-4:] == ["products", "imagesets", "training", "processes"]
    states = {one["check"]: one["state"] for one in found}
    assert states["python"] == "ok" and states["packages"] == states["processes"] == "broken"
    assert "OSError: the disk is on fire" in {one["text"] for one in found}


def test_the_library_of_products_is_told(monkeypatch):
    monkeypatch.setenv("SNNL_PRODUCTS", "onednn")
    assert doctor.check_products() == "onednn on the processor, as SNNL_PRODUCTS says"
    monkeypatch.setenv("SNNL_PRODUCTS", "blas")
    with pytest.raises(checks.Broken, match=r"'blas'; known: mkl, onednn\. Set it to one of them, or unset it"):
        doctor.check_products()


@pytest.mark.parametrize("states, code", [(("ok", "warning"), 0), (("ok", "broken", "ok"), 1)])
def test_what_is_broken_ends_with_an_error(monkeypatch, capsys, states, code):
    found = [{"check": str(number), "state": state, "text": "so it is"} for number, state in enumerate(states)]
    monkeypatch.setattr(doctor, "findings", lambda *_: iter(found))
    with pytest.raises(SystemExit) as end:
        doctor.command(["--json"])
    assert (end.value.code or 0) == code
    *lines, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {"ok": not code, "checks": found} and len(lines) == len(found)


def test_the_doctor_tells_what_is_wrong(snnl, tmp_path):
    done = snnl("doctor", "--json", cwd=tmp_path, anew=True, OMP_NUM_THREADS="many")
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1 and not result["ok"] and not list(tmp_path.iterdir())
    assert "broken   threads: OMP_NUM_THREADS is 'many'" in done.stdout
    states = {check["check"]: check["state"] for check in result["checks"]}
    assert states["python"] == states["runs"] == "ok" and len(states) == 12


def test_of_a_machine_that_others_queue_for_only_what_is_tried_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "finding", lambda name, check: {"check": name})
    here, there = (
        [one["check"] for one in doctor.findings(tmp_path, tmp_path, 2, place)] for place in (HERE, Place("slurm"))
    )
    assert [name for name in here if name not in there] == ["gpu", "bf16", "threads", "products"]
    assert there[-3:] == here[-3:] == ["imagesets", "training", "processes"] and "processes" in there


def test_no_job_is_left_in_the_queue_whatever_ends_its_trial(monkeypatch, tmp_path):
    cancelled = []
    monkeypatch.setattr(slurm, "live", lambda cells: {Path("cell"): slurm.Job("7", "PENDING", "None")})
    monkeypatch.setattr(slurm, "cancel", cancelled.extend)
    with pytest.raises(KeyboardInterrupt), doctor.recalled(tmp_path):
        raise KeyboardInterrupt
    assert cancelled == ["7"]


@pytest.mark.parametrize("processes, place, device", [(1, HERE, "cuda"), (2, HERE, "cpu"), (1, Place("slurm"), "auto")])
def test_gpus_are_tried_where_each_process_has_one(monkeypatch, tmp_path, processes, place, device):
    asked = []

    def do_cell(cell, *where):
        asked.append(cell.config.device)
        raise WorkbenchError("tried.")

    monkeypatch.setattr(one, "do_cell", do_cell)
    monkeypatch.setattr(slurm, "live", lambda cells: {})
    monkeypatch.setattr(machine, "gpus", lambda: (("one", 8.0),))
    with pytest.raises(checks.Broken, match=r"^tried\.$"):
        doctor.check_training(processes, place, tmp_path)
    assert asked == [device]
