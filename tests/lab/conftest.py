"""What tests of cells use."""

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def importable(monkeypatch):
    """Other processes find the functions of `work.py`."""
    here = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))
