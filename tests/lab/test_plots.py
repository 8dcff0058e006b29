"""What figures have in common."""

import math

import pandas as pd
import pytest

from lab.cells.rows import build_table
from lab.reporting.plots import (
    PALETTE,
    colours,
    legend,
    named_band,
    new_figure,
    panels,
    plotted,
    seed_curves,
    seed_dots,
    side_by_side,
)
from lab.reporting.statistics import SHARE, mean_interval
from lab.reporting.told import marked


@pytest.fixture
def axis():
    """Empty axes."""
    return new_figure(2, 2).subplots()


def rows(*places):
    return pd.DataFrame(places, columns=["seed", "step", "kimg", "value"])


def test_a_curve_a_seed_by_step_and_their_mean(axis):
    found = rows((0, 2, 0.2, 5.0), (0, 1, 0.1, 1.0), (1, 1, 0.1, 3.0), (1, 2, 0.2, 7.0))
    seed_curves(axis, found, "kimg", "red", "a", factor=100)
    one, other, mean = ([list(map(float, part)) for part in line.get_data()] for line in axis.lines)
    assert one == [[0.1, 0.2], [100, 500]] and other == [[0.1, 0.2], [300, 700]]
    assert mean == [[0.1, 0.2], [200, 600]]
    assert axis.get_legend_handles_labels()[1] == ["a"]


def words(axis):
    """What is told of the parts of a drawing: of which seed or mean, and its values."""
    axis.figure.draw_without_rendering()
    found = [one for one in marked(axis.figure).values() if "data-points" in one]
    return {one["data-what"]: [float(point.split(",")[2]) for point in one["data-points"].split()] for one in found}


def test_a_mean_is_of_all_seeds_at_places_that_all_have(axis):
    """At a place that one of them has alone it would jump to that one's value, and be told as a mean of all."""
    found = rows(*((seed, 1, 0.1, value) for seed, value in enumerate((0.0, 1.0, 5.0))), (1, 2, 0.2, 9.0))
    found = pd.concat(
        [found, rows(*((seed, 3, 0.3, 1.0) for seed in range(3)), (0, 4, 0.4, 2.0), (1, 4, 0.4, math.nan))]
    )
    seed_curves(axis, found, "step", "red", "a")
    mean = axis.lines[-1]
    assert [list(map(float, part)) for part in mean.get_data()] == [[1, 3], [2, 1]]
    assert words(axis)["mean of 3 seeds"] == [2, 1]


@pytest.mark.parametrize(
    "sizes, told", [((50, 50), "seed 0, n = 50"), ((50, 60), "seed 0"), ((math.nan,) * 2, "seed 0")]
)
def test_how_many_samples_values_rest_on_is_told_where_it_is_the_same(axis, sizes, told):
    seed_curves(axis, rows((0, 1, 0.1, 1.0), (0, 2, 0.2, 3.0)).assign(n=sizes), "step", "red", "a")
    assert words(axis)[told] == [1, 3]


def test_without_rows_nothing_is_drawn(axis):
    seed_curves(axis, rows(), "step", "red", "a")
    seed_dots(axis, pd.Series([math.nan]), 0, "red", "a", aside=0, upright=True)
    legend(axis)
    assert not axis.lines and not axis.collections and axis.get_legend() is None


@pytest.mark.parametrize("upright", [True, False])
def test_every_value_is_a_dot_and_the_bar_is_the_interval(axis, upright):
    values = pd.Series([1.0, math.nan, 2.0, 3.0])
    seed_dots(axis, values, 4, "red", upright=upright, aside=0.5)
    dots = axis.collections[0].get_offsets()
    places, heights = dots.T if upright else dots.T[::-1]
    assert places.tolist() == [4.5] * 3 and heights.tolist() == [1, 2, 3]
    ends = axis.collections[1].get_segments()[0][:, 1 if upright else 0]
    expected = mean_interval([1.0, 2.0, 3.0])
    assert ends.tolist() == pytest.approx([expected.low, expected.high])


@pytest.mark.parametrize("upright", [True, False])
def test_a_bar_ends_where_what_is_possible_ends(axis, upright):
    values = pd.Series([0.5, 1.0, 1.0])
    seed_dots(axis, values, 0, "red", upright=upright, aside=0.5, within=SHARE)
    (ends,) = axis.collections[1].get_segments()
    assert ends[:, 1 if upright else 0].tolist() == pytest.approx([mean_interval(values).low, 1.0])
    assert words(axis)["mean of 3 seeds"] == [pytest.approx(2.5 / 3, abs=1e-4)]


def test_one_value_has_a_mean_and_no_bar(axis):
    seed_dots(axis, pd.Series([1.0]), 0, "red", aside=0, upright=True)
    assert len(axis.collections) == 1 and len(axis.lines) == 1


def test_a_label_is_in_the_legend_once(axis):
    for label in ("a", "b", "a", ""):
        seed_dots(axis, pd.Series([1.0, 2.0]), 0, "red", label, aside=0, upright=True)
    legend(axis)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_name_of_a_band_stays_below_the_title(scale):
    drawing, axes = panels(4, 4, 1.9, "x", sharey=False)
    for axis, top in zip(axes, (1.0, 0.9, 0.5), strict=False):
        axis.set_yscale(scale)
        axis.plot([0, 1], [0.1, 1.0])
        before = axis.get_ylim()
        named_band(axis, pd.Series([top - 0.01, top]))
        assert axis.get_ylim()[0] == pytest.approx(before[0])
    drawing.draw_without_rendering()
    for axis in axes[:3]:
        assert axis.texts[0].get_window_extent().y1 <= axis.get_window_extent().y1


def test_a_band_is_from_the_least_to_the_largest_value_and_its_line_the_mean(axis):
    named_band(axis, pd.Series([0.2, 0.5, 0.1]))
    (band,), (line,) = axis.patches, axis.lines
    seen = band.get_window_extent().transformed(axis.transData.inverted())
    assert [seen.y0, seen.y1] == pytest.approx([0.1, 0.5])
    assert [*line.get_ydata()] == pytest.approx([0.8 / 3] * 2)


def test_a_band_that_is_out_of_sight_or_low_changes_no_panel(axis):
    axis.set_ylim(0.0, 2.0)
    for value in (0.0, 0.5, 3.0):
        named_band(axis, pd.Series([value]))
    assert axis.get_ylim() == (0.0, 2.0)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_band_that_curves_come_down_to_has_its_name_below(axis, scale):
    axis.set_yscale(scale)
    axis.plot(range(8), [1.0, 0.5, 0.2, 0.12, 0.12, 0.11, 0.11, 0.11])
    named_band(axis, pd.Series([0.09, 0.1]))
    axis.figure.draw_without_rendering()
    found, panel = axis.texts[0].get_window_extent(), axis.get_window_extent()
    low, curve = (axis.transData.transform((7, height))[1] for height in (0.09, 0.11))
    assert panel.y0 <= found.y0 < found.y1 <= low < curve


def test_a_name_stays_above_where_curves_are_below_or_on_both_sides(axis):
    for heights in ([0.0, 0.9, 0.95], [2.0, 1.02, 0.97]):
        axis.plot(range(3), heights)
        named_band(axis, pd.Series([0.99, 1.01]))
        assert axis.texts[-1].get_va() == "bottom"


@pytest.mark.parametrize(
    "values, told", [([-0.02, -0.04], "real against real: -0.03"), ([0.0], "real against real: 0")]
)
def test_a_band_that_no_logarithm_shows_is_told_of(axis, values, told):
    axis.plot([0, 1], [0.1, 1.0])
    axis.set_yscale("log")
    named_band(axis, pd.Series(values))
    (text,) = axis.texts
    axis.figure.draw_without_rendering()
    assert text.get_text() == told and not axis.patches
    inside = axis.get_window_extent()
    assert inside.y0 <= text.get_window_extent().y0 < text.get_window_extent().y1 < inside.y1


def test_more_names_than_colours_begin_anew():
    found = colours(range(len(PALETTE) + 1))
    assert list(found.values()) == [*PALETTE, PALETTE[0]]


def test_data_beside_a_figure_have_no_empty_columns():
    table = build_table(
        [
            {"study": "s", "cell": "c", "kind": "a", "seed": 0, "metric": "m", "value": 0.0},
            {"study": "s", "cell": "d", "kind": "b", "seed": 0, "metric": "m", "value": 1.0, "layer": "fc"},
        ]
    )
    assert list(plotted(table).columns) == ["kind", "seed", "layer", "metric", "value"]
    assert plotted(table)["value"].tolist() == [0, 1]
    assert "value" in plotted(table[:0]).columns, "a file of no rows has a heading"


@pytest.mark.parametrize("count, columns, lowest", [(5, 3, [2, 3, 4]), (6, 3, [3, 4, 5]), (2, 2, [0, 1]), (1, 1, [0])])
def test_the_lowest_panel_of_every_column_has_the_axis_of_x(count, columns, lowest):
    drawing, axes = panels(count, columns, 2.0, "x", "y")
    assert len(axes) == count and sum(axis.get_visible() for axis in drawing.axes) == count
    assert [i for i, axis in enumerate(axes) if axis.get_xlabel() == "x"] == lowest
    assert [i for i, axis in enumerate(axes) if axis.xaxis.get_major_ticks()[0].label1.get_visible()] == lowest
    assert [i for i, axis in enumerate(axes) if axis.get_ylabel() == "y"] == list(range(0, count, columns))
    axes[0].set_xlim(3, 4)
    assert all(axis.get_xlim() == (3, 4) for axis in axes)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_blank_panel_is_seen_beside_one(count):
    drawing = new_figure(4, 2)
    axes = side_by_side(drawing, count)
    assert [axis for axis in drawing.axes if axis.get_visible()] == axes and len(axes) == count
