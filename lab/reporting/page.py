"""Pages from the templates: names in them are escaped, nothing is fetched from elsewhere, and each says its kind."""

import base64
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lab.errors import WorkbenchError
from lab.reporting.tables import sort_key, text

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT, SITE = "report.html", "index.html"
"""What the pages are called in folders of their own."""
PAGES = {"report": REPORT, "site": SITE}
MARK = '<meta name="generator" content="SNNL workbench: {}">'
"""What a page is known by: that it is a `report`, or a `site`."""
BEFORE = {"report": "default-src 'none'; img-src data:; style-src", "site": "<title>SNNL workbench: results</title>"}
"""What pages of either kind hold that were written before they had a mark."""


def check_place(page: Path, kind: str) -> None:
    """Look whether a page of a kind may be written where people say: over nothing else than one of that kind.

    Raises:
        WorkbenchError: something of their own is there.
    """
    if page.exists() and not (page.is_file() and _is_own(page.read_bytes(), kind)):
        raise WorkbenchError(
            f"{page} is not a {kind} that was written here, and is left alone: move it, or name another place."
        )


def _is_own(page: bytes, kind: str) -> bool:
    return any(sign.encode() in page for sign in (MARK.format(kind), BEFORE[kind]))


def render(template: str, **parts: Any) -> str:
    """The page that a template makes of its parts."""
    mark = MARK.format(template.partition(".")[0])
    return _environment().get_template(template).render(parts, mark=mark)


@cache
def _environment() -> "Environment":
    """What has the templates, each compiled once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"text": text, "sort_key": sort_key, "link": lambda path: quote(os.fsencode(path))}
    environment.filters["kind"] = lambda item: type(item).__name__
    environment.filters["uri"] = lambda png: f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return environment
