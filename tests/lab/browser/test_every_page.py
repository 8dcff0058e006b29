"""What holds for every report: it fetches nothing, sorts, can be read in light and dark, narrow and printed."""

import json
from pathlib import Path

import pytest
from browsing import A4, ENOUGH_CONTRAST, TOO_WIDE, UNREADABLE, opened

ROOT = Path(__file__).resolve().parent.parent.parent.parent
REPORTS = ("smoke", "incomplete", "hostile names", "hostile classes", "many rows")
PUBLISHED = sorted(path.name for path in (ROOT / "results" / "studies").glob("*/*"))
SORTED = """
return [...document.querySelectorAll("table")].flatMap(table => [...table.tHead.rows[0].cells].map((head, at) => {
  const keys = () => [...table.tBodies[0].rows].map(row => row.cells[at].dataset.sort);
  const click = () => { head.querySelector("button").click(); return [head.getAttribute("aria-sort"), keys()]; };
  return [click(), click()]; }));
"""


@pytest.fixture(scope="module")
def browser(driven):
    """One that composes no frames: pages are asked here how they are laid out, which nobody sees."""
    return driven("--disable-threaded-compositing")


@pytest.fixture(scope="module", params=[*REPORTS, *PUBLISHED])
def page(request, pages):
    """Each report in turn: what is tested of one comes together, so that the browser loads it once."""
    return pages(request.param)


def test_nothing_is_fetched_and_nothing_complains(browser, page):
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what earlier pages left
    opened(browser, page, anew=True)
    broken = "return [...document.images].filter(image => !image.naturalWidth || !image.alt).length"
    assert browser.execute_script(broken) == 0
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    fetched = {one["request"]["url"] for one in sent if not one["documentURL"].startswith("chrome://")}  # its own pages
    assert {url for url in fetched if not url.startswith("data:image/")} == {page.as_uri()}
    assert browser.get_log("browser") == []


def test_tables_sort_by_every_column_both_ways(browser, page):
    opened(browser, page)
    columns = browser.execute_script(SORTED)
    assert columns or "hostile" in str(page)
    for (up, ascending), (down, descending) in columns:
        assert (up, down) == ("ascending", "descending")
        for keys, reverse in ((ascending, False), (descending, True)):
            known = [key for key in keys if key not in {"", "-", "nan"}]
            assert keys[: len(known)] == known, "what is missing comes last"
            if all(is_number(key) for key in known):
                assert [float(key) for key in known] == sorted(map(float, known), reverse=reverse)
        assert sorted(ascending) == sorted(descending)


def is_number(key):
    try:
        float(key)
    except ValueError:
        return False
    return True


def test_light_and_dark_can_be_read(browser, page):
    grounds = []
    for scheme in ("light", "dark"):
        opened(browser, page, scheme=scheme)
        count, unreadable = browser.execute_script(UNREADABLE, ENOUGH_CONTRAST)
        assert count > 5 and unreadable == []
        grounds.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert len(set(grounds)) == 2


def test_a_narrow_screen_scrolls_only_inside_boxes(browser, page):
    opened(browser, page, width=360)
    assert browser.execute_script(TOO_WIDE, True) == []
    boxes = "return [...document.querySelectorAll('.scroll')].map(e => [getComputedStyle(e).overflowX, e.tabIndex])"
    assert all(box == ["auto", 0] for box in browser.execute_script(boxes))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_in_print(browser, page, scheme):
    opened(browser, page, width=A4, scheme=scheme, media="print")
    assert browser.execute_script(TOO_WIDE, False) == []
    cut = "return [...document.querySelectorAll('*')].filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1)"
    assert browser.execute_script(f"{cut}.filter(e => getComputedStyle(e).overflowX !== 'visible').length") == 0
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.execute_script(UNREADABLE, ENOUGH_CONTRAST)[1] == []
    arrows = "return [...document.querySelectorAll('th button')].map(e => getComputedStyle(e, '::after').content)"
    browser.execute_script("document.querySelector('th button')?.click()")
    assert set(browser.execute_script(arrows)) <= {"none"}
    assert browser.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
