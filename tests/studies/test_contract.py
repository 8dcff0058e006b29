"""Every study keeps the contract, and plans and reports without torch."""

import inspect
import re
from pathlib import Path

import pytest

from lab import registry
from lab.cells import layout
from lab.cells.record import read_study
from lab.cells.rows import build_table
from lab.config import with_preset
from lab.files import read_object
from lab.reporting.report import Report
from studies._config import ImageStudy

NAMES = [entry.name for entry in registry.entries("studies")]


def study(name, preset):
    """The module of a study, and the settings of a preset."""
    module = registry.load("studies", name)
    return module, with_preset(module.Config, module.PRESETS, preset, {})


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_valid_and_settings_documented(name):
    module = registry.load("studies", name)
    assert set(module.PRESETS) == {"smoke", "laptop", "paper"}
    assert all(field.description for field in module.Config.model_fields.values())
    for preset in module.PRESETS:
        _, config = study(name, preset)
        assert module.Config.parse(config.plain()) == config


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_stated_with_margins_before_any_run(name):
    module, config = study(name, "laptop")
    claims = module.claims(config)
    assert claims or not module.plan(config, Path("nowhere")), "what has no cells has nothing of its own to claim"
    assert all(claim.text and claim.comparison and claim.margin is not None for claim in claims)
    assert len({claim.text for claim in claims}) == len(claims)
    assert all(claim.kind in ("exceeds", "differs") for claim in claims)
    assert all(isinstance(claim.margin, int | float) for claim in claims), "a number, in the measure's unit"


def test_the_claims_of_published_studies_are_those_that_were_stated_before_they_ran():
    """Word for word, with their margins; a plan keeps them. What is claimed otherwise now, is claimed of other runs."""
    checked = []
    for folder in filter(layout.is_study, layout.studies(layout.PUBLISHED)):
        record = read_study(folder)
        module = registry.load("studies", record.study)
        now = [claim.plain() for claim in module.claims(module.Config.parse(record.settings))]
        assert now == read_object(folder / layout.PLAN)["claims"], folder
        checked += [record.study] * len(now)
    told = (layout.PUBLISHED.parent / "docs" / "results.md").read_text(encoding="utf-8")
    assert {*checked} == set(re.findall(r"results/studies/([\w-]+)", told))
    assert len({*checked}) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_without_measurements_there_is_no_effect_and_still_a_report(name):
    module, config = study(name, "smoke")
    empty = build_table([])
    assert [claim.effect(empty) for claim in module.claims(config)] == [None] * len(module.claims(config))
    report = module.report(config, empty, [])
    assert isinstance(report, Report) and report.title and report.sections


@pytest.mark.parametrize("name", NAMES)
def test_planning_is_a_function_of_the_settings(name, tmp_path):
    module, config = study(name, "smoke")
    one, two = (module.plan(config, tmp_path) for _ in range(2))
    assert [cell.key for cell in one] == [cell.key for cell in two]
    assert all(inspect.isfunction(registry.load("tasks", cell.task).run) for cell in one)
    assert all(registry.load("tasks", cell.task).Config.parse(cell.config.plain()) == cell.config for cell in one)


@pytest.mark.parametrize("name", NAMES)
def test_who_works_with_images_names_them(name):
    module, config = study(name, "smoke")
    reads = any(cell.data or cell.needs for cell in module.plan(config, Path("nowhere")))
    assert issubclass(module.Config, ImageStudy) == reads
    if reads:
        settled = config.settled(lambda images: {"digits": "mnist"}[images])
        named = getattr(settled, settled.IMAGES)
        assert named == "mnist" or named == ("mnist",)


def test_planning_imports_no_torch(python):
    """In one process, which ends with the first study that does."""
    code = (
        "import sys; from pathlib import Path; from lab import registry; from lab.cells.rows import build_table\n"
        f"for name in {NAMES}:\n"
        "    module = registry.load('studies', name); config = module.Config.parse(module.PRESETS['laptop'])\n"
        "    module.plan(config, Path('nowhere')); module.claims(config); module.report(config, build_table([]), [])\n"
        "    if 'torch' in sys.modules: sys.exit(print(name))"
    )
    assert python(code) == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_tells_claim_cost_and_command(name):
    doc = registry.load("studies", name).__doc__
    assert "Claim" in doc and "costs" in doc and f"python cli.py study {name}" in doc
