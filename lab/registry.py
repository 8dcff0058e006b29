"""The folders are the registry: `gans/wgan_gp.py`, or a folder `gans/wgan_gp/`, is the GAN `wgan-gp`.

Listing reads docstrings and constants from the source without importing it, so it is fast, needs no torch,
and one broken file does not break the list. What has a name that starts with `_` is not an entry.
"""

import ast
import importlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import AfterValidator

from lab.config import Config
from lab.errors import WorkbenchError, check_known

ROOT = Path(__file__).resolve().parent.parent
KINDS = {
    "attacks": "attack",
    "classifiers": "classifier",
    "executors": "executor",
    "gans": "gan",
    "imagesets": "imageset",
    "metrics": "metric",
    "studies": "study",
    "tasks": "task",
}
"""The kinds, and what one of their entries is called. A kind's folder has its name, but for `PLACES`."""
PLACES = {"executors": "lab/running/executors"}
NAME = re.compile(r"[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*")
"""What entries can be called on the command line."""


@dataclass(frozen=True)
class Entry:
    """One entry of a folder: its name on the command line and its docstring ("" if the file does not parse)."""

    name: str
    doc: str

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.strip().partition("\n")[0] or "(no description: the file does not parse or has no docstring)"


def entries(kind: str, having: str | None = None) -> list[Entry]:
    """Every entry of a folder, by name, without importing any; with `having`, those that assign a constant so named.

    Raises:
        UsageError: there is no such folder.
    """
    check_known("kind", [kind], KINDS)
    files = sorted(path for path in folder_of(kind).glob("*.py") if not path.name.startswith("_"))
    folders = (path for path in folder_of(kind).glob("*/__init__.py") if not path.parent.name.startswith("_"))
    found = {path.stem: path for path in files} | {path.parent.name: path for path in folders}
    return [
        Entry(stem.replace("_", "-"), _docstring(path))
        for stem, path in sorted(found.items())
        if having is None or _has(path, having)
    ]


def folder_of(kind: str) -> Path:
    """Where the entries of a kind lie."""
    return ROOT / PLACES.get(kind, kind)


def check(kind: str, name: str, having: str | None = None) -> str:
    """The name, if it is one of the `entries`.

    Raises:
        UsageError: it is not; the message tells the nearest that is.
    """
    plain = NAME.fullmatch(name) and name == name.lower()  # some disks have a file by its name in capitals, too
    if having is None and kind in KINDS and plain and _file_of(kind, name) is not None:
        return name  # plans ask for the same few names, for each of their cells
    known = [entry.name for entry in entries(kind, having)]
    check_known(KINDS[kind], [name], known)
    return name


def _file_of(kind: str, name: str) -> Path | None:
    """The file of an entry, if there is one; none has a name that is too long for the system."""
    stem = folder_of(kind) / name.replace("-", "_")
    files = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in files if os.path.isfile(path)), None)  # noqa: PTH113 (that of Path raises an error)


def known(kind: str) -> AfterValidator:
    """For the type of a setting that names an entry: `Annotated[str, known("gans")]`."""
    return AfterValidator(lambda name: check(kind, name))


def distinct(names: Iterable[Any]) -> tuple[Any, ...]:
    """The names, each once, in their order."""
    return tuple(dict.fromkeys(names))


DISTINCT = AfterValidator(distinct)
"""For the type of a setting that names several things, of which each is kept once."""


def load(kind: str, name: str) -> ModuleType:
    """Import the module of an entry.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: its file, or one that it imports, does not parse.
    """
    module = f"{PLACES.get(kind, kind).replace('/', '.')}.{name.replace('-', '_')}"
    if not NAME.fullmatch(name):  # it is a file's, one of no entry, or leads elsewhere
        check(kind, name)
    try:
        return importlib.import_module(module)
    except SyntaxError as error:
        raise _unparsed(error.filename, error) from error
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        check(kind, name)
        raise


def version(entry: str) -> int:
    """The constant `VERSION` of an entry, `gans/dcgan`, or of the engine, `snnl_core`, read without importing it.

    It is raised by hand whenever a change of the code changes results: cells are identified by it. A test tells when
    the code that decides a result has changed.

    Raises:
        UsageError: there is no such entry.
        WorkbenchError: it has no version, the version is no whole number, or the file does not parse.
    """
    assigned = _assigned(source(entry), "VERSION")
    if assigned is None:
        raise WorkbenchError(f"{source(entry)} has no version: add VERSION = 1.")
    found = assigned.value if isinstance(assigned, ast.Constant) else None  # it is read, and not computed
    if type(found) is not int:
        raise WorkbenchError(f"{source(entry)}: VERSION is a whole number as it stands, VERSION = 1.")
    return found


def versions(*known: str) -> dict[str, int]:
    """The version of each entry, as a part of a cell's identity."""
    return {entry: version(entry) for entry in known}


def source(entry: str) -> Path:
    """The file of an entry, `gans/dcgan`, or of a package of ours.

    Raises:
        UsageError: there is none.
    """
    kind, _, name = entry.partition("/")
    path = ROOT / entry.replace("-", "_")
    module = path.with_suffix(".py")
    file = module if module.is_file() or not path.is_dir() else path / "__init__.py"
    if not (kind.isidentifier() and NAME.fullmatch(name or "engine") and file.is_file()):
        check(kind, name)
        if not file.is_file():
            raise WorkbenchError(f"{file} is not there: the file of {name} has _ in its name, not -.")
    return file


@lru_cache
def config_class(kind: str, name: str) -> type[Config]:
    """The class `Config` of an entry, built from its source without running the rest, so without torch.

    The class may use only builtins and what the file imports from `typing`, pydantic, `lab` and the folder's own
    `_config`.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: the file does not parse, or the class uses more.
    """
    check(kind, name)
    module = f"{kind}.{name.replace('-', '_')}"
    light = [node for node in _parse(source(f"{kind}/{name}")).body if _is_light(node, kind)]
    kept: list[ast.stmt] = [node for node in light if _is_named(node, light)]
    namespace: dict[str, Any] = {"__name__": module}
    try:
        exec(compile(ast.Module(kept, []), f"{module} (Config alone)", "exec"), namespace)
        found: type[Config] = namespace["Config"]
    except (KeyError, NameError) as error:
        missing = repr(error.name) if isinstance(error, NameError) else error
        raise WorkbenchError(
            f"{source(f'{kind}/{name}')} needs a class Config made of builtins and what the file imports from typing, "
            f"pydantic, lab and {kind}._config alone: {missing} is missing."
        ) from error
    return found


def settings_of(kind: str, name: str | None, settings: Any) -> Config:
    """The settings of an entry, for the validator of a Config that holds both: given as a dict or a Config.

    One that is of the entry already stays as it is, and keeps what was asked for.

    Raises:
        ValueError: the entry is not known, or they are of neither type.
        UsageError: a setting is impossible.
    """
    if name is None or not isinstance(settings, dict | Config):
        raise ValueError(f"the settings of a known {KINDS[kind]} are needed, by name")
    own = config_class(kind, name)
    if isinstance(settings, own):
        return settings
    return own.parse(dict(settings) if isinstance(settings, dict) else settings.changed())


def _is_named(node: ast.stmt, by: Iterable[ast.stmt]) -> bool:
    """Whether the class names what is imported here; of `lab` what it does not name may import torch."""
    if not isinstance(node, ast.ImportFrom):
        return True
    given = {alias.asname or alias.name for alias in node.names}
    return any(isinstance(part, ast.Name) and part.id in given for each in by for part in ast.walk(each))


def _is_light(node: ast.stmt, kind: str) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name == "Config"
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        return module in {"typing", "pydantic", f"{kind}._config"} or module.partition(".")[0] == "lab"
    return False


def _has(path: Path, constant: str) -> bool:
    """Whether a file assigns a constant; one that does not parse has none."""
    try:
        return _assigned(path, constant) is not None
    except (WorkbenchError, ValueError, OSError):
        return False


def _assigned(path: Path, constant: str) -> ast.expr | None:
    """What a file assigns to a constant."""
    for node in _parse(path).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == constant for t in node.targets):
            return node.value
    return None


def _parse(path: Path) -> ast.Module:
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except SyntaxError as error:
        raise _unparsed(path, error) from error


def _unparsed(path: str | Path | None, error: SyntaxError) -> WorkbenchError:
    return WorkbenchError(f"{path}, line {error.lineno}, does not parse: {error.msg}.")


@cache
def _parsed(path: Path, changed: int) -> ast.Module:
    """The syntax tree of a file that was last changed at that time."""
    return ast.parse(path.read_bytes())


def _docstring(path: Path) -> str:
    try:
        return ast.get_docstring(_parse(path)) or ""
    except (WorkbenchError, ValueError, OSError):
        return ""
