"""Search a study's settings: validation decides, and the test split is not read. Run again, it goes on."""

from pathlib import Path
from typing import Any

import click

from commands import _options as options
from commands._entries import entry_group
from commands._printing import print_json, print_table, say
from lab import registry
from lab.studying.search import search


def _make(name: str) -> click.Command:
    searchable = registry.load("studies", name).SEARCH

    @click.command(name, help=f"Search settings of the study {name}; the best become a file for its --config.")
    @click.option(
        "--trials", type=click.IntRange(1), default=20, help="Settings to try, those of earlier commands included."
    )
    @options.of(searchable.settings)
    @options.jobs
    @click.option("--folder", type=options.ANY_FOLDER, help="Folder of the search.  [default: one below runs]")
    @options.training
    @options.runs
    @options.json
    def command(trials: int, jobs: int | None, folder: Path | None, runs: Path, as_json: bool, **values: Any) -> None:
        config = searchable.settings.parse(options.taken(values, searchable.settings))
        data, local, settle = options.training_place(**values)
        where: dict[str, Any] = {"runs": runs, "data": data, "local": local, "folder": folder, "jobs": jobs}
        config = config.settled(settle).fitted(data, say)
        found = search(name, searchable, config, trials=trials, **where, say=say)
        print_table(found.rows())
        say(f"Best: trial {found.best.number + 1}, {found.preset}")
        say(f"Next: snnl study {name} --config {found.preset}")
        print_json(found.plain(), as_json)

    return command


command = entry_group("tune", "studies", _make, having="SEARCH", help=__doc__)
