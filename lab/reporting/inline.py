"""A drawing's SVG as a part of a page, in colours that follow its mode: light, dark or printed."""

import re
from collections.abc import Mapping
from itertools import count
from xml.etree import ElementTree

from lab.reporting.told import FIXED

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
COLOUR = re.compile(r"#([0-9a-f]{6})")
REFERENCE = re.compile(r"(?<=#)[^)]+")
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
LONG = re.compile(r"-?\d+\.\d{3,}")
PATHS = ("d", "x", "y", "points")
"""The attributes whose numbers are those of a picture's points: a hundredth of one is fine enough."""
DARK_PAGE, LIGHT_INK = (0x16, 0x19, 0x1D), (0xE4, 0xE7, 0xEA)
"""What white and black become on a dark page: its background, and what is written on it."""
GREY = 16
"""How far apart the channels of a grey are at most."""
ENOUGH_CONTRAST = 4.5
LETTERS = 0.098
"""Of a point of a drawing, in letters' heights: those of nine inches fill the page, and all are written alike."""


class Styles:
    """What all drawings on a page share, and it has once: styles, each a class for either mode, and glyphs.

    It gives out the names, too, by which a drawing refers to its own parts.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, bool], str] = {}
        self._glyphs: dict[tuple[str, str], str] = {}
        self._parts = count()

    def name(self, style: str, *, fixed: bool) -> str:
        """The class of a style; one that is fixed looks the same on a dark page."""
        return self._names.setdefault((style, fixed), f"d{len(self._names)}")

    def glyph(self, path: str, transform: str) -> str:
        """The name of a letter's path."""
        return self._glyphs.setdefault((path, transform), f"g{len(self._glyphs)}")

    def part(self) -> str:
        """A name that no other part of a drawing has."""
        return f"p{next(self._parts)}"

    def css(self) -> str:
        """The rules of all styles, and those that differ on a dark page."""
        light = "\n".join(f".{name} {{{style}}}" for (style, _), name in self._names.items())
        dark = "\n".join(
            f".{name} {{{changed}}}"
            for (style, fixed), name in self._names.items()
            if not fixed and (changed := COLOUR.sub(lambda found: dark_of(found[1]), style)) != style
        )
        return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"

    def glyphs(self) -> str:
        """An element that takes no room and has all letters, for the drawings to refer to."""
        root = ElementTree.Element("svg", {"class": "glyphs", "aria-hidden": "true"})
        for (path, transform), name in self._glyphs.items():
            ElementTree.SubElement(root, "path", {"id": name, "d": path, "transform": transform})
        return ElementTree.tostring(root, encoding="unicode")


def inlined(svg: bytes, label: str, told: Mapping[str, Mapping[str, str]], styles: Styles) -> str:
    """The SVG of a drawing as matplotlib saves it, as an element of a page.

    Args:
        svg: the file's bytes.
        label: what it shows, in words.
        told: attributes of its parts, by their ids.
        styles: of the page; the drawing's are added.
    """
    root = ElementTree.fromstring(COMMENT.sub(b"", svg))  # names in comments may be no XML
    view = root.get("viewBox", "")
    role = "group" if any("data-key" in known for known in told.values()) else "img"
    wide = f"max-width: {float(view.split()[2]) * LETTERS:.4g}rem"
    root.attrib = {"viewBox": view, "class": "drawing", "role": role, "aria-label": label, "style": wide}
    for child in [*root]:
        if child.tag == f"{SVG}metadata" or child.find(f"{SVG}style") is not None:
            root.remove(child)
    names = _take_glyphs(root, styles)
    for value in _references(root):
        for found in REFERENCE.findall(value):
            if found not in names:
                names[found] = styles.part()
    for child in root:
        _adopt(child, names, told, styles, fixed=False)
    root.tag = "svg"
    return ElementTree.tostring(root, encoding="unicode")


def _take_glyphs(root: ElementTree.Element, styles: Styles) -> dict[str, str]:
    """Take the paths of letters out of a drawing; by their ids in the file, their names on the page."""
    names = {}
    for parent in root.iter():
        for group in parent.findall(f"{SVG}defs"):
            for path in group.findall(f"{SVG}path"):
                if "style" not in path.attrib:  # a mark has one
                    names[path.attrib["id"]] = styles.glyph(_plain(path.get("d", "")), path.get("transform", ""))
                    group.remove(path)
            if not len(group):
                parent.remove(group)
    return names


def _references(root: ElementTree.Element) -> list[str]:
    return [value for part in root.iter() for key, value in part.attrib.items() if key in (LINK, "clip-path")]


def _adopt(
    part: ElementTree.Element,
    names: Mapping[str, str],
    told: Mapping[str, Mapping[str, str]],
    styles: Styles,
    *,
    fixed: bool,
) -> None:
    """Make a part of a file, and all that is in it, one of a page."""
    part.tag = part.tag.removeprefix(SVG)
    part.text = part.tail = None
    own = part.attrib.pop("id", "")
    fixed = fixed or own.startswith(FIXED)
    if own in names:
        part.set("id", names[own])
    if own.startswith(FIXED):
        part.set("class", FIXED)
    part.attrib |= told.get(own, {})
    if LINK in part.attrib:
        link = part.attrib.pop(LINK)
        part.set("href", f"#{names[link[1:]]}" if link.startswith("#") else link)
    if "clip-path" in part.attrib:
        part.set("clip-path", REFERENCE.sub(lambda found: names[found[0]], part.attrib["clip-path"]))
    if "style" in part.attrib and part.tag != "image":
        part.set("class", styles.name(part.attrib.pop("style"), fixed=fixed))
    for key in PATHS:
        if key in part.attrib:
            part.set(key, _plain(part.attrib[key]))
    for child in part:
        _adopt(child, names, told, styles, fixed=fixed)


def _plain(path: str) -> str:
    return LONG.sub(_short, " ".join(path.split()))


def _short(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def dark_of(colour: str) -> str:
    """What a colour, six hexadecimal digits, becomes on a dark page, as `#0072b2`.

    Greys are turned round between the page and its ink; other colours are lightened until they can be told from it.
    """
    channels = [int(colour[i : i + 2], 16) for i in (0, 2, 4)]
    if max(channels) - min(channels) <= GREY:
        share = sum(channels) / (3 * 255)
        return _hex([ink + share * (page - ink) for ink, page in zip(LIGHT_INK, DARK_PAGE, strict=True)])
    lighter = ([channel + step / 20 * (255 - channel) for channel in channels] for step in range(21))
    return _hex(next(one for one in lighter if contrast(one, DARK_PAGE) >= ENOUGH_CONTRAST))


def contrast(one: "list[float] | tuple[int, ...]", other: "list[float] | tuple[int, ...]") -> float:
    """The ratio of the luminances of two colours of three channels in [0, 255], from 1 to 21, as WCAG 2 has it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: "list[float] | tuple[int, ...]") -> float:
    shares = (channel / 255 for channel in colour)
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _hex(channels: "list[float]") -> str:
    return "#" + "".join(f"{round(channel):02x}" for channel in channels)
