"""Every report that the tests make, opened in a real browser: headless Chromium."""

import json
import math
import shutil
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from imagesets import Spec
from lab.reporting.report import Report, Section, write_report
from lab.reporting.statistics import Estimate
from lab.reporting.tables import Column, Table

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


@pytest.fixture(scope="session")
def driven(tmp_path_factory):
    """A function that starts Chromium with more flags, driven; its log of what it fetches is kept."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason='the browser tests need selenium: pip install ".[dev]"'
    )
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("the browser tests need Chromium: apt-get install chromium chromium-driver")

    def start(*flags):
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, *flags, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        return stack.enter_context(webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)))

    with ExitStack() as stack:
        yield start


@pytest.fixture(scope="session")
def browser(driven):
    """Chromium as people use it, but for its window."""
    return driven()


@pytest.fixture(scope="session")
def pages(study, incomplete, redrawn, make_report, hostile, tmp_path_factory):
    """A function that gives the path of a report, by name; it is drawn when it is asked for."""
    home, _, done = study
    folder = tmp_path_factory.mktemp("reports")
    made = {
        "smoke": lambda: home / json.loads(done.stdout.splitlines()[-1])["report"],
        "incomplete": lambda: incomplete[0] / "incomplete.html",
        "hostile names": lambda: write_report(*make_report(), folder / "hostile"),
        "hostile classes": lambda: with_classes(home, [f"{i} {hostile}" for i in range(10)], folder / "classes"),
        "many rows": lambda: write_report(many_rows(), [], [], folder / "many"),
    }
    return cache(lambda name: made[name]() if name in made else published(redrawn, name))


def published(redrawn, name):
    """The report of a published study, by its hash."""
    return Path(json.loads(redrawn(name).stdout.splitlines()[-1])["report"])


def with_classes(home, classes, folder):
    """The smoke study's report, drawn for an image set with these classes."""
    from imagesets import digits
    from lab.studying import drawing

    shutil.copytree(home / "my runs", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "SPEC", Spec(1, 16, tuple(classes), ("train", "test"), digits.SPEC.n))
        return drawing.draw_study(next((folder / "studies").glob("*/*")), formats=("svg",)).report


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


@pytest.fixture(scope="session")
def site(study, tmp_path_factory):
    """The site of the smoke study."""
    from lab.studying.site import finished, write_site
    from studies.paper.findings import FINDINGS

    folder = tmp_path_factory.mktemp("site")
    return write_site(finished([study[0] / "my runs"]), FINDINGS, folder)
