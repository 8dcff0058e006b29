"""A site of finished studies: one page of their verdicts beside the claims of a paper, and their reports below it.

index.html            claims, filters and cards; it opens offline, without a server
reports/STUDY-KEY/    the report of each study
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import machine, parallel
from lab.cells import layout
from lab.cells.record import read_study
from lab.files import atomic_write
from lab.pace import paced
from lab.reporting.page import SITE, check_place, render
from lab.reporting.report import Figure
from lab.reporting.verdicts import Verdict
from lab.studying.drawing import draw_into


@dataclass(frozen=True)
class Entry:
    """A study as the site shows it; paths are below the site's folder."""

    study: str
    key: str
    title: str
    question: str
    images: tuple[str, ...]
    verdicts: Sequence[Verdict]
    report: str
    picture: str

    @property
    def kinds(self) -> list[str]:
        """The verdicts that there are, each once."""
        return list(dict.fromkeys(verdict.verdict for verdict in self.verdicts))


@dataclass(frozen=True)
class Tested:
    """What the studies found of a claim of a paper: each verdict with the study that gave it."""

    text: str
    found: Sequence[tuple[Entry, Verdict]]


def finished(places: Iterable[Path]) -> list[Path]:
    """The folders of finished studies below folders of runs; one that lies in several is taken from the first."""
    found: dict[str, Path] = {}
    for folder in (folder for place in places for folder in layout.studies(place)):
        if layout.is_study(folder) and layout.is_done(folder):
            found.setdefault(f"{folder.parent.name}-{folder.name}", folder)
    return [found[name] for name in sorted(found)]


def write_site(folders: Sequence[Path], findings: Mapping[int, str], site: Path) -> Path:
    """Draw the reports of studies anew below `site`, and the page that leads to them.

    Args:
        folders: of the studies.
        findings: the claims of the paper, by the number that a study's `Claim.finding` names.
        site: where to.

    Returns:
        The page's path.

    Raises:
        WorkbenchError: a folder cannot be drawn, a process that draws died, or a page that is no site stands where this
            one is to go.
    """
    check_place(site / SITE, "site")
    return write_index([*paced(_drawn(folders, site), len(folders), "studies")], findings, site)


def write_index(entries: Sequence[Entry], findings: Mapping[int, str], site: Path) -> Path:
    """Write the page alone."""
    tested = [
        Tested(
            text,
            [(entry, verdict) for entry in entries for verdict in entry.verdicts if verdict.claim.finding == number],
        )
        for number, text in findings.items()
    ]
    choices = {
        "study": sorted({entry.study for entry in entries}),
        "images": sorted({name for entry in entries for name in entry.images}),
        "verdict": sorted({kind for entry in entries for kind in entry.kinds}),
    }
    page = site / SITE
    page.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(page, render("site.html.j2", entries=entries, tested=tested, choices=choices))
    return page


def _drawn(folders: Sequence[Path], site: Path) -> Iterable[Entry]:
    """The studies, drawn side by side, as they come in their order; a single one in this process."""
    workers = min(machine.threads(), len(folders))
    return parallel.run(_entry, ((folder, site) for folder in folders), workers, "A process that draws")


def _entry(folder: Path, site: Path) -> Entry:
    record = read_study(folder)
    place = f"reports/{record.study}-{folder.name}"
    report, verdicts = draw_into(folder, site / place, ("svg",), f"../../{SITE}")
    keys = record.settings.get("imagesets") or [record.settings.get("imageset") or "none"]
    figures = [item.name for section in report.sections for item in section.items if isinstance(item, Figure)]
    picture = f"{place}/figures/{figures[0]}.svg" if figures else ""
    page = f"{place}/report.html"
    images = tuple(record.names.get(key, key) for key in map(str, keys))
    return Entry(record.study, folder.name, report.title, report.question, images, verdicts, page, picture)
