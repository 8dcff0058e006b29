"""The page that leads to reports: claims, filters and cards; every name is text."""

import json
import os
import shutil
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lab import machine, parallel
from lab.errors import WorkbenchError
from lab.reporting.page import MARK, check_place
from lab.reporting.report import Report, write_page
from lab.reporting.statistics import Estimate
from lab.reporting.verdicts import Claim, judge
from lab.studying import site
from lab.studying.site import Entry, finished, write_index, write_site


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.append(dict(attributes))

    def handle_data(self, data):
        self.texts.append(data)


def entry(study, images, low=0.5, finding=0):
    verdict = judge(
        Claim(f"{study} works.", "a", 0.1, "exceeds", lambda table: None, finding), Estimate(1, low, 1.5, 3)
    )
    return Entry(study, "1f", f"Title of {study}", "Why?", (images,), [verdict], "report.html", "figure.png")


def test_names_are_text(hostile, tmp_path):
    page = write_index([entry(hostile, hostile, finding=1)], {1: hostile}, tmp_path / "site")
    found = Page(page.read_text(encoding="utf-8"))
    assert found.tags.count("script") == 1 and sum(hostile in text for text in found.texts) >= 8
    assert not any("49" in text for text in found.texts if "{" not in text)
    (card,) = (one for one in found.attributes if "data-study" in one)
    facts = [json.loads(card[f"data-{name}"]) for name in ("study", "images", "verdict")]
    assert facts == [[hostile], [hostile], ["supported"]]
    (policy,) = (one["content"] for one in found.attributes if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src 'self' file: data:;")


def test_links_lead_to_a_study_whatever_its_folder_is_called(tmp_path):
    strange = replace(entry("a", "digits"), report="reports/a-50%?#/report.html", picture="reports/a-50%?#/f.svg")
    found = Page(write_index([strange], {}, tmp_path).read_text(encoding="utf-8")).attributes
    assert {one["href"] for one in found if "href" in one} == {"reports/a-50%25%3F%23/report.html"}
    assert [one["src"] for one in found if "src" in one] == ["reports/a-50%25%3F%23/f.svg"]
    no_text = replace(strange, report=os.fsdecode(b"reports/\xff/report.html"), picture="")
    found = Page(write_index([no_text], {}, tmp_path).read_text(encoding="utf-8")).attributes
    assert {one["href"] for one in found if "href" in one} == {"reports/%FF/report.html"}


def test_what_stands_for_and_against_a_claim_is_beside_it(tmp_path):
    entries = [entry("a", "mnist", finding=1), entry("a", "digits", 0.05, 1), entry("b", "digits", finding=3)]
    text = write_index(entries, {1: "a", 2: "c"}, tmp_path).read_text(encoding="utf-8")
    claims, _, studies = text.partition("<h2>Studies</h2>")
    assert claims.count("supported</strong>") == 1 and claims.count("inconclusive</strong>") == 1
    assert claims.count("Not tested here") == 1 and studies.count("<article") == 3


def test_finished_studies_are_taken_once_from_the_first_place(tmp_path):
    for place, key, done in (("one", "1f", True), ("one", "2f", False), ("two", "1f", True), ("two", "3f", True)):
        folder = tmp_path / place / "studies" / "x" / key
        folder.mkdir(parents=True)
        (folder / "plan.json").write_text("{}")
        if done:
            (folder / "DONE").write_text("{}")
    found = finished([tmp_path / "one", tmp_path / "two", tmp_path / "none"])
    assert [path.relative_to(tmp_path).parts[0] + path.name for path in found] == ["one1f", "two3f"]


def test_reports_are_drawn_side_by_side_in_other_processes(study, monkeypatch, tmp_path):
    runs = shutil.copytree(study[0] / "my runs", tmp_path / "runs")
    one = next((runs / "studies").glob("*/*"))
    other = shutil.copytree(one, one.with_name("other"))
    monkeypatch.setattr(machine, "threads", lambda: 2)
    monkeypatch.setattr(site, "draw_into", None)  # here, not there
    page = write_site([one, other], {}, tmp_path / "site").read_text(encoding="utf-8")
    reports = [tmp_path / "site" / "reports" / f"{one.parent.name}-{folder.name}" for folder in (one, other)]
    assert all(f"reports/{report.name}/report.html" in page for report in reports)
    figures = [{path.name: path.read_bytes() for path in (report / "figures").iterdir()} for report in reports]
    assert figures[0] == figures[1] != {}
    (other / "plan.json").write_text("{")
    with pytest.raises(WorkbenchError, match=r"other/plan\.json is damaged"):
        write_site([one, other], {}, tmp_path / "site")


def test_a_process_that_dies_while_it_draws_is_told_in_a_line(monkeypatch, tmp_path):
    class Entry:
        def __reduce__(self):
            return os._exit, (1,)

    monkeypatch.setattr(machine, "threads", lambda: 2)
    monkeypatch.setattr(site, "_entry", Entry())
    with pytest.raises(WorkbenchError, match=r"^A process that draws died \(out of memory"):
        write_site([tmp_path / "one", tmp_path / "other"], {}, tmp_path / "site")


def test_who_wants_no_more_does_not_wait_for_what_is_being_drawn():
    """As at an interrupt."""
    done = parallel.run(time.sleep, [(0,), (600,), (600,)], 2, "one")
    next(done)
    start = time.monotonic()
    done.close()
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("own", ["<title>My results</title>", "", "\xff"])
def test_a_page_of_the_users_is_not_written_over(tmp_path, own):
    page = tmp_path / "index.html"
    page.write_text(own, encoding="latin-1")
    with pytest.raises(WorkbenchError, match=r"index\.html is not a site that was written here"):
        write_site([], {}, tmp_path)
    assert page.read_text(encoding="latin-1") == own and [*tmp_path.iterdir()] == [page]


def test_a_site_is_written_anew_in_its_place(tmp_path):
    page = write_site([], {}, tmp_path)
    assert write_site([], {1: "a"}, tmp_path) == page and "Not tested here" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["site", "report"])
def test_a_page_from_before_pages_had_a_mark_is_known_for_what_it_is(tmp_path, kind):
    if kind == "site":
        page = write_site([], {}, tmp_path)
    else:
        write_page(Report("A report", "Of what?", []), page := tmp_path / "index.html")
    page.write_text(page.read_text(encoding="utf-8").replace(MARK.format(kind), ""), encoding="utf-8")
    check_place(page, kind)
    with pytest.raises(WorkbenchError, match="was written here"):
        check_place(page, {"site": "report", "report": "site"}[kind])


def test_a_report_is_no_site(tmp_path):
    write_page(Report("A report", "Of what?", []), tmp_path / "index.html")
    with pytest.raises(WorkbenchError, match=r"index\.html is not a site that was written here"):
        write_site([], {}, tmp_path)
