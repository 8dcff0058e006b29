"""What a page tells of a drawing's parts where the pointer is on them, and what a click in the legend hides.

Studies note it as they draw, by `tell`; `marked` gives the parts names in the SVG and what is known of each name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure as Drawing

FIXED = "fixed"
"""How the names of parts begin whose colours are the same on a dark page: what is written on an image."""
POINTS_AN_INCH = 72
"""The unit of an SVG."""


@dataclass(frozen=True)
class Told:
    """What is known of a curve, of dots, or of a bar.

    Attributes:
        series: what it belongs to, and goes with: a GAN, a setting.
        what: which of the series it is: a seed, the mean.
        values: of its points (n,); empty where nothing is told of them.
        places: where they are on the axis of `unit` (n,); empty where the figure says that.
        unit: of the places.
    """

    series: str
    what: str
    values: tuple[float, ...]
    places: tuple[float, ...]
    unit: str


_told: "WeakKeyDictionary[Artist, Told]" = WeakKeyDictionary()


def tell(
    part: "Artist",
    series: str,
    what: str = "",
    values: Sequence[float] | Any = (),
    places: Sequence[float] | Any = (),
    unit: str = "",
) -> None:
    """Note what is known of a part of a drawing, as in `Told`."""
    _told[part] = Told(series, what, tuple(map(float, values)), tuple(map(float, places)), unit)


def marked(drawing: "Drawing") -> dict[str, dict[str, str]]:
    """Name the parts of a drawing, which is laid out, of which something is told; what, as attributes by name."""
    found: dict[str, dict[str, str]] = {}
    everything = [part for axes in drawing.axes for part in axes.get_children()]
    for place, part in enumerate(part for part in everything if part.get_gid() == FIXED):
        part.set_gid(f"{FIXED}-{place}")
    parts = [part for part in everything if part in _told]
    for part in parts:
        name = f"told-{len(found)}"
        part.set_gid(name)
        told = _told[part]
        found[name] = {"data-series": told.series, "data-what": told.what, "data-unit": told.unit}
        if told.values:
            found[name]["data-points"] = " ".join(_points(part, told, drawing))
    known = {_told[part].series for part in parts} - {""}
    for part, series in _keys(drawing, known):
        name = f"told-{len(found)}"
        part.set_gid(name)
        found[name] = {"data-key": series}
    return found


def _points(part: Any, told: Told, drawing: "Drawing") -> Iterator[str]:
    """Each point as `x,y,value,place`, where x and y are those of the SVG."""
    line = hasattr(part, "get_xydata")
    where = part.get_transform() if line else part.get_offset_transform()
    dots = where.transform(part.get_xydata() if line else part.get_offsets()) * (POINTS_AN_INCH / drawing.dpi)
    height = drawing.get_figheight() * POINTS_AN_INCH
    places: Sequence[float | str] = told.places or [""] * len(told.values)
    for (x, y), value, place in zip(np.asarray(dots), told.values, places, strict=True):
        if np.isfinite([x, y]).all():
            yield f"{x:.0f},{height - y:.0f},{value:.4g},{place if place == '' else f'{place:.6g}'}"


def _keys(drawing: "Drawing", series: set[str]) -> "Iterator[tuple[Artist, str]]":
    """The text and the sample in legends of each of some series, and which that is."""
    legends = [*drawing.legends, *(axis.get_legend() for axis in drawing.axes)]
    for legend in filter(None, legends):
        for text, sample in zip(legend.get_texts(), legend.legend_handles, strict=True):
            for part in (text, sample) if text.get_text() in series else ():
                if part is not None:
                    yield part, text.get_text()
