"""Every study keeps the contract, and plans and reports without torch."""

import pytest

from lab import registry
from lab.studying.study import study_config

NAMES = [entry.name for entry in registry.entries("studies")]


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_valid_and_settings_documented(name):
    module = registry.load("studies", name)
    assert set(module.PRESETS) == {"smoke", "laptop", "paper"}
    assert all(field.description for field in module.Config.model_fields.values())
    for preset in module.PRESETS:
        config = study_config(name, preset, {})
        assert module.Config.parse(config.plain()) == config


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_stated_with_margins_before_any_run(name):
    module = registry.load("studies", name)
    claims = module.claims(study_config(name, "laptop", {}))
    assert claims
    assert all(claim.text and claim.comparison and claim.margin is not None for claim in claims)
    assert len({claim.key for claim in claims}) == len(claims)


@pytest.mark.parametrize("name", NAMES)
def test_planning_is_a_function_of_the_settings(name):
    module = registry.load("studies", name)
    config = study_config(name, "smoke", {})
    assert [cell.key for cell in module.plan(config)] == [cell.key for cell in module.plan(config)]
    assert all(callable(registry.resolve(cell.run)) for cell in module.plan(config))


@pytest.mark.parametrize("name", NAMES)
def test_planning_imports_no_torch(name, python):
    code = (
        "import sys; from lab.study import *; from pathlib import Path;"
        f"plan_study({name!r}, study_config({name!r}, 'laptop', {{}}), Path('nowhere')); print('torch' in sys.modules)"
    )
    assert python(code) == "False"


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_tells_claim_cost_and_command(name):
    doc = registry.load("studies", name).__doc__
    assert "Claim" in doc and "costs" in doc and f"python cli.py study {name}" in doc
