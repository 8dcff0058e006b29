"""Figures and pictures: they follow the page, tell what they show, are enlarged, and say that they scroll."""

import json

import numpy as np
import pytest
from browsing import hard_to_use, opened

from lab.reporting.pictures import GAP, png
from lab.reporting.report import Gallery, GalleryRow, Lines, Picture, Report, Section, write_page

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
BROKEN = """
const walk = document.createTreeWalker(document.querySelector("pre"), NodeFilter.SHOW_TEXT), broken = [];
for (let node = walk.nextNode(); node; node = walk.nextNode())
  for (const word of node.data.matchAll(/\\S+/g)) {
    const range = document.createRange();
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    if (new Set([...range.getClientRects()].map(box => box.top)).size > 1) broken.push(word[0]); }
return [document.querySelector("pre").textContent, broken];
"""
CUT = """
return [...document.querySelectorAll("#told .cut")].map(({style}) => [style.width, style.height,
  style.backgroundPositionX, style.backgroundPositionY].map(parseFloat));
"""


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


def test_pictures_of_a_gallery_stand_below_one_another(browser, tmp_path):
    """Whatever is written below them: rows show the same images before and after."""
    image = png(np.zeros((1, 16, 16), np.uint8))
    rows = [GalleryRow(text, [Picture(text, image)] * 3) for text in ("0.1", "7: network 7, neighbours 7 (0.931)")]
    write_page(Report("Gallery", "?", [Section("Images", "", [Gallery("Rows.", rows)])]), tmp_path / "page.html")
    opened(browser, tmp_path / "page.html")
    left = [one.location["x"] for one in browser.find_elements("css selector", ".pictures img")]
    assert len({*left}) == 3 and left[:3] == left[3:]


@pytest.mark.parametrize("width", range(360, 1200, 70))
def test_a_command_is_broken_between_its_words(browser, tmp_path, width):
    """Not within `--n`, after its first hyphen."""
    text = "@misc{a,\n  title = {b},\n}\n" + " ".join(f"--option-{n} {'x' * n}" for n in range(30))
    write_page(Report("Lines", "?", [Section("How", "", [Lines("Type:", text)])]), tmp_path / "page.html")
    opened(browser, tmp_path / "page.html", width=width)
    kept, broken = browser.execute_script(BROKEN)
    assert kept == text and broken == []


def test_a_narrow_screen_says_that_figures_scroll(browser, pages):
    hints = "return [...document.querySelectorAll('.hint')].map(e => e.getClientRects().length > 0)"
    for width, told in ((400, True), (1400, False)):
        opened(browser, pages("smoke"), width=width)
        assert set(browser.execute_script(hints)) == {told}
