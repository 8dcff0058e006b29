"""Cells on a schedule, in local slots: order, shares of the machine, failures, and the end of workers."""

import os
import signal
import threading
import time
from concurrent.futures import CancelledError, Future, process
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace

import pytest
from waiting import wait_for

from lab import interrupts, machine, registry
from lab.cells.cell import Cell, with_needs
from lab.cells.failure import Failure
from lab.cells.folder import CellFolder
from lab.cells.work import alone
from lab.errors import DivergedError, WorkbenchError
from lab.running import schedule
from lab.running.executors import slots
from lab.running.executors.here import Executor as Here
from lab.running.executors.slots import Executor as LocalSlots
from lab.running.executors.slots import gpus_of
from lab.running.progress import Display

LOCAL = {"data": "data", "download": False}


pytestmark = pytest.mark.usefixtures("importable")


def cell(task, number, needs=()):
    config = registry.load("tasks", task).Config(number=number)
    return Cell(task, f"{task}-{number}", config, needs=tuple(needs))


def do(folders, jobs, started=lambda folder: None):
    return schedule.do(folders, LocalSlots(jobs, "cpu"), jobs, started)


def run(cells, tmp_path, jobs=2):
    folders = [CellFolder.create(one, tmp_path, LOCAL) for one in with_needs(cells)]
    started = []
    outcome = do(folders, jobs, started.append)
    return {folder.label: folder for folder in folders}, outcome, started


def values(folder):
    return {row["metric"]: row["value"] for row in folder.rows()}


def test_cells_run_after_what_they_need_in_long_lived_workers(tmp_path, capfd):
    first = [cell("double", number) for number in range(4)]
    last = cell("double", 100, needs=first)
    folders, outcome, started = run([last], tmp_path)
    assert not outcome.failed
    assert len(outcome.done) == len(started) == 5
    assert all(folder.done and folder.seconds >= 0 for folder in folders.values())
    sums = [sum(values(folders[f"double-{number}"]).values()) for number in range(4)]
    assert values(folders["double-100"])["double"] == 200 + sum(sums)
    assert {values(folder)["threads"] for folder in folders.values()} == {machine.threads(2)}
    assert capfd.readouterr() == ("", ""), "a cell never draws on the terminal"
    assert len({values(folder)["worker"] for folder in folders.values()}) <= 2
    assert "working on 3" in (folders["double-3"].path / "log.txt").read_text()
    assert os.getpid() not in {values(folder)["worker"] for folder in folders.values()}


def test_a_failure_leaves_the_others_going(tmp_path):
    bad, dead, good = cell("fail", 0), cell("die", 0), [cell("double", number) for number in range(3)]
    folders, outcome, _ = run([cell("double", 7, needs=[bad]), dead, *good], tmp_path)
    reasons = {path.name.rpartition("-")[0]: failure.message for path, failure in outcome.failed.items()}
    assert "this cell always fails" in reasons["fail-0"]
    assert "worker process died" in reasons["die-0"]
    assert "which failed" in reasons["double-7"]
    assert outcome.common_cause is None
    assert all(folders[f"double-{number}"].done for number in range(3))
    assert not folders["fail-0"].done
    assert "always fails" in folders["fail-0"].failure.message
    assert "always fails" in (folders["fail-0"].path / "traceback.txt").read_text()


def test_a_slot_has_no_more_threads_than_the_user_asks_for(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    folders, _, _ = run([cell("double", 1)], tmp_path, jobs=2)
    assert values(folders["double-1"])["threads"] == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    folders, _, _ = run([cell("double", 2)], tmp_path, jobs=2)
    assert values(folders["double-2"])["threads"] == 4


def test_what_a_cell_says_is_in_its_log_whatever_letters_it_has(tmp_path, monkeypatch):
    """Those of a path may be no text, and the system's own encoding may lack some."""
    monkeypatch.setattr(slots.launch, "work", lambda folder: print("図", os.fsdecode(b"\xff")))
    opened = Path.open

    def in_ascii(path, mode="r", *rest, **named):
        return opened(path, mode, *rest, **({} if "b" in mode else {"encoding": "ascii"}) | named)

    monkeypatch.setattr(Path, "open", in_ascii)
    folder = CellFolder.create(cell("double", 1), tmp_path, LOCAL)
    slots._work(folder.path)
    assert (folder.path / "log.txt").read_text("utf-8") == "図 \\udcff\n"


def test_whatever_a_worker_raises_fails_its_cell_alone(tmp_path):
    cells = [cell("double", number) for number in range(3)]
    folders = [CellFolder.create(one, tmp_path, LOCAL) for one in cells]
    (folders[0].path / "log.txt").mkdir()
    (folders[1].path / "config.json").write_text("{")
    outcome = do(folders, 1)
    assert outcome.done == [folders[2].path]
    assert outcome.broken[folders[0].path].message.startswith("IsADirectoryError: ")
    assert "no readable config.json" in outcome.failed[folders[1].path].message


def test_the_kind_of_a_failure_comes_from_the_worker(tmp_path):
    _, outcome, _ = run([cell("diverge", 0), cell("fail", 0)], tmp_path, jobs=1)
    assert [failure.kind for failure in outcome.broken.values()] == [DivergedError.kind, WorkbenchError.kind]
    assert outcome.broken == {path: CellFolder(path).failure for path in outcome.broken}


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_that_died_with_nothing_to_do_is_started_again(tmp_path, monkeypatch, late):
    """Also where its pool has not noticed its death when it is handed a cell."""
    folders = [CellFolder.create(cell("double", number), tmp_path, LOCAL) for number in range(2)]
    handed, pool, slot = threading.Event(), process._ExecutorManagerThread, slots._Slot
    notice, hand_over = pool.terminate_broken, slot._hand_over

    def hand(slot, folder):
        work = hand_over(slot, folder)
        if folder.path == folders[1].path:
            handed.set()
        return work

    if late:
        monkeypatch.setattr(pool, "terminate_broken", lambda *about: (handed.wait(), notice(*about)))
        monkeypatch.setattr(slot, "_hand_over", hand)

    def started(folder):
        if folder.path == folders[1].path:
            worker = values(folders[0])["worker"]
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: worker not in {child.pid for child in active_children()})

    outcome = do(folders, 1, started)
    assert len(outcome.done) == 2 and not outcome.failed
    assert len({values(folder)["worker"] for folder in folders}) == 2


def test_one_cause_for_all_is_told():
    cause, effect = Failure("error", "no data"), Failure("error", "needs a")
    outcome = schedule.Outcome(broken={Path("a"): cause, Path("b"): cause}, blocked={Path("c"): effect})
    assert outcome.common_cause == cause
    outcome.done.append(Path("d"))
    assert outcome.common_cause is None


def test_an_interrupt_ends_the_workers(tmp_path):
    folder = CellFolder.create(cell("sleep", 600), tmp_path, LOCAL)
    seen = []

    def interrupt(started):
        seen.append(started)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do([folder], 1, interrupt)
    assert seen and not folder.done


def interrupted(folders, jobs, times=1):
    """Do cells that save when they are asked to end, and interrupt that once all of them are at work."""

    def interrupt():
        wait_for(lambda: all((folder.path / "begun-0").exists() for folder in folders))
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    costs = {folder.path: 1.0 for folder in folders}
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt), Display(costs, jobs) as display:
        do(folders, jobs, display.started)
    return [folder.path for folder in folders if (folder.path / "saved-0").exists()]


@pytest.mark.usefixtures("heeded")
def test_what_is_at_work_saves_before_an_interrupt_ends_it(tmp_path, capfd):
    folders = [CellFolder.create(cell("saves", number), tmp_path, LOCAL) for number in (0, 1)]
    assert interrupted(folders, 2) == [folder.path for folder in folders]
    assert not any(folder.done or folder.failure or folder.held for folder in folders)
    said = capfd.readouterr().err.splitlines()
    assert said[-3:] == [interrupts.SAVING, *(f"{folder.label}: saved at half of it." for folder in folders)]


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("times, patience", [(2, 600.0), (1, 0.1)])
def test_what_does_not_end_by_itself_is_ended(tmp_path, monkeypatch, times, patience):
    """At a second interrupt, or when its time is over."""
    monkeypatch.setattr(slots, "PATIENCE", patience - slots.LONGER)
    folder = CellFolder.create(cell("saves", 600), tmp_path, LOCAL)
    assert not interrupted([folder], 1, times) and not folder.done
    wait_for(lambda: not folder.held, interrupts.PATIENCE / 2)  # when that is over, it ends itself


def test_another_process_that_has_the_number_of_a_worker_by_now_is_not_ended(monkeypatch):
    slot, pool = slots._Slot(1, None), []
    slot._pool, slot._pid = SimpleNamespace(shutdown=lambda **how: pool.append("shut down")), Future()
    slot._pid.set_result(os.getppid())
    monkeypatch.setattr(os, "kill", lambda *given: pytest.fail(f"{given} are ended"))
    slot.ask_to_end()
    slot.kill()
    assert pool == ["shut down"]


def test_a_worker_that_someone_else_asks_to_end_has_died(tmp_path):
    """It saves, and the command goes on with the others."""
    asked, other = (CellFolder.create(one, tmp_path, LOCAL) for one in (cell("saves", 0), cell("double", 0)))

    def ask(started):
        if started.path == other.path:
            begun = asked.path / "begun-0"
            wait_for(lambda: begun.exists() and begun.read_text())
            os.kill(int(begun.read_text()), signal.SIGTERM)

    outcome = schedule.do([asked, other], LocalSlots(2, "cpu"), 2, ask)
    assert outcome.done == [other.path] and outcome.broken == {asked.path: schedule.DIED}
    assert (asked.path / "saved-0").exists()


def test_what_is_needed_and_not_there_is_named(tmp_path):
    folder = CellFolder.create(cell("double", 1, needs=[cell("double", 2)]), tmp_path, LOCAL)
    CellFolder.create(cell("double", 2), tmp_path, LOCAL)
    outcome = do([folder], 1)
    assert [failure.message for failure in outcome.failed.values()] == ["what it needs is not there"]


def test_a_second_time_finds_it_done(tmp_path):
    folders, _, _ = run([cell("double", 3)], tmp_path)
    folder = folders["double-3"]
    before = (folder.path / "rows.jsonl").stat().st_mtime_ns
    time.sleep(0.01)
    Here().submit(folder).result()
    assert (folder.path / "rows.jsonl").stat().st_mtime_ns == before


def test_a_need_that_was_edited_leaves_the_others_going(tmp_path):
    need = cell("double", 1)
    folders, _, _ = run([need], tmp_path)
    config = folders["double-1"].path / "config.json"
    config.write_text(config.read_text().replace('"number": 1', '"number": 7'))
    reader, other = (
        CellFolder.create(one, tmp_path, LOCAL) for one in (cell("double", 2, needs=(need,)), cell("double", 3))
    )
    outcome = do([reader, other], 1)
    assert outcome.done == [other.path] and "was edited" in outcome.blocked[reader.path].message


@pytest.mark.parametrize(
    "jobs, visible, shares",
    [
        (2, None, ["0,2", "1,3"]),
        (2, "4,5,6,7", ["4,6", "5,7"]),
        (8, "4,5,6,7", ["4", "5", "6", "7", "4", "5", "6", "7"]),
        (1, "", [""]),
    ],
)
def test_slots_part_the_gpus(monkeypatch, jobs, visible, shares):
    monkeypatch.setattr(machine, "gpus", lambda: () if visible == "" else (("H100", 9.0),) * 4)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpus_of(slot, jobs) for slot in range(jobs)] == shares


@pytest.mark.parametrize("visible", [None, "0,1"])
def test_slots_see_what_this_process_sees_where_nvidia_smi_shows_no_gpu(monkeypatch, visible):
    """As in many containers: torch may see one all the same."""
    monkeypatch.setattr(machine, "gpus", tuple)
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    monkeypatch.setattr(os, "environ", {**variables})
    for name in ("share_threads", "end_with"):
        monkeypatch.setattr(slots.launch if name == "share_threads" else slots.several, name, lambda _: None)
    monkeypatch.setattr(slots, "TERMINAL", ())
    slots._prepare_worker(1, gpus_of(0, 2))
    assert os.environ == variables


def test_a_cell_that_another_command_works_on_does_not_hold_up_the_others(tmp_path, importable):
    cells = [cell("double", number) for number in range(3)]
    folders = [CellFolder.create(one, tmp_path, LOCAL) for one in cells]
    order, lock = [], alone(folders[0])
    lock.__enter__()

    def started(folder):
        order.append(folder.path)
        if folder.path == folders[0].path:
            lock.__exit__(None, None, None)

    outcome = do(folders, 1, started)
    assert order == [folder.path for folder in (*folders[1:], folders[0])]
    assert len(outcome.done) == 3


class Now:
    """Cells are done when they are handed over; what is done is nothing."""

    queues, waiting = False, {}

    def submit(self, folder):
        future = Future()
        future.set_result(None)
        return future

    def close(self):
        pass


@pytest.mark.parametrize(
    "costs, order",
    [
        ({}, "a b c d e"),
        ({"a": 2, "b": 3, "c": 1, "d": 5, "e": 4}, "b d e a c"),
        ({"a": 1, "b": 1, "c": 9, "d": 2, "e": 2}, "a c b d e"),  # of equals the first
        ({"a": 5, "b": 4, "c": 1, "d": 1, "e": 3}, "a c b d e"),  # results of what is done are seen early
    ],
)
def test_what_the_longest_way_hangs_on_is_done_first(tmp_path, costs, order):
    """c needs a and d needs b. No place is left with a long cell when the others are done."""
    a, b = cell("double", 1), cell("double", 2)
    cells = dict(zip("abcde", [a, b, cell("double", 3, [a]), cell("double", 4, [b]), cell("double", 5)], strict=True))
    folders = {name: CellFolder.create(one, tmp_path, LOCAL) for name, one in cells.items()}
    started, names = [], {folder.path: name for name, folder in folders.items()}
    by_path = {folders[name].path: cost for name, cost in costs.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CellFolder, "done", True)
        schedule.do(folders.values(), Now(), 1, lambda folder: started.append(names[folder.path]), costs=by_path)
    assert " ".join(started) == order


def test_a_schedule_wants_no_more_of_an_executor_than_to_submit_and_to_close(tmp_path, monkeypatch):
    """One that has done a cell when it is handed over, in this process."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    closed = []
    monkeypatch.setattr(Here, "close", lambda executor: closed.append(executor))
    cells = with_needs([cell("double", 5, needs=[cell("double", 1)]), cell("fail", 0)])
    folders = [CellFolder.create(one, tmp_path, LOCAL) for one in cells]
    here = Here()
    outcome = schedule.do(folders, here, 1, lambda folder: None)
    assert outcome.done == [folders[0].path, folders[1].path] and closed == [here]
    assert outcome.broken == {folders[2].path: folders[2].failure}
    assert {values(folder)["worker"] for folder in folders[:2]} == {os.getpid()}
    with pytest.raises(WorkbenchError, match="always fails"):
        here.submit(folders[2]).result()


def test_an_interrupt_ends_a_worker_that_has_not_yet_begun(tmp_path):
    """It would go on to the end of its cell otherwise, and this process would wait for it."""
    slots, folder = LocalSlots(1, "cpu"), CellFolder.create(cell("sleep", 600), tmp_path, LOCAL)
    future = slots.submit(folder)
    slots.close()
    assert isinstance(future.exception(timeout=60), BrokenProcessPool | CancelledError)
