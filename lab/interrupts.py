"""How work ends when it is asked to: by Ctrl-C (SIGINT), Slurm or `kill` (SIGTERM), or a terminal that closes (SIGHUP).

Slurm is asked to send SIGUSR1 where a job's time is nearly over.

A command raises an error and cleans up. A training goes on to the end of its step, saves, and raises the error then. A
signal that is ignored, as `nohup` has it, stays so. In threads other than the main one nothing is changed.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from lab.errors import say
from lab.processes import lost_another, rank

PATIENCE = 20.0
"""Seconds that work has to save in: Slurm kills 30 after it asked."""
AGAIN = 0.1
"""Seconds after which a signal is sent again that cannot be heeded yet."""
CTRL_C = signal.SIGINT
HANGUP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
TIME_OVER = (signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()
OTHERS = (signal.SIGTERM, *TIME_OVER, *HANGUP)
TERMINAL = (CTRL_C, *HANGUP)
"""What a terminal sends to all processes that it sees."""
Handler = Callable[[int, FrameType | None], None]
SAVING = "Ending: trainings finish their step and save. Ctrl-C again ends them at once."


class Interrupted(KeyboardInterrupt):
    """A signal has asked this process, or another that works with it, to end."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number, self.exit_code = number, 128 + number


class Ending:
    """Whether work was asked to end, and by which signal."""

    def __init__(self) -> None:
        self.number = 0
        self._asked, self._over = threading.Event(), threading.Event()

    def ask(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """Ask it, which a signal does; a Ctrl-C after that ends the work here and now.

        Raises:
            Interrupted: it is that one.
        """
        if number == CTRL_C and self.number:
            raise Interrupted(number)
        if not self.number:  # a signal may come while this handles another, and an event's lock is taken only once
            self.number = number
            self._asked.set()

    def watch(self) -> None:
        """End the process if the work goes on for too long after it was asked to end."""
        self._asked.wait()
        if not self._over.is_set() and rank() == 0:
            say(SAVING)
        if not self._over.wait(PATIENCE):
            os._exit(128 + self.number)

    def over(self) -> None:
        """The work has ended."""
        self._over.set()
        self._asked.set()


@contextmanager
def deferred() -> Iterator[Ending]:
    """Let the block look whether it is asked to end, and end in a good place, for which it has `PATIENCE` seconds.

    Raises:
        Interrupted: it was asked; at the end of the block, or at once if it was by a second Ctrl-C.
    """
    ending = Ending()
    threading.Thread(target=ending.watch, daemon=True).start()
    try:
        with _handled((CTRL_C, *OTHERS), ending.ask):
            yield ending
    except Exception as error:
        if ending.number and lost_another(str(error)):  # another process has ended, as this one is to
            raise Interrupted(ending.number) from error
        raise
    finally:
        ending.over()
    if ending.number:
        raise Interrupted(ending.number)


@contextmanager
def raised() -> Iterator[None]:
    """Within the block, what asks to end raises, as Ctrl-C does; the first time only, as what ends then takes a while.

    Raises:
        Interrupted: a signal came.
        KeyboardInterrupt: Ctrl-C did.
    """
    with _handled(OTHERS, _once_it_can(_raise)), _handled((CTRL_C,), _once_it_can(signal.default_int_handler)):
        yield


def _once_it_can(handler: Handler) -> Handler:
    """A handler that waits until torch is imported: an error that is raised in its C++ meanwhile aborts the process."""

    def handle(number: int, frame: FrameType | None) -> None:
        spec = getattr(sys.modules.get("torch"), "__spec__", None)
        if not getattr(spec, "_initializing", False):
            handler(number, frame)
            return
        again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    return handle


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    for each in OTHERS:
        signal.signal(each, _heedless)
    raise Interrupted(number)


def _heedless(number: int, frame: FrameType | None) -> None:
    """Python prints a traceback where a signal came before this one was handled, and is ignored by SIG_IGN since."""


@contextmanager
def _handled(numbers: Iterable[int], handler: Handler) -> Iterator[None]:
    """Have a handler for these signals, but for those that are ignored."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
    before = {number: known for number, known in before.items() if known not in (signal.SIG_IGN, _heedless, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
