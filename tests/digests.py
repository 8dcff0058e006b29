"""Digests of the code that decides results, so that nobody has to remember a version.

    python tests/digests.py            tell what differs from `digests.json`
    python tests/digests.py accept     write it down: results are the same, or the version has been raised

Another default of a setting is accepted with another version alone. A cell's name says nothing of settings that are at
their defaults, so a plan would take cells of the old one for its own.

An entry's code is its closure of imports within the project: its own module and all that this imports, anywhere in it.
Docstrings, comments and the places of modules are left out. So is what has a version of its own: the engine, and what
another task imports as it runs, since whoever needs that task's cell has its key. And so is what holds results or names
them but decides none.
"""

import ast
import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lab import registry  # noqa: E402
from lab.config import Config  # noqa: E402

State = dict[str, Any]
"""Version, digest and defaults of an entry, as they are here or as they were accepted."""
FILE = Path(__file__).with_suffix(".json")
VERSIONED = ("attacks", "classifiers", "gans", "tasks")
PACKAGES = (*VERSIONED, "evaluation", "imagesets", "lab", "metrics", "outside", "snnl_core")
SPACES = "evaluation.spaces"
"""What features that were kept are found again by."""
SEEING = ("evaluation.foreign", "evaluation.trained")
"""What makes such features beside it: by other networks than the workbench's, and by classifiers that it trained."""
DECIDING = ("lab.training", "lab.processes")
"""Of `lab`, what decides results: draws, arithmetic, loops, the parts of processes."""


def sources() -> dict[str, str]:
    """The source of every module of the project, by name."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
        for path in paths
    }


def entries(code: dict[str, str]) -> list[str]:
    """What has a version: tasks, GANs, classifiers, attacks, feature spaces, the engine; as modules."""
    names = [name for name in code if name.count(".") == 1 and name.partition(".")[0] in VERSIONED]
    return sorted([*(name for name in names if not name.rpartition(".")[2].startswith("_")), SPACES, "snnl_core"])


def digest(entry: str, code: dict[str, str]) -> str:
    """The digest of an entry's code; the same wherever its modules lie."""
    found = sorted(hashlib.sha256(_bare(code[name]).encode()).hexdigest() for name in closure(entry, code))
    return hashlib.sha256("".join(found).encode()).hexdigest()[:16]


def closure(entry: str, code: dict[str, str]) -> set[str]:
    """The modules that an entry's result depends on."""
    found, left, others = set(), [entry], {name for name in entries(code) if name.startswith("tasks.")} - {entry}
    if entry == "snnl_core":
        left = [name for name in code if name.partition(".")[0] == entry]
    if entry == SPACES:
        left += SEEING
    while left:
        name = left.pop()
        if name in code and name not in found and (name == entry or _decides(name, entry)):
            found.add(name)
            left += [module for module in _imports(code[name], at_the_top=name in others) if module in code]
    return found


def _decides(name: str, entry: str) -> bool:
    package = name.partition(".")[0]
    if package == "snnl_core":
        return entry == "snnl_core"
    return package != "lab" or name.startswith(DECIDING)


@cache
def _imports(text: str, at_the_top: bool) -> list[str]:
    """What a module imports: anywhere in it, or alone as it is imported itself."""
    found, tree = [], ast.parse(text)
    for node in tree.body if at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


class _Bare(ast.NodeTransformer):
    """Without docstrings and other texts that stand alone, and without the places that things are imported from."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return ast.Import(sorted(node.names, key=lambda alias: alias.name))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and not part.value)]
        return self.generic_visit(node)  # Python 3.12 has texts that are empty in them


@cache
def _bare(text: str) -> str:
    return _dumped(_Bare().visit(ast.parse(text)))


def _dumped(part: object) -> str:
    """A tree as text, in any version of Python: what is empty is left out, since newer ones know more fields."""
    if isinstance(part, list):
        return f"[{', '.join(map(_dumped, part))}]"
    if not isinstance(part, ast.AST):
        return repr(part)
    fields = ((name, value) for name, value in ast.iter_fields(part) if value is not None and value != [])
    return f"{type(part).__name__}({', '.join(f'{name}={_dumped(value)}' for name, value in fields)})"


def version(entry: str, code: dict[str, str]) -> int:
    """The constant `VERSION` of an entry."""
    for node in ast.parse(code[entry]).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "VERSION" for target in node.targets):
            return int(ast.literal_eval(node.value))
    raise ValueError(f"{entry} has no VERSION")


def settings(kind: str, name: str) -> type[Config]:
    """The class of an entry's settings."""
    return registry.load(kind, name).Config if kind in ("studies", "tasks") else registry.config_class(kind, name)


def defaults(entry: str) -> dict[str, str]:
    """What an entry's settings are where they are not given; those of another entry among them are its own."""
    kind, _, name = entry.partition(".")
    if kind not in VERSIONED:
        return {}
    fields = settings(kind, name.replace("_", "-")).model_fields
    given = {name: about.default for name, about in fields.items() if not about.is_required()}
    return {name: repr(one) for name, one in given.items() if not isinstance(one, Config)}


def other_defaults(known: State, here: State) -> list[str]:
    """The settings that have another default under the same version."""
    if known["version"] != here["version"]:
        return []
    before, now = known["defaults"], here["defaults"]
    return sorted(name for name in before.keys() & now.keys() if before[name] != now[name])


def state(entry: str, code: dict[str, str]) -> State:
    """Version, digest and defaults of an entry."""
    return {"version": version(entry, code), "digest": digest(entry, code), "defaults": defaults(entry)}


def main() -> None:
    """Tell what differs, or accept it."""
    code, known = sources(), json.loads(FILE.read_text()) if FILE.exists() else {}
    here = {name: state(name, code) for name in entries(code)}
    for name in sorted({*here, *known}):
        was, now = known.get(name, {}), here.get(name, {})
        for part in ("version", "digest", "defaults"):
            if was.get(part) != now.get(part):
                print(f"{name}: {part} {was.get(part)} -> {now.get(part)}")
    if sys.argv[1:] == ["accept"]:
        for name in sorted(here.keys() & known.keys()):
            if changed := ", ".join(other_defaults(known[name], here[name])):
                sys.exit(f"{name} has another default of {changed}: raise VERSION in it. Nothing is accepted.")
        FILE.write_text(json.dumps(here, indent=1) + "\n")


if __name__ == "__main__":
    main()
