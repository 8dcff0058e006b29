"""The engine as a library of its own: installed without the workbench, it needs torch and nothing else."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from pages import examples

ROOT = Path(__file__).resolve().parents[2]
# Of numpy, torch takes the error for its absence.
GUARD = """import sys
class Guard:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise ModuleNotFoundError(f"{{name}} is none of torch's", name=name)
sys.meta_path.insert(0, Guard)
"""


def names(requirements):
    """Of requirements, as `pillow>=10` or `sympy; python_version > "3"`."""
    return {re.match(r"[\w.-]+", text)[0].lower().replace("_", "-") for text in requirements}


def refused():
    """The workbench's own packages, and what it requires and torch does not: numpy too, which torch can do without."""
    workbench = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = workbench["tool"]["setuptools"]["packages"]["find"]["include"]
    ours = {package.removesuffix("*") for package in packages} - {"snnl_core"}
    others = names(workbench["project"]["dependencies"]) - names(["torch", *requires("torch")])
    modules = {module for module, owners in packages_distributions().items() if names(owners) & others}
    assert {"numpy", "sklearn", "PIL"} <= modules and {"lab", "gans", "metrics"} <= ours
    return {"cli", *ours, *modules}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the engine is installed to, from a copy, as building writes beside the source."""
    source, target = tmp_path_factory.mktemp("source") / "snnl_core", tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "snnl_core", source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def alone(installed, tmp_path):
    """Run a piece of Python where the engine is installed and all else is refused; gives its standard output."""

    def run(code):
        environment = {**os.environ, "PYTHONPATH": str(installed), "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", GUARD.format(refused=refused()) + code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_holds_its_modules_and_requires_torch_alone(installed):
    modules = {path.name for path in (installed / "snnl_core").iterdir() if path.name != "__pycache__"}
    assert modules == {path.name for path in (ROOT / "snnl_core").glob("*.py")}
    (record,) = installed.glob("snnl_core-*.dist-info/METADATA")
    assert re.findall(r"^Requires-Dist: (\w+)", record.read_text(), re.M) == ["torch"]
    (terms,) = record.parent.rglob("LICENSE")
    assert terms.read_text() == (ROOT / "LICENSE").read_text()


def test_every_module_is_imported_without_the_workbench(alone, installed):
    said = alone(
        "import importlib, pkgutil, snnl_core\n"
        "for module in pkgutil.iter_modules(snnl_core.__path__): importlib.import_module(f'snnl_core.{module.name}')\n"
        "print(snnl_core.__file__)"
    )
    assert Path(said.strip()) == installed / "snnl_core" / "__init__.py"


def test_the_guard_refuses_the_workbench(alone):
    for name in ("lab", "numpy"):
        assert alone(f"try: import {name}\nexcept ImportError as error: print(error)").startswith(f"{name} is none")


def test_the_readme_runs(alone):
    (example,) = examples("snnl_core", "README.md")
    said = alone(example).splitlines()
    assert said[0].startswith("score 0.") and len(said) == 3
    scores = eval(said[2])
    assert scores["shuffled"] > 0.9 > 0.7 > scores["input"], "neighbours say nothing of shuffled labels"
