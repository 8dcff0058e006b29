"""Is this machine ready? One check for each thing that goes wrong before or in the middle of long work.

Nothing of a check stays behind, and one that fails does not stop the others. What a check needs is imported by it, so
that a broken installation is told too.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import locks, machine
from lab.errors import first_line

if TYPE_CHECKING:
    from lab.cells.cell import Cell

PYTHON = (3, 11)
LITTLE_DISK, NO_DISK = 2e9, 1e8
"""Free bytes below which the checkpoints of a long training may not fit, and below which nothing will."""
TINY = {"width": 4, "latent": 8, "batch": 16}


@dataclass(frozen=True)
class Finding:
    """What a check found: `state` is `ok`, `warning` or `broken`; the text says what is wrong and what to do."""

    check: str
    state: str
    text: str


class Warn(Exception):
    """Work is possible, but not as well as it could be."""


class Broken(Exception):
    """Work is not possible."""


def findings(runs: Path, data: Path, processes: int = 1) -> Iterator[Finding]:
    """The findings, each as soon as its check is done; all of them take a few seconds.

    Args:
        runs: the folder that runs go to; it need not exist.
        data: the folder of the data sets; it need not exist.
        processes: how many processes to try a training with, besides one.
    """
    checks: dict[str, Callable[[], str]] = {
        "python": check_python,
        "packages": check_packages,
        "torchvision": check_torchvision,
        "gpu": check_gpu,
        "bf16": check_bf16,
        "threads": check_threads,
        "runs": lambda: check_runs(runs),
        "data": lambda: check_data(data),
        "disk": lambda: check_disk(runs),
        "imagesets": lambda: check_imagesets(data),
        "training": lambda: check_training(1),
    }
    if processes > 1:
        checks["processes"] = lambda: check_training(processes)
    for name, check in checks.items():
        yield finding(name, check)


def finding(name: str, check: Callable[[], str]) -> Finding:
    """What a check found, whatever it raises."""
    try:
        return Finding(name, "ok", check())
    except Warn as warning:
        return Finding(name, "warning", str(warning))
    except Broken as broken:
        return Finding(name, "broken", str(broken))
    except Exception as error:
        return Finding(name, "broken", f"{type(error).__name__}: {first_line(error)}")


def plain(found: Sequence[Finding]) -> dict[str, Any]:
    """The findings as a JSON-ready object: whether nothing is broken, and each of them."""
    return {"ok": all(one.state != "broken" for one in found), "checks": [asdict(one) for one in found]}


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
    missing = {need: here for need, here in unmet("torchvision").items() if need.startswith("torch=")}
    if missing:
        need, here = missing.popitem()
        raise Broken(
            f"torchvision {version('torchvision')} wants {need}, {here}: pip install --upgrade torch torchvision"
        )
    import torchvision

    return f"{torchvision.__version__} matches torch"


def unmet(package: str) -> dict[str, str]:
    """The requirements of an installed package that are not met, each with what is there instead.

    Raises:
        PackageNotFoundError: the package is not installed.
    """
    from packaging.requirements import Requirement

    found = {}
    for text in requires(package) or ():
        need = Requirement(text)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            here = version(need.name)
        except PackageNotFoundError:
            found[f"{need.name}{need.specifier}"] = f"{need.name} is missing"
            continue
        if not need.specifier.contains(here, prereleases=True):
            found[f"{need.name}{need.specifier}"] = f"{need.name} {here} is installed"
    return found


def check_gpu() -> str:
    """The build of torch can use the GPUs that are here."""
    import torch

    arches = torch.cuda.get_arch_list()
    return judge_gpus(machine.gpus(), torch.version.cuda, torch.cuda.is_available(), arches)


def judge_gpus(gpus: Sequence[tuple[str, float]], cuda: str | None, usable: bool, arches: Sequence[str]) -> str:
    """Whether a build of torch fits the GPUs.

    Args:
        gpus: (name, compute capability) of those that the driver shows.
        cuda: the version of CUDA that torch was built with, None for a CPU build.
        usable: whether torch can use a GPU.
        arches: what torch was built for, `sm_86` or, to be translated at the start, `compute_90`.
    """
    if not gpus and cuda:
        raise Warn(f"no driver shows a GPU to torch's CUDA {cuda}: fine without one; else install NVIDIA's driver.")
    if not gpus:
        return "none, and torch is a CPU build"
    names = ", ".join(name for name, _ in gpus)
    if not cuda:
        raise Warn(f"{names} is idle: torch is a CPU build; install one with CUDA to train there.")
    if not usable:
        raise Broken(f"torch cannot use {names}: its CUDA {cuda} wants a newer driver, or an older build of torch.")
    for name, capability in gpus:
        if not _covered(round(capability * 10), arches):
            raise Broken(f"torch is not built for {name} (compute capability {capability}): install another version.")
    return f"{names}, CUDA {cuda}"


def check_bf16() -> str:
    """Which arithmetic `--precision auto` takes here."""
    device = machine.resolve_device("auto")
    fast = machine.resolve_precision("auto", device) == "bf16"
    return (
        f"--precision auto is bf16 on this {device}" if fast else f"not in this {device}: --precision auto is float32"
    )


def check_threads() -> str:
    """OMP_NUM_THREADS, where it is set, fits the cores."""
    cores, given = machine.cores(), os.environ.get("OMP_NUM_THREADS", "")
    if given and not (given.isdecimal() and int(given)):
        raise Broken(f"OMP_NUM_THREADS is {given!r}, which is no number of threads: unset it.")
    if given and int(given) > cores:
        raise Warn(f"OMP_NUM_THREADS={given} is more than the {cores} cores: unset it.")
    if given and int(given) < cores:
        raise Warn(f"OMP_NUM_THREADS={given} may leave some of {cores} cores idle: unset it if it is not meant.")
    return f"{cores} cores"


def check_runs(runs: Path) -> str:
    """Runs can be written, renamed and locked."""
    try:
        _try_writing(runs)
    except OSError as error:
        raise Broken(f"{runs} cannot be written to ({first_line(error)}): name another folder with --runs.") from error
    return f"{runs} can be written to"


def check_data(data: Path) -> str:
    """Data sets can be downloaded to their folder."""
    try:
        _try_writing(data)
    except OSError as error:
        raise Warn(f"{data} cannot be written to ({first_line(error)}): only what lies there can be used.") from error
    return f"{data} can be written to"


def check_disk(runs: Path) -> str:
    """There is room for runs."""
    free = shutil.disk_usage(_nearest(runs)).free
    text = f"{free / 1e9:.1f} GB free for {runs}"
    if free < NO_DISK:
        raise Broken(f"{text}: make room (snnl runs list tells sizes), or name another folder with --runs.")
    if free < LITTLE_DISK:
        raise Warn(f"{text}, which a long training can fill: make room, or name another folder with --runs.")
    return text


def check_imagesets(data: Path) -> str:
    """Which image sets are here. Nothing is downloaded."""
    import imagesets
    from lab import registry

    there, absent = [], []
    for entry in registry.entries("imagesets"):
        try:
            imagesets.load(entry.name, "test", root=data, download=False)
            there.append(entry.name)
        except Exception:  # absent, incomplete or damaged: each says so itself when it is asked for
            absent.append(entry.name)
    text = f"{', '.join(there) or 'none'} in {data}; not there: {', '.join(absent) or 'none'}"
    if not there:
        raise Warn(f"{text}: name the folder of the data with --data or SNNL_DATA.")
    return text


def check_training(processes: int) -> str:
    """Two steps of a tiny GAN, in a folder that is gone afterwards; several processes must reach each other for it."""
    from lab.cells.folder import CellFolder
    from lab.running import launch

    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="snnl-doctor-") as place:
        folder = CellFolder.create(_tiny(processes), Path(place), {"data": place, "download": False})
        launch.work(folder)
        config, steps = folder.config, max(row["step"] for row in folder.rows())
    who = "one process" if processes == 1 else f"{processes} processes"
    taken = time.monotonic() - start
    return f"{steps} steps of a tiny {config['gan']} on {config['device']}, {who}, {config['precision']}: {taken:.1f} s"


def _tiny(processes: int) -> "Cell":
    from lab import registry
    from lab.cells.cell import Cell

    device = "cuda" if len(machine.gpus()) >= processes else "cpu"
    settings = registry.config_class("gans", "dcgan").parse(TINY).plain()
    kimg = 2 * TINY["batch"] / 1000
    config = {
        "gan": "dcgan",
        "settings": settings,
        "imageset": "digits",
        "seed": 0,
        "kimg": kimg,
        "snapshots": [kimg],
        "precision": machine.resolve_precision("auto", device),
        "device": device,
    }
    return Cell("gans._train:run", "doctor", config, processes=processes)


def _covered(capability: int, arches: Sequence[str]) -> bool:
    """Code for a capability runs on it and on later ones of its generation (86 on 89); translated code on all later."""
    for arch in arches:
        kind, _, number = arch.partition("_")
        built = int("".join(filter(str.isdecimal, number)) or 0)
        if built <= capability and (kind == "compute" or built // 10 == capability // 10):
            return True
    return False


def _try_writing(folder: Path) -> None:
    """Write, rename and lock a file in a folder, or in the nearest one above it that is there.

    Raises:
        OSError: that cannot be done.
    """
    with tempfile.TemporaryDirectory(prefix=".snnl-doctor-", dir=_nearest(folder)) as place:
        file = Path(place) / "file"
        file.write_text("written")
        file.replace(Path(place) / "renamed")
        with locks.exclusive(Path(place) / "lock"):
            pass


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
