"""Commands whose work several processes share: the command begins again in each, and the first of them speaks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
from io import StringIO
from typing import Any

import click

from commands import _options as options
from lab import machine
from lab.errors import UsageError, say
from lab.processes import forget_launchers, rank, world_size
from lab.running import several

PROCESSES = "Processes that share the work, each with its part of the points."


def shared(ready: Callable[..., object] = lambda **values: None) -> options.Decorator:
    """The option `--processes` of a command; its function is told whether the work is `sharded`, and in each process
    does its part of it. What only one process can make, `ready` makes before there are others."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--processes", type=options.count(most=1024), default=1, help=PROCESSES)
        @wraps(command)
        def begin(processes: int, **values: Any) -> None:
            if processes == 1:
                return command(sharded=False, **values)
            device = values.get("device", "cpu")
            if world_size() == 1:
                several.check_gpus(device, processes)
                ready(**values)
                return several.again(processes)
            with several.one_of_those(), _together(processes, device):
                command(sharded=True, **values)

        return begin

    return decorated


@contextmanager
def _together(processes: int, device: str) -> Iterator[None]:
    """Within the block, the processes can reach each other; of the others than the first, warnings alone are told."""
    from lab.training.frame import make_accelerator
    from lab.training.together import leave

    if world_size() != processes:
        raise UsageError(f"--processes {processes} are asked for, and {world_size()} came: ask for as many.")
    forget_launchers()
    with ExitStack() as silence:
        if rank():
            silence.enter_context(redirect_stdout(StringIO()))
            told = silence.enter_context(redirect_stderr(StringIO()))
        accelerator = make_accelerator(machine.resolve_device(device))
        yield
        leave(accelerator)
    if rank():
        for line in told.getvalue().splitlines():
            if line.startswith("Warning: "):
                say(f"{line} (process {rank()})")
