"""The benchmark's comparison on request."""

import os
from pathlib import Path

import forks

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "snnl.py"
WITHOUT = """import os, runpy, sys
sys.modules["pykeops"] = None
sys.argv = [sys.argv[1], "--keops"]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")"""


def test_without_keops_it_says_in_one_line_what_to_install(tmp_path):
    (tmp_path / "without.py").write_text(WITHOUT)
    done = forks.run(tmp_path / "without.py", [FILE], tmp_path, os.environ, 60)
    assert done.returncode == 1 and not done.stdout
    assert "pip install pykeops" in done.stderr and done.stderr.count("\n") == 1
