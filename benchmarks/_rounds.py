"""Timing works side by side: in turn, several rounds, with ratios taken within each round.

So a machine that speeds up or slows down does not decide. Importing this makes the workbench importable from a
benchmark that is run as a file.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

json_option = click.option(
    "--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here."
)


def rounds_option(default, text="Rounds in which each is timed once."):
    """The option `--rounds`."""
    return click.option("--rounds", default=default, show_default=True, help=text)


def seconds(work, calls=1):
    """The time of one call, of so many."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def in_turn(works, rounds, calls=1):
    """For each round the seconds of a call of each work, by name."""
    for _ in range(rounds):
        yield {name: seconds(work, calls) for name, work in works.items()}


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


def write(out, figures):
    """Keep the figures in the file that is asked for, if one is."""
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n")
