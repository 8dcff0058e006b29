"""Names in other scripts on figures: in a font of the machine that has their letters, else by number; no warning."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

from lab.reporting import fonts
from lab.reporting.plots import new_figure
from lab.reporting.report import Figure, Report, Section, write_report

EXTINCT = "\U00010380\U00010381"  # Ugaritic: in the fonts of hardly any machine
GONE = "\U00010382"


@pytest.fixture
def forget():
    """Look at the machine's fonts anew, before and after."""

    def again():
        fonts._installed.cache_clear()
        fonts._letters.cache_clear()

    again()
    yield again
    again()


@pytest.fixture
def installed(tmp_path, monkeypatch, forget):
    """Install a font that has a shape of its own for each of some letters."""
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist])

    def install(family, letters, weight=400):
        names = [".notdef", *(f"u{ord(letter):x}" for letter in letters)]
        builder = FontBuilder(1000, isTTF=True)
        builder.setupGlyphOrder(names)
        builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names[1:], strict=True)})
        shapes = {}
        for place, name in enumerate(names):
            pen = TTGlyphPen(None)
            corners = [(0, 0), (0, 700), (120 * place + 60, 700), (120 * place + 60, 0)]
            pen.moveTo(corners[0])
            for corner in corners[1:]:
                pen.lineTo(corner)
            pen.closePath()
            shapes[name] = pen.glyph()
        builder.setupGlyf(shapes)
        builder.setupHorizontalMetrics(dict.fromkeys(names, (700, 0)))
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable({"familyName": family, "styleName": "Regular"})
        builder.setupOS2(sTypoAscender=800, usWeightClass=weight)
        builder.setupPost()
        builder.save(tmp_path / f"{family}.ttf")
        fontManager.addfont(tmp_path / f"{family}.ttf")
        forget()

    return install


def drawn(names):
    """The pixels of each name as a label of an axis; any warning is an error."""
    found = fonts.labels(names)
    pictures = []
    for text in found.texts:
        figure = new_figure(1, 1)
        figure.text(0.1, 0.1, text, fontfamily=found.families)
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for kind in ("svg", "pdf", "rgba"):
                buffer.seek(0)
                figure.savefig(buffer, format=kind)
        pictures.append(np.frombuffer(buffer.getvalue(), np.uint8).copy())
    return found.texts, pictures


def test_usual_letters_need_nothing(forget):
    names = ["cat", "café", "Straße", "$x$", "Ωμέγα", "Ёж"]
    assert fonts.labels(names) == fonts.Labels(tuple(names), (fonts.USUAL,)) and fonts.numbered(names) == []


def test_letters_of_no_font_become_numbers_beside_a_table(forget):
    names = ["cat", EXTINCT, "bell\x07", "dog"]
    texts, _ = drawn(names)
    assert texts == ("cat", "1", "2", "dog")
    (table,) = fonts.numbered(names)
    assert table.rows == [["1", EXTINCT], ["2", "bell\x07"]]


def test_a_font_of_the_machine_that_has_the_letters_is_taken(installed):
    installed("Other", "ab")
    installed("Ugaritic", EXTINCT)
    names = ["cat", EXTINCT[0], EXTINCT[1], f"{EXTINCT} cat", GONE]
    texts, pictures = drawn(names)
    assert texts == (*names[:4], "4") and fonts.labels(names).families == (fonts.USUAL, "Ugaritic")
    assert len({picture.tobytes() for picture in pictures}) == 5, "letters look alike"
    assert [row[0] for row in fonts.numbered(names)[0].rows] == ["4"]


def test_a_name_in_two_scripts_takes_two_fonts(installed):
    installed("One", EXTINCT[0])
    installed("Two", EXTINCT[1])
    assert fonts.labels([EXTINCT]) == fonts.Labels((EXTINCT,), (fonts.USUAL, "One", "Two"))


@pytest.mark.filterwarnings("error")
def test_a_report_says_nothing_of_fonts(installed, tmp_path, capfd):
    installed("Ugaritic", EXTINCT, weight=500)
    named = fonts.labels(["cat", EXTINCT, GONE])
    figure = new_figure(2, 2)
    figure.subplots().set_xticks(range(3), named.texts, fontfamily=named.families)
    written = Figure("names", "Names.", figure, pd.DataFrame({"a": [1]}))
    write_report(Report("Names", "Which?", [Section("Names", "", [written])]), [], [], tmp_path / "report")
    assert named.families == (fonts.USUAL, "Ugaritic") and capfd.readouterr() == ("", "")


def test_a_font_that_cannot_be_opened_is_of_no_use(installed, tmp_path):
    installed("Ugaritic", EXTINCT)
    (tmp_path / "Ugaritic.ttf").write_bytes(b"no font")
    assert fonts.labels([EXTINCT]).texts == ("0",)
