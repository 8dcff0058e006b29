"""Pages from the templates: every name in them is escaped, and nothing is fetched from elsewhere."""

import base64
from pathlib import Path
from typing import Any

from lab.reporting.tables import sort_key, text


def render(template: str, **parts: Any) -> str:
    """The page that a template makes of its parts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"text": text, "sort_key": sort_key}
    environment.filters["kind"] = lambda item: type(item).__name__
    environment.filters["uri"] = lambda png: f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return environment.get_template(template).render(parts)
