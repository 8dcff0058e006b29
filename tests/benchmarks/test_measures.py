"""The benchmark of the measures at a size that takes seconds."""

import json
import os
from pathlib import Path

import forks

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "measures.py"


def test_it_runs_small_and_finds_what_the_packages_find(tmp_path):
    sizes = ["--n", "300", "--rounds", "1", "--data", str(tmp_path), "--json", str(tmp_path / "out.json")]
    parts = [word for part in ("prdc", "torch-fidelity", "vendi") for word in ("--only", part)]
    done = forks.run(FILE, [*sizes, *parts], tmp_path, os.environ, 300)
    assert done.returncode == 0, done.stderr
    apart = [line for line in json.loads((tmp_path / "out.json").read_text()) if "difference" in line["work"]]
    assert len(apart) == 4 and all(line["met"] for line in apart), apart
