"""What is tested on one page: order and room in tables, hostile names, the default report, the site."""

import base64
import re

import pytest
from browsing import A4, ENOUGH_CONTRAST, TOO_WIDE, UNREADABLE, hard_to_use, opened

from lab.reporting.report import Report, Section, write_page
from lab.reporting.tables import Table, columns

DEFAULT = "cda2ce9b"
"""The published run of the default study."""


def test_a_page_cannot_fetch_from_outside(browser, pages):
    opened(browser, pages("smoke"))
    refused = browser.execute_async_script("""
        document.addEventListener("securitypolicyviolation", event => arguments[0](event.blockedURI));
        document.body.append(Object.assign(new Image(), {src: "http://127.0.0.1:9/picture.png"}));""")
    assert refused == "http://127.0.0.1:9/picture.png"


def test_numbers_sort_as_numbers_and_words_as_people_do(browser, pages):
    opened(browser, pages("many rows"))
    shown = "return [...document.querySelectorAll('tbody tr')].map(row => row.cells[arguments[0]].innerText)"
    heads = browser.find_elements("css selector", "th button")
    expected = {
        0: ["-1.500", "0.000", "2.000", "10.000", "inf", "-"],
        2: ["a", "seed 1", "seed 9", "seed 10"],
        3: ["2", "3", "4", "5", "6", "7"],
    }
    for column, order in expected.items():
        heads[column].click()
        assert browser.execute_script(shown, column)[: len(order)] == order
        heads[column].send_keys("\n")  # a keyboard will do
        known = [text for text in order if text != "-"]
        assert browser.execute_script(shown, column)[: len(known)] == known[::-1]
    assert browser.execute_script("return document.querySelectorAll('[aria-sort]').length") == 1


def test_a_table_that_is_too_wide_scrolls(browser, pages):
    opened(browser, pages("many rows"), width=360)
    moved = "const box = document.querySelector('.scroll'); box.scrollLeft = 1e6; return box.scrollLeft"
    assert browser.execute_script(moved) > 300


def test_a_table_has_the_room_that_a_window_has(browser, tmp_path):
    table = Table("t", "Each.", columns("measure", *"abcdef"), [["fid", *["0.123 [0.100, 0.200] (n = 3)"] * 6]])
    write_page(Report("Wide", "?", [Section("Ends", "", [table])]), tmp_path / "page.html")
    opened(browser, tmp_path / "page.html", width=2400, anew=True)
    inside = "const box = document.querySelector('.scroll'); return box.scrollWidth <= box.clientWidth"
    assert browser.execute_script(inside + " && box.clientWidth > document.querySelector('main').clientWidth")
    beyond = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not browser.execute_script(beyond)
    opened(browser, tmp_path / "page.html", width=1100)
    assert not browser.execute_script(inside) and not browser.execute_script(beyond)


def test_long_headings_do_not_run_into_one_another(browser, tmp_path):
    """As the folders of two runs beside one another."""
    paths = ["/home/anna/experiments/results/studies/gan-entanglement/8d49ea06", "difference"]
    table = Table("t", "Each.", columns("measure", *paths), [["fid", 1.0, 2.0]])
    write_page(Report("Two", "?", [Section("Ends", "", [table])]), tmp_path / "page.html")
    opened(browser, tmp_path / "page.html", anew=True)
    wide = "return [...document.querySelectorAll('th')].map(e => [e.scrollWidth, e.clientWidth])"
    assert all(needed <= given for needed, given in browser.execute_script(wide))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_amiss(browser, pages, site, scheme):
    for found in (pages(DEFAULT), site):
        opened(browser, found, scheme=scheme)
        assert hard_to_use(browser) == []


def test_the_default_report_is_small_and_printed_on_few_pages(browser, pages):
    opened(browser, pages(DEFAULT), width=A4, media="print")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
    assert len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed))) in range(5, 13)
    assert pages(DEFAULT).stat().st_size < 1_200_000


def test_hostile_names_are_shown_as_text(browser, pages, hostile):
    opened(browser, pages("hostile names"), anew=True)
    assert browser.execute_script("return document.scripts.length") == 1
    words = browser.execute_script("return document.body.innerText")
    assert words.count(hostile) == 19 and browser.title == hostile
    told = "return [...document.querySelectorAll('[alt], [aria-label]')].map(e => e.alt ?? e.ariaLabel)"
    assert browser.execute_script(told) == ["Sections", hostile, hostile, f"{hostile}, {hostile}"]


def test_hostile_classes_are_shown_as_text(browser, pages, hostile):
    opened(browser, pages("hostile classes"))
    assert browser.execute_script("return document.scripts.length") == 1
    assert browser.execute_script("return document.body.innerText").count(hostile) == 10


def test_the_site_is_walked(browser, site):
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    opened(browser, site)
    assert browser.execute_script("return [...document.images].filter(image => !image.naturalWidth).length") == 0
    cards = "return [...document.querySelectorAll('.card')].filter(card => !card.hidden).length"
    choose = """const select = document.querySelector(`select[name=${arguments[0]}]`); select.value = arguments[1];
        select.dispatchEvent(new Event("change", {bubbles: true})); return select.value"""
    for name, value in {"study": "gan-entanglement", "images": "digits", "verdict": "no verdict"}.items():
        assert browser.execute_script(choose, name, value) == value and browser.execute_script(cards) == 1
    for scheme in ("light", "dark"):
        assert browser.execute_script(UNREADABLE, ENOUGH_CONTRAST)[1] == []
        opened(browser, site, scheme=scheme, width=400)
        assert browser.execute_script(TOO_WIDE, True) == []
    browser.execute_script("document.querySelector('.card h3 a').click()")
    assert browser.title == "Entanglement of real and generated images over GAN training"
    browser.execute_script("document.querySelector('main > nav a').click()")
    assert browser.title == "SNNL workbench: results"
    assert browser.get_log("browser") == []
