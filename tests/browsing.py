"""Pages in a browser: how they are opened, and scripts that tell what is on them."""

from waiting import wait_for

ENOUGH_CONTRAST = 4.5
A4 = 718
"""Pixels between the margins of a page of A4."""
UNREADABLE = """
const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const found = new Map([[null, [255, 255, 255]]]);
const behind = element => {
  if (!found.has(element)) {
    const colour = parts(getComputedStyle(element).backgroundColor);
    found.set(element, colour.length < 4 || colour[3] > 0 ? colour : behind(element.parentElement));
  }
  return found.get(element); };
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

LOADED = "return [document.URL, document.readyState]"


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
        wait_for(lambda: browser.execute_script(LOADED) == [page.as_uri(), "complete"])  # `get` was seen to end sooner


def hard_to_use(browser, part=None):
    """What axe-core finds on the page or in a part of it, of any weight: the rule and where."""
    from selenium_axe_python import Axe

    axe = Axe(browser)
    axe.inject()
    found = axe.run(part, {"resultTypes": ["violations"]})["violations"]
    return [(rule["id"], node["target"]) for rule in found for node in rule["nodes"]]
