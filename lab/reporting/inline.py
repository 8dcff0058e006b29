"""A drawing's SVG as a part of a page, in colours that follow its mode: light, dark or printed."""

import re
from collections.abc import Mapping
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


class Styles:
    """The styles of all drawings on a page: each has a class, so that it stands there once, for either mode."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, bool], str] = {}

    def name(self, style: str, *, fixed: bool) -> str:
        """The class of a style; one that is fixed looks the same on a dark page."""
        return self._names.setdefault((style, fixed), f"d{len(self._names)}")

    def css(self) -> str:
        """The rules of all styles, and those that differ on a dark page."""
        light = "\n".join(f".{name} {{{style}}}" for (style, _), name in self._names.items())
        dark = "\n".join(
            f".{name} {{{changed}}}"
            for (style, fixed), name in self._names.items()
            if not fixed and (changed := COLOUR.sub(lambda found: dark_of(found[1]), style)) != style
        )
        return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def inlined(svg: bytes, name: str, label: str, told: Mapping[str, Mapping[str, str]], styles: Styles) -> str:
    """The SVG of a drawing as matplotlib saves it, as an element of a page.

    Args:
        svg: the file's bytes.
        name: of the drawing, unlike those of others on the page; what it refers to within itself begins with it.
        label: what it shows, in words.
        told: attributes of its parts, by their ids.
        styles: of the page; the drawing's are added.
    """
    root = ElementTree.fromstring(COMMENT.sub(b"", svg))  # names in comments may be no XML
    view = root.get("viewBox", "")
    role = "group" if any("data-key" in known for known in told.values()) else "img"
    root.attrib = {"viewBox": view, "class": "drawing", "role": role, "aria-label": label}
    for child in [*root]:
        if child.tag == f"{SVG}metadata" or child.find(f"{SVG}style") is not None:
            root.remove(child)
    referred = {found for value in _references(root) for found in REFERENCE.findall(value)}
    _adopt(root, name, referred, told, styles, fixed=False)
    return ElementTree.tostring(root, encoding="unicode")


def _references(root: ElementTree.Element) -> list[str]:
    return [value for part in root.iter() for key, value in part.attrib.items() if key in (LINK, "clip-path")]


def _adopt(
    part: ElementTree.Element,
    name: str,
    referred: set[str],
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
    if own in referred:
        part.set("id", f"{name}-{own}")
    if own.startswith(FIXED):
        part.set("class", FIXED)
    part.attrib |= told.get(own, {})
    if LINK in part.attrib:
        link = part.attrib.pop(LINK)
        part.set("href", f"#{name}-{link[1:]}" if link.startswith("#") else link)
    if "clip-path" in part.attrib:
        part.set("clip-path", REFERENCE.sub(lambda found: f"{name}-{found[0]}", part.attrib["clip-path"]))
    if "style" in part.attrib and part.tag != "image":
        part.set("class", styles.name(part.attrib.pop("style"), fixed=fixed))
    for key in PATHS:
        if key in part.attrib:
            part.set(key, LONG.sub(_short, " ".join(part.attrib[key].split())))
    for child in part:
        _adopt(child, name, referred, told, styles, fixed=fixed)


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
