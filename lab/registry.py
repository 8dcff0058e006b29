"""The folders are the registry: `gans/wgan_gp.py` is the GAN `wgan-gp`.

Listing reads docstrings and constants from the source without importing it, so it is fast, needs no torch,
and one broken file does not break the list. A file whose name starts with `_` is not an entry.
"""

import ast
import importlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.config import Config
from lab.errors import UsageError, WorkbenchError, unknown_name

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("classifiers", "gans", "imagesets", "metrics", "studies")


@dataclass(frozen=True)
class Entry:
    """One entry of a folder: its name on the command line and its docstring ("" if the file does not parse)."""

    kind: str
    name: str
    doc: str

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.strip().partition("\n")[0] or "(no description: the file does not parse or has no docstring)"


def entries(kind: str) -> list[Entry]:
    """Every entry of a folder, by name, without importing any.

    Raises:
        UsageError: there is no such folder.
    """
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    files = sorted(path for path in (ROOT / kind).glob("*.py") if not path.name.startswith("_"))
    return [Entry(kind, path.stem.replace("_", "-"), _docstring(path)) for path in files]


def check(kind: str, name: str) -> None:
    """Raise UsageError, with the nearest known name, unless `name` is an entry of `kind`."""
    known = [entry.name for entry in entries(kind)]
    if name not in known:
        raise unknown_name(kind.removesuffix("s") if kind != "studies" else "study", name, known)


def load(kind: str, name: str) -> ModuleType:
    """Import the module of an entry.

    Raises:
        UsageError: the name is unknown.
    """
    check(kind, name)
    return importlib.import_module(f"{kind}.{name.replace('-', '_')}")


def resolve(reference: str) -> Any:
    """The object that `package.module:name` refers to, imported."""
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise WorkbenchError(f"{reference!r} cannot be imported: {error}") from error


def code_version(module: str) -> int:
    """The constant `CODE_VERSION` of a module of ours, read without importing it.

    It is bumped by hand whenever a change of the code changes results; cells are identified by it.
    """
    for node in _parse(module).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "CODE_VERSION" for t in node.targets):
            return int(ast.literal_eval(node.value))
    raise WorkbenchError(f"{module} has no CODE_VERSION")


def code_versions(*modules: str) -> dict[str, str | int]:
    """The `CODE_VERSION` of each module, as a part of a cell's identity."""
    return {module: code_version(module) for module in modules}


@lru_cache
def config_class(kind: str, name: str) -> type[Config]:
    """The class `Config` of an entry, built from its source without running the rest, so without torch.

    The class may use only builtins and what the file imports from the standard library, pydantic, `lab`
    and the folder's own `_config`.

    Raises:
        UsageError: the name is unknown.
    """
    check(kind, name)
    module = f"{kind}.{name.replace('-', '_')}"
    kept: list[ast.stmt] = [node for node in _parse(module).body if _is_light(node, kind)]
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(ast.Module(kept, []), f"{module} (Config alone)", "exec"), namespace)
    found: type[Config] = namespace["Config"]
    return found


def _is_light(node: ast.stmt, kind: str) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name == "Config"
    if isinstance(node, ast.ImportFrom):
        source = node.module or ""
        return source in {"typing", "pydantic", f"{kind}._config"} or source.partition(".")[0] == "lab"
    return False


def _parse(module: str) -> ast.Module:
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        raise UsageError(f"There is no module {module!r}.")
    return ast.parse(path.read_text(encoding="utf-8"))


def _docstring(path: Path) -> str:
    try:
        return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (SyntaxError, ValueError, OSError):
        return ""
