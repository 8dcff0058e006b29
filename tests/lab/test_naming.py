"""Names in place of keys, wherever a report shows one."""

import pandas as pd

from lab.reporting.naming import renamed
from lab.reporting.plots import new_figure
from lab.reporting.report import Figure, Gallery, GalleryRow, Lines, Picture, Report, Section
from lab.reporting.statistics import Estimate
from lab.reporting.tables import Column, Table
from lab.reporting.verdicts import Claim, judge

KEY, NAME = "images:1a2b", "my photos"


def test_every_text_has_the_name_and_the_data_keep_the_key():
    figure = new_figure(2, 2)
    figure.subplots().set_title(f"on {KEY}")
    estimate = Estimate(1.0, 0.5, 1.5, 3)
    items = [
        Figure("figure", KEY, figure, pd.DataFrame({"imageset": [KEY]})),
        Table("table", KEY, [Column(KEY)], [[KEY, estimate, 3]]),
        Gallery(KEY, [GalleryRow(KEY, [Picture(KEY, b"png", (KEY,))])]),
    ]
    found = renamed(Report(KEY, KEY, [Section(KEY, f"{KEY}, {KEY}", items)]), {KEY: NAME})
    drawn, table, gallery = found.sections[0].items
    assert KEY not in repr((found.title, found.question, found.sections[0].text, drawn.caption, table, gallery))
    assert figure.axes[0].get_title() == f"on {NAME}" and drawn.data["imageset"].tolist() == [KEY]
    assert table.rows == [[NAME, estimate, 3]] and gallery.rows[0].images[0].names == (NAME,)


def test_names_that_hold_keys_are_taken_as_they_are():
    """Else some that name one another would grow without end, and the longer of two keys would lose its end."""
    assert renamed("a b a1", {"a": "b b", "b": "a a", "a1": "c", "": "x"}) == "b b a a c"


def test_lines_to_be_typed_keep_the_key():
    """A command takes it; the name, which may have spaces, is no image set's."""
    lines = Lines(f"On {KEY}:", f"snnl study x --imageset {KEY}")
    assert renamed(lines, {KEY: NAME}) == Lines(f"On {NAME}:", lines.text)


def test_verdicts_are_renamed_and_judge_as_before():
    verdict = judge(Claim(f"It works on {KEY}.", KEY, 0.1, "exceeds", len), Estimate(1.0, 0.5, 1.5, 3))
    found = renamed(verdict, {KEY: NAME})
    assert found.claim.text == f"It works on {NAME}." and found.claim.effect is len
    assert (found.verdict, found.estimate) == (verdict.verdict, verdict.estimate)
    assert renamed(verdict, {}) is verdict


def test_control_characters_in_names_are_shown():
    assert renamed(f"on {KEY}", {KEY: "my \x1b[31mphotos"}) == "on my \\x1b[31mphotos"
