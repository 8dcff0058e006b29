"""Names in any script on figures: in fonts of the machine that have their letters, else by number."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from unicodedata import category

from lab.reporting.tables import Table, columns

USUAL = "sans-serif"
CONTROL = "Cc"
PLACEHOLDERS = "Last Resort"
"""A font that has a box for every letter there is."""


@dataclass(frozen=True)
class Labels:
    """What is written of names, and the font families that have its letters, as `fontfamily` of a text takes them."""

    texts: tuple[str, ...]
    families: tuple[str, ...]


def labels(names: Sequence[str]) -> Labels:
    """Each name, or its number from 0 where a letter of it is in no font of the machine."""
    drawn = [_families_for(frozenset(name) - {"\n"}) for name in names]
    texts = [
        str(place) if families is None else name
        for place, (name, families) in enumerate(zip(names, drawn, strict=True))
    ]
    needed = dict.fromkeys(family for families in drawn for family in families or ())
    return Labels(tuple(texts), (USUAL, *needed))


def numbered(names: Sequence[str]) -> list[Table]:
    """A table of the names that figures show as numbers; none where there is no such name."""
    shown = labels(names).texts
    rows = [[text, name] for text, name in zip(shown, names, strict=True) if text != name]
    caption = "Names that no font of this machine can write: figures show their numbers."
    return [Table("names", caption, columns("number", "name"), rows)] if rows else []


@contextmanager
def unweighed() -> Iterator[None]:
    """Where matplotlib does not tell that a family has no letters of usual weight: it takes those that there are."""
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _families_for(letters: frozenset[str]) -> tuple[str, ...] | None:
    """The families beside the usual one that have the letters, as few as it takes one by one; None without such."""
    if any(category(letter) == CONTROL for letter in letters):
        return None
    lacking, found = {ord(letter) for letter in letters} - _letters(USUAL), []
    while lacking:
        family = max(_installed(), key=lambda one: len(lacking & _letters(one)))  # the first of several
        if not lacking & _letters(family):
            return None
        found.append(family)
        lacking -= _letters(family)
    return tuple(found)


@cache
def _installed() -> tuple[str, ...]:
    """The families of the machine's fonts, in order of their names."""
    from matplotlib.font_manager import fontManager

    names = {font.name for font in fontManager.ttflist if not font.name.startswith((PLACEHOLDERS, "."))}
    return (USUAL, *sorted(names))


@cache
def _letters(family: str) -> frozenset[int]:
    """The code points of a family's letters, in the file that a text of it is written with; none where it is of no use.

    Fonts of pictures, as of emoji, cannot be written with.
    """
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    try:
        with unweighed():
            font = FT2Font(findfont(FontProperties(family=[family]), fallback_to_default=family == USUAL))
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
