"""Timing works side by side: in turn, several rounds, with ratios taken within each round; and the tables of it.

So a machine that speeds up or slows down does not decide. Importing this makes the workbench importable from a
benchmark that is run as a file.
"""

import json
import statistics
import sys
import threading
import time
from functools import reduce
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

json_option = click.option(
    "--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here."
)


def help_of(text):
    """A docstring as a command's help, with its indented lines, which are commands, left as they are."""
    return text.replace("\n\n    ", "\n\n\b\n    ")


def _there(context, parameter, device):
    """The device; one line and exit code 2 where there is none."""
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            error = click.ClickException("torch sees no CUDA GPU here: leave --device cuda out, or go where one is.")
            error.exit_code = 2
            raise error
    return device


device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    callback=_there,
    is_eager=True,
    help="Where to compute.",
)


def rounds_option(default, text="Rounds in which each is timed once."):
    """The option `--rounds`."""
    return click.option("--rounds", default=default, show_default=True, help=text)


def training_options(size, rounds):
    """The options of a benchmark of a training loop, with the defaults of two of them."""
    options = (
        click.option("--size", default=size, show_default=True, help="Side of the images in pixels."),
        click.option("--batch", default=128, show_default=True, help="Images in a batch."),
        rounds_option(rounds),
        click.option("--steps", default=10, show_default=True, help="Steps of a loop in a round."),
        device_option,
        json_option,
    )
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def seconds(work, calls=1):
    """The time of one call, of so many; a work that is done elsewhere measures it there."""
    if hasattr(work, "seconds"):
        return work.seconds(calls)
    settle()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    settle()
    return (time.perf_counter() - start) / calls


def settle():
    """Wait for the GPU, if this process has given it any work: it works on while the clock is read."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def in_turn(works, rounds, calls=1):
    """For each round the seconds of a call of each work, by name; `calls` is how many of each, or of all alike."""
    calls = calls if isinstance(calls, dict) else dict.fromkeys(works, calls)
    for _ in range(rounds):
        yield {name: seconds(work, calls[name]) for name, work in works.items()}


def median(times, name):
    """The median over rounds of what one work took."""
    return statistics.median(each[name] for each in times)


def ratio(times, over, under):
    """The median and the range over rounds of how many times as long one work takes as another."""
    found = [each[over] / each[under] for each in times]
    return {"median": statistics.median(found), "low": min(found), "high": max(found)}


def shown(ratio):
    """A ratio as people read it: its median and its range."""
    return f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def peak(work, device="cpu"):
    """The seconds that work takes, and how far this process's memory rises in it, in MB; Linux alone tells that.

    That is the resident set, with pages of mapped files that the system takes back when it needs them, and without
    those, which is looked at every 10 ms. On a GPU both are what tensors take there.
    """
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        held, taken = torch.cuda.memory_allocated(), seconds(work)
        return taken, *[(torch.cuda.max_memory_allocated() - held) / 2**20] * 2
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, own, done = status("VmRSS"), [status("RssAnon")], threading.Event()

    def look():
        while not done.wait(0.01):
            own.append(status("RssAnon"))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        taken = seconds(work)
    finally:
        done.set()
        looking.join()
    return taken, status("VmHWM") - before, max(own) - own[0]


def status(name):
    """A figure of this process's memory in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 2**10


def row(work, taken, unit, value, at_most=None, at_least=None):
    """One line of a table; `taken`, in seconds, is 0 where time is beside the point."""
    met = None if at_most is at_least is None else bool(value <= at_most if at_most is not None else value >= at_least)
    bounds = {"at_most": at_most, "at_least": at_least, "met": met}
    return {"work": work, "seconds": taken, "unit": unit, "value": value, **bounds}


def text(line):
    """A line as people read it."""
    bound = next((f"{sign} {line[key]:g}" for key, sign in (("at_most", "<="), ("at_least", ">=")) if line[key]), "")
    verdict = {True: "met", False: "MISSED", None: ""}[line["met"]]
    taken = f"{line['seconds']:>10.5f} s" if line["seconds"] else " " * 12
    return f"{line['work']:<62} {taken} {line['value']:>10.4g} {line['unit']:<24} {bound:<9} {verdict}"


def table(out, lines):
    """Print each line as it comes, and keep all of them in the file that is asked for, if one is."""
    kept = []
    for line in lines:
        print(text(line), flush=True)
        kept.append(line)
    write(out, kept)


def write(out, figures):
    """Keep the figures in the file that is asked for, if one is."""
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n")
