"""Is this machine ready? One check for each thing that goes wrong before or in the middle of long work.

A check gives what it found, or raises `Warn` or `Broken` with what to do; nothing of it stays behind.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path

from lab import locks, machine
from lab.errors import first_line
from lab.files import nearest

PYTHON = (3, 11)
LITTLE_DISK, NO_DISK = 2e9, 1e8
"""Free bytes below which the checkpoints of a long training may not fit, and below which nothing will."""


class Broken(Exception):
    """Work is not possible."""


class Warn(Exception):
    """Work is possible, but not as well as it could be."""


def finding(name: str, check: Callable[[], str]) -> dict[str, str]:
    """What a check found, whatever it raises: `check`, its name; `state`, `ok`, `warning` or `broken`; and `text`."""
    state = "ok"
    try:
        text = check()
    except (Broken, Warn) as error:
        state, text = "warning" if isinstance(error, Warn) else "broken", str(error)
    except Exception as error:
        state, text = "broken", f"{type(error).__name__}: {first_line(error)}"
    return {"check": name, "state": state, "text": text}


def machine_checks(runs: Path, data: Path, works: bool = True) -> dict[str, Callable[[], str]]:
    """The checks by name; the folders need not exist. `works`: whether the work is to be done on this machine."""
    installation = {"python": check_python, "packages": check_packages, "torchvision": check_torchvision}
    hardware = {"gpu": check_gpu, "bf16": check_bf16, "threads": check_threads}
    folders = {"runs": partial(check_runs, runs), "data": partial(check_data, data), "disk": partial(check_disk, runs)}
    return {**installation, **(hardware if works else {}), **folders}


def check_python() -> str:
    """Python is new enough."""
    here = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON:
        raise Broken(f"{here} is too old: make a virtual environment with {PYTHON[0]}.{PYTHON[1]} or newer.")
    return here


def check_packages() -> str:
    """What this project requires is installed, in versions that it takes."""
    try:
        missing = unmet("snnl-workbench")
    except PackageNotFoundError:
        raise Warn("the project itself is not installed: pip install -e . in its folder.") from None
    if missing:
        raise Broken(f"{', '.join(missing.values())}: pip install {' '.join(map(repr, missing))}")
    return f"torch {version('torch')}, accelerate {version('accelerate')}, and whatever else is required"


def check_torchvision() -> str:
    """torchvision was built for the torch that is here, and loads."""
    here = version("torchvision")
    for need, found in unmet("torchvision").items():
        if need.startswith("torch="):
            raise Broken(f"torchvision {here} wants {need}, {found}: pip install --upgrade torch torchvision")
    import torchvision

    return f"{torchvision.__version__} matches torch"


def unmet(package: str) -> dict[str, str]:
    """The requirements of an installed package that are not met, each with what is there instead.

    Raises:
        PackageNotFoundError: the package is not installed.
    """
    from packaging.requirements import Requirement

    found = {}
    for need in map(Requirement, requires(package) or ()):
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            here = next((one.version for one in distributions(name=need.name)), None)
            if here is None or not need.specifier.contains(here, prereleases=True):
                told = f"{need.name} {here} is installed" if here else f"{need.name} is missing"
                found[f"{need.name}{need.specifier}"] = told
    return found


def check_gpu() -> str:
    """The build of torch can use the GPUs that are here."""
    import torch

    return judge_gpus(machine.gpus(), torch.version.cuda, torch.cuda.is_available(), torch.cuda.get_arch_list())


def judge_gpus(gpus: Sequence[tuple[str, float]], cuda: str | None, usable: bool, arches: Sequence[str]) -> str:
    """Whether torch, built for CUDA (None: for CPUs) and its `arches`, fits the GPUs: (name, compute capability) each.

    Code is made for `sm_86`, or for `compute_90` and translated at the start. `usable`: whether torch can use a GPU.
    """
    names = ", ".join(name for name, _ in gpus)
    if not gpus and cuda:
        raise Warn(f"no driver shows a GPU to torch's CUDA {cuda}: fine without one; else install NVIDIA's driver.")
    if not gpus:
        return "none, and torch is a CPU build"
    if not cuda:
        raise Warn(f"{names} is idle: torch is a CPU build; install one with CUDA to train there.")
    if not usable:
        raise Broken(f"torch cannot use {names}: its CUDA {cuda} wants a newer driver, or an older build of torch.")
    for name, capability in gpus:
        if not any(_runs(arch, round(capability * 10)) for arch in arches):
            raise Broken(f"torch is not built for {name} (compute capability {capability}): install another version.")
    return f"{names}, CUDA {cuda}"


def _runs(arch: str, capability: int) -> bool:
    """Code for a capability runs on it and on later ones of its generation (86 on 89); translated code on all later."""
    kind, _, number = arch.partition("_")
    built = int("".join(filter(str.isdecimal, number)) or 0)
    return built <= capability and (kind == "compute" or built // 10 == capability // 10)


def check_bf16() -> str:
    """Which arithmetic `--precision auto` takes here."""
    device = machine.resolve_device("auto")
    return f"--precision auto is {machine.resolve_precision('auto', device)} on this {device}"


def check_threads() -> str:
    """OMP_NUM_THREADS, where it is set, fits the cores."""
    cores, given, asked = machine.cores(), os.environ.get("OMP_NUM_THREADS", ""), machine.threads_asked_for()
    if given and not asked:
        raise Broken(f"OMP_NUM_THREADS is {given!r}, which is no number of threads: unset it.")
    if given and asked != cores:
        why = f"is more than the {cores} cores" if asked > cores else f"may leave some of {cores} cores idle"
        raise Warn(f"OMP_NUM_THREADS={given} {why}: unset it if it is not meant.")
    return f"{cores} cores"


def check_runs(runs: Path) -> str:
    """Runs can be written, renamed and locked."""
    return _check_writing(runs, Broken, "name another folder with --runs")


def check_data(data: Path) -> str:
    """Data sets can be downloaded to their folder."""
    return _check_writing(data, Warn, "only what lies there can be used")


def check_disk(runs: Path) -> str:
    """There is room for runs."""
    free = shutil.disk_usage(nearest(runs.absolute())).free
    text = f"{free / 1e9:.1f} GB free for {runs}"
    if free < LITTLE_DISK:
        kind, why = (Broken, "") if free < NO_DISK else (Warn, ", which a long training can fill")
        raise kind(f"{text}{why}: make room (snnl runs list tells sizes), or name another folder with --runs.")
    return text


def _check_writing(folder: Path, trouble: type[Exception], advice: str) -> str:
    """Write, rename and lock a file in a folder, or in the nearest one above it that is there."""
    try:
        with tempfile.TemporaryDirectory(prefix=".snnl-doctor-", dir=nearest(folder.absolute())) as place:
            file = Path(place) / "file"
            file.write_text("written")
            file.replace(Path(place) / "renamed")
            with locks.exclusive(Path(place) / "lock", 1):
                return f"{folder} can be written to"
    except OSError as error:
        raise trouble(f"{folder} cannot be written to ({first_line(error)}): {advice}.") from error
