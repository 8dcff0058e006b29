"""Every report that the tests make, opened in a real browser: headless Chromium, one session for all."""

import base64
import json
import math
import re
import shutil
from pathlib import Path

import pytest

from imagesets import Spec
from lab.reporting.pictures import GAP
from lab.reporting.report import Report, Section, write_report
from lab.reporting.statistics import Estimate
from lab.reporting.tables import Column, Table

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
)
REPORTS = ("smoke", "incomplete", "hostile names", "hostile classes", "many rows")
DEFAULT = "cda2ce9b"
"""The published run of the default study."""
PUBLISHED = sorted(path.name for path in (ROOT / "results" / "studies").glob("*/*"))
ENOUGH_CONTRAST = 4.5
A4 = 718
"""Pixels between the margins of a page of A4."""

UNREADABLE = """
const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parts(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255]; };
const contrast = element => {
  const [low, high] = [parts(getComputedStyle(element).color), behind(element)].map(luminance).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05); };
const told = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
const texts = [...document.body.querySelectorAll("*")].filter(e => e.tagName !== "SCRIPT" && told(e));
return [texts.length, texts.filter(e => contrast(e) < arguments[0]).map(e => [contrast(e), e.innerText])];
"""
TOO_WIDE = """
const width = document.documentElement.clientWidth + 0.5;
const sticks = e => e.getClientRects().length && e.getBoundingClientRect().right > width;
const boxed = e => arguments[0] && e.closest(".scroll *");
const cut = e => e.closest(".drawing *");
const out = [...document.body.querySelectorAll("*")].filter(e => sticks(e) && !boxed(e) && !cut(e));
const page = document.documentElement.scrollWidth > document.documentElement.clientWidth;
return [page ? "the page" : "", ...out.map(e => e.tagName + ": " + e.innerText.slice(0, 60))].filter(Boolean);
"""
DRAWN = """
const colours = (where, how) => [...new Set([...document.querySelectorAll(where)].map(e => getComputedStyle(e)[how]))];
return [colours(".drawing > g > g:first-of-type > path", "fill"), colours(".drawing", "fill")];
"""
POINT = """
const curve = document.querySelector(".drawing [data-points][data-unit=kimg]"), drawing = curve.closest("svg");
const [x, y, value, place] = curve.dataset.points.split(" ").at(-1).split(",");
const box = drawing.getBoundingClientRect(), scale = box.width / drawing.viewBox.baseVal.width;
return [box.left + x * scale, box.top + y * scale, value, place, curve.dataset.series];
"""
SHOWN = """
const parts = [...document.querySelector(".drawing").querySelectorAll("[data-series]")];
return parts.filter(part => part.dataset.series === arguments[0]).map(part => getComputedStyle(part).display);
"""
CUT = """
return [...document.querySelectorAll("#told .cut")].map(({style}) => [style.width, style.height,
  style.backgroundPositionX, style.backgroundPositionY].map(parseFloat));
"""
SORTED = """
return [...document.querySelectorAll("table")].flatMap(table => [...table.tHead.rows[0].cells].map((head, at) => {
  const keys = () => [...table.tBodies[0].rows].map(row => row.cells[at].dataset.sort);
  const click = () => { head.querySelector("button").click(); return [head.getAttribute("aria-sort"), keys()]; };
  return [click(), click()]; }));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, driven; its log of what it fetches is kept."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason='the browser tests need selenium: pip install ".[dev]"'
    )
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("the browser tests need Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    session = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield session
    session.quit()


@pytest.fixture(scope="module")
def pages(study, incomplete, redrawn, make_report, hostile, tmp_path_factory):
    """A function that gives the path of a report, by name; those that are published are drawn when asked for."""
    home, _, done = study
    found = {"smoke": home / json.loads(done.stdout.splitlines()[-1])["report"]}
    found["incomplete"] = incomplete[0] / "incomplete.html"
    folder = tmp_path_factory.mktemp("reports")
    found["hostile names"] = write_report(*make_report(), folder / "hostile")
    found["hostile classes"] = with_classes(home, [f"{i} {hostile}" for i in range(10)], folder / "classes")
    found["many rows"] = write_report(many_rows(), [], [], folder / "many")
    return lambda name: found.get(name) or Path(json.loads(redrawn(name).stdout.splitlines()[-1])["report"])


def with_classes(home, classes, folder):
    """The smoke study's report, drawn for an image set with these classes."""
    from imagesets import digits
    from lab.studying import study

    shutil.copytree(home / "my runs", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "SPEC", Spec(1, 16, tuple(classes), ("train", "test"), digits.SPEC.n))
        return study.draw_study(next((folder / "studies").glob("*/*"))).report


def many_rows():
    """A report with a wide table of every kind of cell, whose order is known."""
    values = [2.0, math.nan, -1.5, 10.0, math.inf, 1e-7]
    texts = ["seed 10", "", "seed 9", "a", "-", "seed 1"]
    rows = [
        [value, Estimate(value, value, value, 3), text, 7 - i, "x" * 40, *["wide"] * 12]
        for i, (value, text) in enumerate(zip(values, texts, strict=True))
    ]
    columns = [Column(name) for name in ("number", "estimate", "text", "whole", "long", *map(str, range(12)))]
    return Report("Rows", "?", [Section("Many", "", [Table("rows", "A caption of some length.", columns, rows)])])


@pytest.fixture(scope="module", params=[*REPORTS, *PUBLISHED])
def page(request, pages):
    """Each report in turn: what is tested of one comes together, so that the browser loads it once."""
    return pages(request.param)


def opened(browser, page, *, width=1200, scheme="light", media="screen", anew=False):
    """Open a page in a window of that many pixels, with a preferred scheme, on the screen or for printing.

    One that is open stays so, as earlier tests left it, unless it is to be loaded anew.
    """
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    if anew or browser.current_url != page.as_uri():
        browser.get(page.as_uri())


def hard_to_use(browser, part=None):
    """What axe-core finds on the page or in a part of it, of any weight: the rule and where."""
    from selenium_axe_python import Axe

    axe = Axe(browser)
    axe.inject()
    found = axe.run(part, {"resultTypes": ["violations"]})["violations"]
    return [(rule["id"], node["target"]) for rule in found for node in rule["nodes"]]


def test_nothing_is_fetched_and_nothing_complains(browser, page):
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what earlier pages left
    opened(browser, page, anew=True)
    broken = "return [...document.images].filter(image => !image.naturalWidth || !image.alt).length"
    assert browser.execute_script(broken) == 0
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    fetched = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in fetched if not url.startswith("data:image/")} == {page.as_uri()}
    assert browser.get_log("browser") == []


def test_a_page_cannot_fetch_from_outside(browser, pages):
    opened(browser, pages("smoke"))
    refused = browser.execute_async_script("""
        document.addEventListener("securitypolicyviolation", event => arguments[0](event.blockedURI));
        document.body.append(Object.assign(new Image(), {src: "http://127.0.0.1:9/picture.png"}));""")
    assert refused == "http://127.0.0.1:9/picture.png"


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


def test_light_and_dark_can_be_read(browser, page):
    grounds = []
    for scheme in ("light", "dark"):
        opened(browser, page, scheme=scheme)
        count, unreadable = browser.execute_script(UNREADABLE, ENOUGH_CONTRAST)
        assert count > 5 and unreadable == []
        grounds.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert len(set(grounds)) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_amiss(browser, pages, site, scheme):
    for found in (pages(DEFAULT), site):
        opened(browser, found, scheme=scheme)
        assert hard_to_use(browser) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawings_follow_the_page(browser, pages, scheme):
    """The ground of a figure is the page's in the dark, and what is written on it can be told from that."""
    opened(browser, pages("smoke"), scheme=scheme)
    grounds, inks = browser.execute_script(DRAWN)
    assert grounds == [{"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 29)"}[scheme]]
    assert inks == [{"light": "rgb(29, 33, 37)", "dark": "rgb(228, 231, 234)"}[scheme]]


def test_a_curve_tells_its_seed_and_value_and_a_click_hides_it(browser, pages):
    from selenium.webdriver import ActionChains

    opened(browser, pages("smoke"))
    browser.execute_script("document.querySelector('.drawing').scrollIntoView({block: 'center'})")
    x, y, value, place, series = browser.execute_script(POINT)
    pointer = ActionChains(browser)
    pointer.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    pointer.perform()
    box = browser.find_element("id", "told")
    assert box.text.startswith(f"{series}, ") and f": {value}" in box.text and f"at {place} kimg" in box.text
    key = browser.find_element("css selector", f".drawing [data-key='{series}']")
    for away in (True, False):
        browser.execute_script("arguments[0].dispatchEvent(new Event('click'))", key)
        shown = browser.execute_script(SHOWN, series)
        assert set(shown) == {"none" if away else "inline"}


@pytest.mark.parametrize("kind", ["[data-beside]", ":not([data-beside])"])
def test_a_picture_tells_what_it_is_and_is_enlarged(browser, pages, kind):
    """Generated images tell the nearest training image and show it; real ones tell their class."""
    from selenium.webdriver import ActionChains

    opened(browser, pages("smoke"))
    picture = browser.find_element("css selector", f".pictures img[data-names]{kind}")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
    ActionChains(browser).move_to_element(picture).perform()
    names, what = json.loads(picture.get_attribute("data-names")), picture.get_attribute("data-what")
    told = browser.find_element("id", "told").text
    assert len(names) == 64 and told.removeprefix(f"{what}: ") in names and (told in names) == (what is None)
    cuts = browser.execute_script(CUT)
    middle = [-place * (16 + GAP) * 6 for place in (3, 4)]
    assert all(cut[:2] == [96, 96] and {*cut[2:]} <= {*middle} for cut in cuts) and len(cuts) == (what is not None)
    whole = "return arguments[0].width % arguments[0].naturalWidth"
    assert browser.execute_script(whole, picture) == 0
    picture.click()
    large = browser.find_elements("css selector", "dialog[open] img")
    assert [browser.execute_script(whole, one) for one in large] == ([0, 0] if what else [0])
    assert large[0].size["width"] > picture.size["width"] and hard_to_use(browser, "'dialog'") == []
    large[0].click()
    assert not browser.find_elements("css selector", "dialog")


def test_a_narrow_screen_says_that_figures_scroll(browser, pages):
    hints = "return [...document.querySelectorAll('.hint')].map(e => e.getClientRects().length > 0)"
    for width, told in ((400, True), (1400, False)):
        opened(browser, pages("smoke"), width=width)
        assert set(browser.execute_script(hints)) == {told}


def test_a_narrow_screen_scrolls_only_inside_boxes(browser, page):
    opened(browser, page, width=360)
    assert browser.execute_script(TOO_WIDE, True) == []
    boxes = "return [...document.querySelectorAll('.scroll')].map(e => [getComputedStyle(e).overflowX, e.tabIndex])"
    assert all(box == ["auto", 0] for box in browser.execute_script(boxes))


def test_a_table_that_is_too_wide_scrolls(browser, pages):
    opened(browser, pages("many rows"), width=360)
    moved = "const box = document.querySelector('.scroll'); box.scrollLeft = 1e6; return box.scrollLeft"
    assert browser.execute_script(moved) > 300


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


@pytest.fixture(scope="module")
def site(study, tmp_path_factory):
    """The site of the smoke study."""
    from lab.studying.site import finished, write_site
    from studies.paper.findings import FINDINGS

    folder = tmp_path_factory.mktemp("site")
    return write_site(finished([study[0] / "my runs"]), FINDINGS, folder)


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
    assert browser.get_log("browser") == []
