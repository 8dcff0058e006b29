"""What people call things in place of the keys by which cells know them, wherever a report shows one."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from lab.reporting.report import Lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

ShownT = TypeVar("ShownT")


def renamed(shown: ShownT, names: Mapping[str, str]) -> ShownT:
    """A report, a verdict, or any part of one, with the names in place of the keys in all its texts and drawings.

    The data beside figures keep the keys, as the table of rows does, and lines to be typed, which names would spoil.
    """
    return _renamed(shown, names) if names else shown


def _renamed(shown: Any, names: Mapping[str, str]) -> Any:
    if isinstance(shown, str):
        for key, name in names.items():
            shown = shown.replace(key, name)
        return shown
    if isinstance(shown, list | tuple):
        return type(shown)(_renamed(part, names) for part in shown)
    if isinstance(shown, Lines):
        return replace(shown, caption=_renamed(shown.caption, names))
    if is_dataclass(shown) and not isinstance(shown, type):
        return replace(shown, **{field.name: _renamed(getattr(shown, field.name), names) for field in fields(shown)})
    if hasattr(shown, "draw_without_rendering"):
        _rename_in(shown, names)
    return shown


def _rename_in(drawing: "Drawing", names: Mapping[str, str]) -> None:
    from matplotlib.text import Text

    for text in drawing.findobj(Text):
        text.set_text(_renamed(text.get_text(), names))
