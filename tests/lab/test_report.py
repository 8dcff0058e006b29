"""The page that a report becomes."""

import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from lab.reporting import report as reports
from lab.reporting.pictures import png
from lab.reporting.report import Figure, Gallery, GalleryRow, Picture, Report, Section, write_page, write_report
from lab.reporting.tables import Column, Table


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.texts, self.attributes = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.append(dict(attributes))
        self.links += [value for name, value in attributes if name in {"src", "href"}]

    def handle_data(self, data):
        self.texts.append(data)


def test_names_are_text_and_nothing_comes_from_outside(report, hostile, tmp_path):
    page = Page(write_report(*report, tmp_path / "out").read_text(encoding="utf-8"))
    assert page.tags.count("script") == 1
    assert sum(hostile in text for text in page.texts) >= 8
    assert not any("49" in text for text in page.texts if "{" not in text)
    assert page.links and all(link.startswith(("data:image/png", "#", "figures/", "tables/")) for link in page.links)
    assert page.tags.count("img") == 1 and page.tags.count("svg") == 2, "the second has the letters"


def test_names_of_pictures_are_read_as_they_were_written_and_a_browser_fetches_nothing(report, hostile, tmp_path):
    page = Page(write_report(*report, tmp_path).read_text(encoding="utf-8"))
    told = [json.loads(found["data-names"]) for found in page.attributes if "data-names" in found]
    assert told == [[hostile]]
    (policy,) = (found["content"] for found in page.attributes if found.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_files_beside_the_page_are_linked(report, tmp_path):
    folder = write_report(*report, tmp_path).parent
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    linked = {link for link in page.links if not link.startswith(("data:", "#"))}
    files = {
        path.relative_to(folder).as_posix() for kind in ("figures", "tables") for path in (folder / kind).iterdir()
    }
    assert linked == files


def test_pictures_are_enlarged_a_whole_number_of_times(tmp_path):
    one = Picture("", png(np.zeros((1, 30, 28), np.uint8)))
    for width, times in ((1, 1), (28 / 16, 1), (9.6, 5)):
        write_page(
            Report("", "", [Section("", "", [Gallery("", [GalleryRow("", [one])], width)])]), tmp_path / "page.html"
        )
        assert f'width="{28 * times}" height="{30 * times}"' in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_folded_table_opens_on_demand(tmp_path):
    folded = Table("x", "caption", [Column("a")], [["1"], ["2"]], folded=True)
    text = write_report(single(folded), [], [], tmp_path).read_text(encoding="utf-8")
    assert "<details><summary>caption (2 rows)</summary>" in text


def test_missing_work_is_shown(report, tmp_path):
    assert "Incomplete" in write_report(*report, tmp_path).read_text(encoding="utf-8")
    shown, verdicts, _ = report
    assert "Incomplete" not in write_report(shown, verdicts, [], tmp_path).read_text(encoding="utf-8")


def test_a_report_of_a_site_leads_back_to_it_and_others_lead_nowhere(report, tmp_path):
    assert "All studies" not in write_report(*report, tmp_path).read_text(encoding="utf-8")
    text = write_report(*report, tmp_path, ("svg",), "../../index.html").read_text(encoding="utf-8")
    assert '<a href="../../index.html">All studies</a>' in text


def test_figures_and_tables_lie_beside_it(report, tmp_path):
    write_report(*report, tmp_path)
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {f"figure.{k}" for k in ("svg", "pdf", "png", "csv")}
    assert {p.name for p in (tmp_path / "tables").iterdir()} == {f"table.{k}" for k in ("csv", "md", "tex")}


def test_a_page_shows_its_own_figures_whoever_draws_to_the_same_folder(report, tmp_path, monkeypatch):
    drawn = write_report(*report, tmp_path).read_text(encoding="utf-8")
    write_whole = reports.write_csv

    def draw_another(data, path):
        (tmp_path / "figures" / "figure.svg").write_text("<svg></svg>")
        write_whole(data, path)

    monkeypatch.setattr(reports, "write_csv", draw_another)
    assert write_report(*report, tmp_path).read_text(encoding="utf-8") == drawn


def test_the_same_report_has_the_same_bytes(make_report, tmp_path):
    for folder in ("one", "two"):
        write_report(*make_report(), tmp_path / folder)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 8
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_a_figure_of_any_style_has_the_same_bytes(tmp_path):
    saved = []
    for folder in ("one", "two"):
        figure = Drawing(figsize=(2, 2))
        figure.subplots().plot([0, 1])
        write_report(single(Figure("f", "", figure, pd.DataFrame({"a": [1]}))), [], [], tmp_path / folder)
        saved.append([(tmp_path / folder / "figures" / f"f.{kind}").read_bytes() for kind in ("svg", "pdf", "png")])
    assert saved[0] == saved[1]


def single(*items):
    return Report("title", "question", [Section("section", "First.\n\nSecond.\n\n", items)])


def table(name):
    return Table(name, "", [Column("a")], [["1"]])


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".x", "-x", "a b", "x\n", "<script>"])
def test_a_name_that_is_no_file_name_writes_nothing(name, tmp_path):
    with pytest.raises(ValueError, match="cannot name a file"):
        write_report(single(table(name)), [], [], tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_items_cannot_share_a_name(tmp_path):
    with pytest.raises(ValueError, match="overwrite"):
        write_report(single(table("x"), table("x")), [], [], tmp_path)


def test_empty_lines_part_paragraphs(tmp_path):
    text = write_report(single(), [], [], tmp_path).read_text(encoding="utf-8")
    assert "<p>First.</p>" in text and "<p>Second.</p>" in text and "<p></p>" not in text


def test_a_gallery_shows_its_caption(report, hostile, tmp_path):
    page = Page(write_report(*report, tmp_path).read_text(encoding="utf-8"))
    after = page.texts[page.texts.index("Pictures", page.texts.index("Pictures") + 1) :]
    assert sum(text == hostile for text in after) == 3  # the gallery's, the row's and the picture's


def test_a_page_of_galleries_stands_alone(hostile, tmp_path):
    rows = [GalleryRow(hostile, [Picture(hostile, png(np.zeros((1, 2, 2), np.uint8)))] * 2)]
    write_page(Report(hostile, hostile, [Section(hostile, "", [Gallery(hostile, rows)])]), tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.tags.count("script") == 1 and sum(hostile in text for text in page.texts) >= 6
    section, *pictures = page.links
    assert section == "#s1" and len(pictures) == 2 and pictures[0].startswith("data:image/png;base64,iVBORw0KGgo")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_cells_sort_by_what_they_hold(report, tmp_path):
    text = write_report(*report, tmp_path).read_text(encoding="utf-8")
    assert 'data-sort="1.0"' in text


def test_reporting_imports_no_torch(python):
    modules = "lab.reporting.report, lab.reporting.plots, lab.reporting.provenance"
    assert python(f"import sys, {modules}; print('torch' in sys.modules)") == "False"
