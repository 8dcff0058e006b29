"""torchrun as a program whose exit code tells, as a shell's does, how the first process to fail ended.

    python -P lab/running/torchrun.py LOG PROCESSES SCRIPT ARGUMENT ...

`-P` keeps the folders of this file and of the user off the path, where they would hide packages of the same names.
"""

import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NoReturn
from uuid import uuid4

SIGNAL = 128
"""What is added to the number of the signal that ended a process."""
STOPPED = (-signal.SIGTERM, SIGNAL + signal.SIGTERM)
"""How a process ends that was stopped: at once, or once it has saved."""


def main(log: str, processes: str, *script: str) -> int:
    """Run a script in so many processes that find each other, until all have ended or one fails; 0, or how it ended.

    What torchrun says of them goes to the log; they speak where this process would.
    Of those that fail within a second, one that was killed says more than one that lost it or was stopped for it.
    """
    with (
        TemporaryDirectory(prefix="snnl-torchrun-") as home,  # torch's own is left behind
        Path(log).open("a", encoding="utf-8", errors="backslashreplace") as file,
        redirect_stderr(file),  # before torch is imported, which keeps what it is then
    ):
        return _run(int(processes), script, home)


def _run(processes: int, script: Sequence[str], home: str) -> int:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logs = DefaultLogsSpecs(log_dir=home)
    config = LaunchConfig(1, 1, processes, run_id=str(uuid4()), rdzv_backend="c10d", max_restarts=0, logs_specs=logs)
    config.rdzv_endpoint, config.signals_to_handle = "localhost:0", "SIGQUIT"
    signal.signal(signal.SIGTERM, _end)
    try:
        elastic_launch(config, sys.executable)("-u", *script)
        return 0
    except SignalException as error:
        print(error, file=sys.stderr)
        return 1
    except ChildFailedError as error:
        print(error, file=sys.stderr)
        ends = [(failure.timestamp, failure.exitcode) for failure in error.failures.values()]
        _, code = min(ends, key=lambda end: (end[0], end[1] in STOPPED, end[1]))
        return code if code > 0 else SIGNAL - code
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from here it ends by itself


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Have torchrun stop its processes and wait for them; whoever asks again, as Slurm may, does not cut that short."""
    from torch.distributed.elastic.multiprocessing import SignalException

    signal.signal(number, signal.SIG_IGN)
    raise SignalException("asked to end", signal.Signals(number))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
