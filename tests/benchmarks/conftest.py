"""Benchmarks as modules of their own, with those that they import."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """A function that imports one of them by its name, with those that it imports."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for file in FOLDER.glob("_*.py"):
        monkeypatch.delitem(sys.modules, file.stem, raising=False)

    def loaded(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield loaded
    for file in FOLDER.glob("_*.py"):
        sys.modules.pop(file.stem, None)
