"""Draw the report of a study's FOLDER anew; or show two runs of one study side by side."""

from pathlib import Path

import click

from commands import _options as options
from commands import _paths as paths
from commands._printing import print_json, print_result, print_table
from lab.errors import say
from lab.reporting.report import write_page
from lab.studying.compare import APART, compare
from lab.studying.drawing import draw_study

PAGE = "compare.html"
COMPARE = "Draw nothing: print the verdicts of this other run of the study beside, and write compare.html."


@click.command("report", help=__doc__)
@options.folder
@click.option("--compare", "other", type=paths.A_FOLDER, help=COMPARE)
@options.formats
@options.json
def command(folder: Path, other: Path | None, formats: tuple[str, ...], as_json: bool) -> None:
    """Draw and print it."""
    if other is None:
        return print_result(draw_study(folder, formats=formats), as_json, again=True)
    found, page = compare(folder, other), folder / PAGE
    write_page(found.report(str(folder), str(other)), page)
    verdicts = [
        (text, *(verdict.verdict if verdict else "not stated" for verdict in both))
        for text, both in found.verdicts.items()
    ]
    print_table([["claim", "one", "other"], *verdicts])
    say(f"{len(found.measures)} measures beside one another: {page}" if found.measures else f"{APART} Page: {page}")
    print_json({"study": found.study, "page": str(page), "verdicts": verdicts}, as_json)
