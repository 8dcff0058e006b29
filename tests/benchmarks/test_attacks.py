"""The benchmark of attacks at a size that takes seconds."""

import importlib.util
import json
import sys
from pathlib import Path

from click.testing import CliRunner

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def test_it_runs_small(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("_rounds", "_training"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("benchmark_of_attacks", FOLDER / "attacks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words = ["--classifier", "mlp", "--n", "20", "--steps", "2", "--rounds", "2", "--json", str(tmp_path / "out.json")]
    done = CliRunner().invoke(module.main, words, catch_exceptions=False)
    assert done.exit_code == 0 and "times as long as plain passes" in done.output
    ours = json.loads((tmp_path / "out.json").read_text())[0]
    assert ours["work"] == "pgd of 20 images" and ours["value"] > 0 and ours["at_most"] == 1.05
