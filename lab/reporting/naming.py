"""What people call things in place of the keys by which cells know them, wherever a report shows one."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from lab.errors import visible
from lab.reporting.report import Lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

ShownT = TypeVar("ShownT")


def renamed(shown: ShownT, names: Mapping[str, str]) -> ShownT:
    """A report, a verdict, or any part of one, with the names in place of the keys in all its texts and drawings.

    The data beside figures keep the keys, as the table of rows does, and lines to be typed, which names would spoil.
    Control characters in names are shown: no SVG may hold one.
    """
    keys = sorted(filter(None, names), key=len, reverse=True)  # one may begin as another
    if not keys:
        return shown
    anywhere = re.compile("|".join(map(re.escape, keys)))
    return _renamed(shown, lambda text: anywhere.sub(lambda found: visible(names[found[0]]), text))


def _renamed(shown: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(shown, str):
        return rename(shown)
    if isinstance(shown, list | tuple):
        return type(shown)(_renamed(part, rename) for part in shown)
    if isinstance(shown, Lines):
        return replace(shown, caption=_renamed(shown.caption, rename))
    if is_dataclass(shown) and not isinstance(shown, type):
        return replace(shown, **{field.name: _renamed(getattr(shown, field.name), rename) for field in fields(shown)})
    if hasattr(shown, "draw_without_rendering"):
        _rename_in(shown, rename)
    return shown


def _rename_in(drawing: "Drawing", rename: Callable[[str], str]) -> None:
    from matplotlib.text import Text

    for text in drawing.findobj(Text):
        text.set_text(rename(text.get_text()))
