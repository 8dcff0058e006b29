"""Who may import whom: the rules of the architecture, checked on the source."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("snnl_core", "lab", "imagesets", "gans", "classifiers", "metrics", "studies")
ALLOWED = {
    "snnl_core": {"snnl_core"},
    "lab": {"lab"},
    "imagesets": {"imagesets", "lab"},
    "gans": {"gans", "snnl_core", "lab"},
    "classifiers": {"classifiers", "snnl_core", "lab"},
    "metrics": {"metrics", "snnl_core", "lab"},
    "studies": {"studies", "snnl_core", "metrics", "lab"},
}
HEAVY_FOR_STUDIES = {"torch", "snnl_core", "metrics", "gans", "imagesets"}
OURS = {*FOLDERS, "cli"}


def imports(tree, top_level_only=False):
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a thing comes from"
            yield node.module.partition(".")[0]


def sources(folder):
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", [p for f in FOLDERS for p in sources(f)], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_rules(path):
    folder = path.relative_to(ROOT).parts[0]
    found = set(imports(ast.parse(path.read_text())))
    assert found & OURS <= ALLOWED[folder]
    if folder == "snnl_core":
        assert found <= {"snnl_core", "torch", *sys.stdlib_module_names}
    if folder == "studies":
        assert not set(imports(ast.parse(path.read_text()), top_level_only=True)) & HEAVY_FOR_STUDIES


def test_the_command_line_imports_only_click_at_the_top():
    found = set(imports(ast.parse((ROOT / "cli.py").read_text()), top_level_only=True))
    assert found <= {"click", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", [p for f in FOLDERS for p in sources(f)], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_thing_has_a_name_and_a_room(path):
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    assert ast.get_docstring(ast.parse(path.read_text())), "every module says what it is"


def test_every_folder_is_packaged():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(FOLDERS)
    text = (ROOT / "pyproject.toml").read_text()
    assert all(f'"{folder}"' in text for folder in FOLDERS)
