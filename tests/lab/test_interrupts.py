"""What signals do: where work is to end in a good place, and where a command is."""

import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from lab import interrupts
from lab.interrupts import Interrupted, deferred, raised

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals"), pytest.mark.usefixtures("heeded")]
ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def send(number):
    """To this process, whose handler is run before the next line is."""
    signal.raise_signal(number)
    time.sleep(0)


@pytest.fixture(autouse=True)
def handlers():
    """What handles signals before a test handles them after it."""
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    assert {number: signal.getsignal(number) for number in ALL} == before


@pytest.mark.parametrize("number", ALL)
def test_work_goes_on_to_where_it_looks(number, capfd):
    seen = []
    with pytest.raises(Interrupted) as end, deferred() as ending:
        seen.append(ending.number)
        send(number)
        seen.append(ending.number)
    assert seen == [0, number] and end.value.exit_code == 128 + number
    assert isinstance(end.value, KeyboardInterrupt)


def test_work_that_nobody_asks_to_end_ends_well():
    with deferred() as ending:
        pass
    assert not ending.number


def test_a_second_ctrl_c_ends_work_at_once_and_slurm_may_ask_twice():
    with pytest.raises(Interrupted), deferred():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        reached = True
        send(signal.SIGINT)
        pytest.fail("it went on")
    assert reached


def test_a_signal_that_comes_while_another_is_handled_waits_for_nothing():
    with pytest.raises(Interrupted), deferred() as ending:
        send(signal.SIGTERM)
        with ending._asked._cond:  # held where the first handler was interrupted by the second signal
            send(signal.SIGTERM)


def test_work_that_does_not_end_is_ended(monkeypatch, capfd):
    """Even where it is in a call that does not come back to Python."""
    ended = threading.Event()
    monkeypatch.setattr(interrupts, "PATIENCE", 0.01)
    monkeypatch.setattr(os, "_exit", lambda code: ended.set() if code == 130 else None)
    with pytest.raises(Interrupted), deferred():
        send(signal.SIGINT)
        assert ended.wait(60)
    assert "trainings finish their step and save. Ctrl-C again" in capfd.readouterr().err


def test_work_that_ended_is_not_ended_later(monkeypatch):
    codes = []
    monkeypatch.setattr(interrupts, "PATIENCE", 0.01)
    monkeypatch.setattr(os, "_exit", codes.append)
    with pytest.raises(ZeroDivisionError), deferred():
        raise ZeroDivisionError
    with deferred():
        pass
    time.sleep(0.1)
    assert not codes


def test_who_lost_another_process_after_it_was_asked_to_end_has_not_failed():
    lost = RuntimeError("gloo/transport/tcp/pair.cc: Connection closed by peer [127.0.0.1]:4")
    with pytest.raises(Interrupted), deferred():
        send(signal.SIGTERM)
        raise lost
    with pytest.raises(RuntimeError, match="Connection closed"), deferred():
        raise lost
    with pytest.raises(OSError, match="No space left"), deferred():
        send(signal.SIGTERM)
        raise OSError("No space left on device")


@pytest.mark.parametrize("block", [deferred, raised])
def test_what_is_ignored_stays_ignored(block):
    """As `nohup` ignores a terminal that closes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with block():
            send(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("block", [deferred, raised])
def test_in_a_thread_nothing_is_changed(block):
    found = []

    def work():
        with block():
            found.append([signal.getsignal(number) for number in ALL])

    expected = [signal.getsignal(number) for number in ALL]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [expected]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_ends_as_by_ctrl_c_and_its_end_is_not_cut_short(number):
    cleaned = []
    with pytest.raises(Interrupted) as end, raised():
        try:
            send(number)
            pytest.fail("it went on")
        finally:
            send(signal.SIGTERM)
            cleaned.append(True)
    assert end.value.exit_code == 128 + number and cleaned


@pytest.mark.parametrize("number", ALL)
def test_a_signal_is_heeded_once_torch_is_imported_whose_import_an_error_would_abort(monkeypatch, number):
    torch = SimpleNamespace(__spec__=SimpleNamespace(_initializing=True))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(KeyboardInterrupt), raised():
        send(number)
        torch.__spec__._initializing = reached = False
        time.sleep(60)
    assert reached is False


def test_two_signals_at_once_end_a_command_without_a_traceback(monkeypatch):
    told, both = [], {signal.SIGTERM, signal.SIGHUP}
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with pytest.raises(Interrupted), raised():
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, both)
            for number in both:
                signal.raise_signal(number)  # in this thread: another one's would come before they are let through
            signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
        finally:
            for _ in range(1000):  # cleaning up takes a while
                time.sleep(0)
    assert not told
