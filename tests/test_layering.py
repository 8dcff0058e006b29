"""Who may import whom: the rules of the architecture, checked on the source."""

import ast
import re
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).resolve().parent.parent
FLOOR = set("checks config errors files hashing interrupts locks machine pace parallel processes registry".split())
MODELS = {"attacks", "gans", "classifiers", "outside", "imagesets", "metrics", "snnl_core", "lab"}
ROOMS = {
    "cli": {"commands", "lab"},
    "commands": {"studies", "tasks", "evaluation", *MODELS},
    "studies": {"tasks", "evaluation", *MODELS},
    "tasks": {"evaluation", *MODELS},
    "evaluation": MODELS,
    "attacks": {"imagesets", "metrics", "snnl_core", "lab"},
    "gans": {"outside", "imagesets", "metrics", "snnl_core", "lab"},
    "classifiers": {"outside", "imagesets", "metrics", "snnl_core", "lab"},
    "outside": {"imagesets", "metrics", "snnl_core", "lab"},
    "imagesets": {"lab"},
    "metrics": {"snnl_core", "lab"},
    "snnl_core": set(),
    "lab": set(),
}
"""What each may import besides itself and what is not ours."""
LAB = {
    "studying": {"reporting", "running", "cells"},
    "reporting": {"cells"},
    "running": {"cells"},
    "training": {"cells"},
    "cells": set(),
    "floor": set(),
}
"""What each room of `lab` may import besides itself and the floor."""
LIGHT = ("cli", "commands", "studies", "tasks", "lab")
HEAVY = {"torch", "torchvision", "torch_fidelity", "accelerate", "evaluation", "snnl_core", "metrics", "safetensors"}
TORCHLESS_OF_TRAINING = {"compute", "checkpoint", "snapshots", "tracking", "__init__"}
CODE = re.compile(r"[a-z_]+(\.[a-z_]+)+:[A-Za-z_]+")


@cache
def modules():
    """Every module of ours: its path, and its syntax tree."""
    paths = [ROOT / "cli.py", *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]
    return {path: ast.parse(path.read_text()) for path in paths if path.exists()}


def imported(tree, top_level_only=False):
    """The modules that a tree imports, by their full names."""
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a thing comes from"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def lab_room(parts):
    """The room of `lab` that the parts of a module's name lead to; files of its own are the floor."""
    return parts[1] if len(parts) > 1 and parts[1] in LAB else "floor"


def test_imports_follow_the_rules():
    for path, tree in modules().items():
        room = room_of(path)
        found = {name.partition(".")[0] for name in imported(tree)} & set(ROOMS)
        assert found <= {room, *ROOMS[room]}, f"{path.relative_to(ROOT)} imports {sorted(found)}"


def test_rooms_of_the_lab_follow_their_rules():
    assert {path.stem for path in (ROOT / "lab").glob("*.py")} == {*FLOOR, "__init__"}
    for path, tree in modules().items():
        if room_of(path) == "lab":
            room = lab_room(path.relative_to(ROOT).with_suffix("").parts)
            found = {lab_room(name.split(".")) for name in imported(tree) if name.startswith("lab.")}
            assert found <= {room, "floor", *LAB[room]}, f"{path.relative_to(ROOT)} imports {sorted(found)}"


def test_no_circle_between_rooms():
    graph = {}
    for path, tree in modules().items():
        room = room_of(path)
        graph.setdefault(room, set()).update({name.partition(".")[0] for name in imported(tree)} & set(ROOMS) - {room})
    order = []
    while graph:
        free = sorted(room for room, needs in graph.items() if not needs & set(graph))
        assert free, f"these import each other: {graph}"
        order += free
        graph = {room: needs for room, needs in graph.items() if room not in free}
    assert order.index("lab") < order.index("tasks") < order.index("studies") < order.index("cli")


def test_no_circle_between_modules():
    """Whichever is imported first, it can be: processes that test have all of them at hand, imported in one order."""
    names = {module_name(path): tree for path, tree in modules().items()}
    graph = {}
    for name, tree in names.items():
        found = set(imported(tree, top_level_only=True)) & set(names)
        graph[name] = found.union(*map(parents, found)) - {name, *parents(name)}
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("lab.files") < order.index("lab.cells.folder") < order.index("commands.study")


def module_name(path):
    """A folder's name is that of its `__init__.py`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def parents(name):
    """The folders that importing a module imports before it."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def test_the_engine_imports_nothing_but_torch():
    for path, tree in modules().items():
        if room_of(path) == "snnl_core":
            found = {name.partition(".")[0] for name in imported(tree)}
            assert found <= {"snnl_core", "torch", *sys.stdlib_module_names}


def test_what_plans_and_reports_imports_no_torch_at_the_top():
    for path, tree in modules().items():
        room, parts = room_of(path), path.relative_to(ROOT).parts
        if room in LIGHT and not (parts[1:2] == ("training",) and path.stem not in TORCHLESS_OF_TRAINING):
            found = {name.partition(".")[0] for name in imported(tree, top_level_only=True)}
            assert not found & HEAVY, f"{path.relative_to(ROOT)} imports {sorted(found & HEAVY)}"


def test_the_command_line_imports_only_click_at_the_top():
    found = {name.partition(".")[0] for name in imported(modules()[ROOT / "cli.py"], top_level_only=True)}
    assert found <= {"click", "commands", *sys.stdlib_module_names}


def test_no_string_names_code():
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not CODE.fullmatch(node.value), f"{path.relative_to(ROOT)}: {node.value}"


def test_a_thing_has_a_name_and_a_room():
    for path, tree in modules().items():
        assert path.stem not in {"utils", "helpers", "common", "misc"}
        assert ast.get_docstring(tree), f"{path.relative_to(ROOT)} does not say what it is"


def test_files_are_short():
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in modules()}
    assert not {path: n for path, n in lines.items() if n > 320}
    assert sorted(lines.values())[len(lines) // 2] <= 150


def test_every_folder_is_packaged():
    """A folder within one, too: else it is missing where the workbench is installed."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = find_packages(str(ROOT), include=found["include"])
    folders = {path.parent.relative_to(ROOT) for path in modules() if path.parent != ROOT}
    missing = {".".join(folder.parts) for folder in folders} - set(packages)
    assert not missing, f"without an __init__.py, or not among the packages in pyproject.toml: {sorted(missing)}"
    assert len(packages) == len(folders)
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"} == set(ROOMS) - {"cli"}
