"""Drawings as parts of a page: their colours, names, and what is told of their points."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from lab.reporting.inline import DARK_PAGE, ENOUGH_CONTRAST, LIGHT_INK, Styles, contrast, dark_of, inlined
from lab.reporting.plots import BAND, GREY, PALETTE, legend, logarithmic, new_figure, seed_curves, seed_dots, write_on
from lab.reporting.told import marked


def on_page(drawing, styles=None):
    """A drawing as an element, its told attributes, and the styles of its page."""
    drawing.get_layout_engine().execute(drawing)
    drawing.set_layout_engine(None)
    told, styles, buffer = marked(drawing), styles or Styles(), io.BytesIO()
    drawing.savefig(buffer, format="svg")
    return ElementTree.fromstring(inlined(buffer.getvalue(), "what it shows", told, styles)), told, styles


def rgb(colour):
    return [int(colour.removeprefix("#")[i : i + 2], 16) for i in (0, 2, 4)]


def curves():
    axis = new_figure(4, 3).subplots()
    rows = pd.DataFrame({"seed": [3, 3, 5, 5], "step": [1, 9] * 2, "value": [0.25, 0.5, 0.75, 1.0], "n": 50})
    seed_curves(axis, rows, "step", PALETTE[0], "a & <b>")
    seed_dots(axis, rows["value"], 4, PALETTE[1], "dots", aside=1, upright=True)
    legend(axis)
    return axis.figure


def test_contrast_is_that_of_black_on_white():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colour", [*PALETTE, f"{round(255 * float(GREY)):02x}" * 3])
def test_what_is_drawn_can_be_told_from_a_dark_page(colour):
    assert contrast(rgb(dark_of(colour.removeprefix("#"))), DARK_PAGE) >= ENOUGH_CONTRAST


def test_greys_turn_round():
    assert rgb(dark_of("ffffff")) == [*DARK_PAGE] and rgb(dark_of("000000")) == [*LIGHT_INK]
    shades = [sum(rgb(dark_of(f"{round(255 * float(grey)):02x}" * 3))) for grey in (GREY, BAND, "0.9")]
    assert shades == sorted(shades, reverse=True)


def test_every_style_has_a_class_for_either_page():
    found, _, styles = on_page(curves())
    light, dark = styles.css().split("@media")
    used = {part.get("class") for part in found.iter() if part.get("class")} - {"drawing"}
    assert used and all(f".{name} {{" in light for name in used)
    assert PALETTE[0].lower() in light and dark_of(PALETTE[0][1:].lower()) in dark
    assert not any(part.get("style") for part in [*found.iter()][1:]) and "#ffffff" in light and "#16191d" in dark


def test_two_drawings_share_styles_and_glyphs_and_no_other_name():
    styles = Styles()
    one, two = (on_page(curves(), styles)[0] for _ in range(2))
    glyphs = {part.get("id"): part.get("d") for part in ElementTree.fromstring(styles.glyphs())}
    assert len({*glyphs.values()}) == len(glyphs) > 5 and not one.findall(".//defs/path[@transform]")
    ids = [part.get("id") for drawing in (one, two) for part in drawing.iter() if part.get("id")]
    assert ids and len(set(ids)) == len(ids)
    for drawing in (one, two):
        own = {part.get("id") for part in drawing.iter()} | {*glyphs}
        links = [part.get("href")[1:] for part in drawing.iter() if part.get("href")]
        clips = [part.get("clip-path")[5:-1] for part in drawing.iter() if part.get("clip-path")]
        assert links and clips and {*links, *clips} <= own
    alone = Styles()
    on_page(curves(), alone)
    assert (alone.css(), alone.glyphs()) == (styles.css(), styles.glyphs())


def test_what_is_written_on_an_image_keeps_its_colour():
    figure = new_figure(3, 3)
    axis = figure.subplots()
    axis.imshow(np.zeros((1, 2)))
    write_on(axis, 0, 0, "x", dark=True, fontsize=8)
    write_on(axis, 0, 1, "y", dark=False, fontsize=8)
    found, _, styles = on_page(figure)
    fixed = [part for part in found.iter("g") if part.get("class") == "fixed"]
    inside = {part.get("class") for group in fixed for part in group.iter()} - {"fixed", None}
    assert len(fixed) == 2 and not any(f".{name} " in styles.css().split("@media")[1] for name in inside)


def test_points_lie_where_the_curve_is_drawn():
    """Against the path that matplotlib writes."""
    found, told, _ = on_page(curves())
    groups = {part.get("data-what"): part for part in found.iter("g") if part.get("data-points")}
    group = groups["seed 3, n = 50"]
    path = [float(number) for number in re.findall(r"-?[\d.]+", group.find(".//path").get("d"))]
    points = [[float(part) for part in point.split(",")] for point in group.get("data-points").split()]
    assert [number for point in points for number in point[:2]] == pytest.approx(path, abs=0.51)
    assert [point[2:] for point in points] == [[0.25, 1], [0.5, 9]]
    assert group.get("data-series") == "a & <b>" and group.get("data-unit") == "step"
    assert {"mean of 2 seeds", "a seed", "mean of 4 seeds"} <= {*groups}
    keys = [part.get("data-key") for part in found.iter() if part.get("data-key")]
    assert {*keys} == {"a & <b>", "dots"} and len(told) >= 6


def test_dots_are_told_by_their_values():
    found, _, _ = on_page(curves())
    (dots,) = [part for part in found.iter("g") if part.get("data-what") == "a seed"]
    places = [(float(use.get("x")), float(use.get("y"))) for use in dots.iter("use")]
    points = [point.split(",") for point in dots.get("data-points").split()]
    assert [float(point[2]) for point in points] == [0.25, 0.5, 0.75, 1.0] and {point[3] for point in points} == {""}
    for (x, y), point in zip(places, points, strict=True):
        assert (x, y) == pytest.approx((float(point[0]), float(point[1])), abs=0.51)


def test_numbers_at_a_logarithmic_axis_are_plain_within_a_decade_too():
    for values in ([2.1, 2.6], [1, 3000]):
        axis = new_figure(3, 3).subplots()
        axis.plot([0, 1], values)
        logarithmic(axis, "y")
        axis.figure.draw_without_rendering()
        ticks = [label.get_text() for label in axis.get_yticklabels(which="both") if label.get_text()]
        assert ticks and all(re.fullmatch(r"[\d.]+(e[+-]\d+)?", text) for text in ticks)
