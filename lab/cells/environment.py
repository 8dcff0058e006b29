"""Where and with what a piece of work was done: recorded beside every result."""

import os
import platform
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lab import machine
from lab.processes import world_size
from lab.registry import ROOT

PACKAGES = ("snnl-workbench", "torch", "torchvision", "accelerate", "numpy", "scipy", "scikit-learn")

PRODUCTS = "SNNL_PRODUCTS"

BEGUN = time.time()
"""When this process began to import what it runs."""


def describe(config: dict[str, Any]) -> dict[str, Any]:
    """Commit, versions, hardware, threads, seed and world size, for `environment.json`."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **git_state(),
        **changed(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": machine.processor()[0] or platform.processor(),
        "cores": machine.cores(),
        "threads": machine.threads(),
        "gpus": machine.gpu_names(),
        "world_size": world_size(),
        "seed": config.get("seed"),
    }


def products() -> dict[str, str]:
    """The library that multiplied matrices for the engine in this process, if any was asked (`snnl_core.products`)."""
    return {"products": os.environ[PRODUCTS]} if PRODUCTS in os.environ else {}


def changed() -> dict[str, bool]:
    """That code of this process is no commit's, where a file of it was written since it began: what it has imported
    before may be of another version than what it imports after that. Else nothing."""
    own = {path.stem for path in ROOT.iterdir()}
    modules = [module for name, module in [*sys.modules.items()] if name.partition(".")[0] in own]
    files = [Path(file) for module in modules if (file := getattr(module, "__file__", None))]
    since = (_written(file) for file in files if file.is_relative_to(ROOT))
    return {"dirty": True} if any(BEGUN < written <= time.time() for written in since) else {}


def _written(file: Path) -> float:
    """When a file was written last; now, where it is gone."""
    try:
        return file.stat().st_mtime
    except OSError:
        return time.time()


@cache
def git_state() -> dict[str, Any]:
    """The commit of the code and whether files differ from it, asked once a process; None where there is no git."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--", "*.py")
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
