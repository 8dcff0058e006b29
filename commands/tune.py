"""Search a study's settings: validation decides, and the test split is not read. Run again, it goes on."""

import shlex
from pathlib import Path
from typing import Any

import click

from commands import _options as options
from commands import _paths as paths
from commands._entries import entry_group
from commands._printing import print_json, print_table, takes, tell
from commands._queue import asking
from lab import registry
from lab.errors import say
from lab.studying.search import Searching, plan_search, search

STORAGE = "Database from which several workers take trials, as postgresql://USER@HOST/NAME.  [default: the folder]"
FOLDER = "Folder of the search. `runs list` and `runs remove` know only the default one.  [default: one below runs]"


def _make(name: str) -> click.Command:
    searchable = registry.load("studies", name).SEARCH

    @click.command(name, help=f"Search settings of the study {name}; the best become a file for its --config.")
    @click.option(
        "--trials",
        type=options.count(most=1_000_000),
        default=20,
        help="Settings to try, those of earlier commands included.",
    )
    @options.of(searchable.settings)
    @options.jobs
    @options.executing("slots")
    @click.option("--storage", metavar="URL", help=STORAGE)
    @click.option("--folder", type=paths.ANY_FOLDER, help=FOLDER)
    @click.option("--dry-run", is_flag=True, help="Tell what is searched and an estimate of the time; do nothing.")
    @options.training
    @options.runs
    @options.json
    def command(
        trials: int, storage: str | None, folder: Path | None, dry_run: bool, runs: Path, as_json: bool, **values: Any
    ) -> None:
        place = options.place_of(values)
        config = searchable.settings.parse(options.taken(values, searchable.settings))
        data, local, settle = options.training_place(**values)
        config = config.settled(settle).fitted(data, say)
        searching = plan_search(name, searchable, config, runs=runs, data=data, folder=folder, place=place)
        if dry_run:
            return _print_plan(searching, trials, as_json)
        planned: set[Path] = set()
        with asking(place, lambda: sorted(planned)):
            found = search(searching, trials=trials, local=local, storage=storage, planned=planned.update, say=say)
        print_table(found.rows())
        say(f"Best: trial {found.best.number + 1}, {found.preset}")
        say(f"Next: {shlex.join(['snnl', 'study', name, '--config', str(found.preset)])}")
        print_json(found.plain(), as_json)

    return command


def _print_plan(searching: Searching, trials: int, as_json: bool) -> None:
    """What is searched, how many trainings are left, and how long they take."""
    print_table([["setting", "searched"], *([name, part] for name, part in searching.space.items())])
    left, each = max(0, trials - searching.told), len(searching.example)
    time = takes(searching.example * left, searching.slots, searching.runs)
    tell(f"{left} of {trials} trials to do in {searching.folder}, of {each} trainings each, {time}.")
    space = {name: str(part) for name, part in searching.space.items()}
    print_json({"study": searching.study, "folder": str(searching.folder), "space": space, "trials": left}, as_json)


command = entry_group("tune", "studies", _make, having="SEARCH", help=__doc__)
