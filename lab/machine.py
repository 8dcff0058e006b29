"""What the machine can do, found out without torch; `check_device` alone imports it."""

import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from lab.errors import WorkbenchError

BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names under which Linux lists a processor's bf16 arithmetic (x86-64 and Arm)."""

WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""Variables by which people say how threads wait."""
SPINS = "100"
"""Looks of a waiting thread before it sleeps, where cores are shared (`benchmarks/waiting.py`)."""
LOAD = Path("/proc/loadavg")
"""Where Linux tells how many threads have been running, and are, on the whole machine."""
HALF = 0.5
"""Of a core: what others may take of a machine that still counts as one's own."""
LOOKS, PAUSE = 5, 0.001
"""How often, and how many seconds apart, others must be seen to run: what is there for a moment is no neighbour."""

MEMORY = {"MALLOC_TRIM_THRESHOLD_": (-1, 256 << 20), "MALLOC_MMAP_THRESHOLD_": (-3, 32 << 20)}
"""Variables by which GNU's C library is told what to keep, the numbers of their parameters in malloc.h, and bytes: so
much of what is free at the end is kept, and pieces from the second size on, the largest that it takes, are not."""

NONE = ("", "-1")
"""What CUDA_VISIBLE_DEVICES says where no GPU is to be seen."""
PATIENCE = 60.0
"""Seconds in which NVIDIA's driver is to tell of the GPUs: where nobody has used them, it begins with each anew."""


def cores() -> int:
    """Processor cores that this process may use: of a job of Slurm's, which not every cluster binds to those that it
    has, no more than they are."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return min(seen, int(given) or seen) if given.isdecimal() else seen


def threads(slots: int = 1) -> int:
    """Threads for each of so many workers: its share of the cores, but no more than OMP_NUM_THREADS, if it is set."""
    share = max(1, cores() // slots)
    return min(share, threads_asked_for() or share)


def threads_asked_for() -> int:
    """What OMP_NUM_THREADS says, of a list the first, as its others are of threads within threads; 0 for no number."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() else 0


def wait_briefly() -> None:
    """Let OpenMP's threads sleep soon when they wait for each other, where others hold cores that they would run on.

    By default they spin for long: the best on cores of one's own, but where another process has one, they spin for a
    thread that was put to sleep. What the environment says of it holds. To be called before torch is imported, for that
    is when GNU's OpenMP reads it; processes that are started here inherit it.
    """
    if threads() == 1 or any(os.environ.get(name) for name in WAITING):
        return
    for _ in range(LOOKS):
        if not _cores_are_taken():
            return
        time.sleep(PAUSE)
    os.environ["GOMP_SPINCOUNT"] = SPINS


def _cores_are_taken() -> bool:
    """Whether this process's threads and what runs now, and ran in the last minute, are more than there are cores."""
    try:
        minute, _, _, now, _ = LOAD.read_text(encoding="utf-8").split()
        others = min(float(minute), int(now.partition("/")[0]) - 1)  # one of those that run is this one
    except (OSError, ValueError):
        return False
    return others + threads() >= (os.cpu_count() or 1) + HALF


def keep_memory() -> None:
    """Let the C library keep what is freed, up to a bound, for what is asked for next, unless the environment says.

    By default it hands a step's maps back to the system and takes them again, page by page, in the next step: up to a
    third of a training's time (findings/memory-is-given-back-after-every-step.sh). For this process it is told by
    `mallopt`, where there is one (GNU's C library), and for those that are started here by the environment.
    """
    if any(os.environ.get(name) for name in MEMORY):
        return
    os.environ |= {name: str(size) for name, (_, size) in MEMORY.items()}
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for parameter, size in MEMORY.values():
            mallopt(parameter, size)


def gpus() -> tuple[tuple[str, float], ...]:
    """(name, compute capability) of each NVIDIA GPU that CUDA_VISIBLE_DEVICES lets this process see.

    Raises:
        WorkbenchError: the driver does not answer.
    """
    found = _shown()
    if found is None:
        raise WorkbenchError(
            f"nvidia-smi did not answer within {PATIENCE:.0f} s: take another machine, or go on without GPUs, with "
            "CUDA_VISIBLE_DEVICES=-1."
        )
    return found


def gpu_names() -> list[str]:
    """Their names, for who only notes them: none, too, where the driver does not answer."""
    return [name for name, _ in _shown() or ()]


@lru_cache
def _shown() -> tuple[tuple[str, float], ...] | None:
    """Those GPUs; None where the driver does not answer, which is waited for once."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed in NONE:
        return ()
    query = ["nvidia-smi", "--query-gpu=index,uuid,name,compute_cap", "--format=csv,noheader"]
    try:
        text = subprocess.run(query, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
        cards = [[word.strip() for word in line.split(",")] for line in text.splitlines() if line.strip()]
        there = [(index, uuid, (name, float(capability))) for index, uuid, name, capability in cards]
    except subprocess.TimeoutExpired:
        return None
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()
    return tuple(card for _, _, card in there) if allowed is None else tuple(_allowed(allowed, there))


def _allowed(names: str, there: list[tuple[str, str, tuple[str, float]]]) -> Iterator[tuple[str, float]]:
    """The GPUs that a list of indices or identifiers names; like CUDA, none from the first unknown one on."""
    for word in (name.strip() for name in names.split(",")):
        found = [card for index, uuid, card in there if word == index or (word[:4] == "GPU-" and uuid.startswith(word))]
        if word.startswith("MIG-"):  # a part of a GPU, of which this list does not tell
            found = [card for _, _, card in there]
        if not found:
            return
        yield found[0]


@lru_cache
def processor() -> tuple[str, frozenset[str]]:
    """The processor's name and its feature flags (empty where the system does not list them)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "", frozenset()
    facts = {key.strip().lower(): value for key, _, value in (line.partition(":") for line in lines)}
    return facts.get("model name", "").strip(), frozenset((facts.get("flags") or facts.get("features", "")).split())


def resolve_device(device: str) -> str:
    """`auto` becomes `cuda` where an NVIDIA GPU is visible, else `cpu`."""
    return device if device != "auto" else ("cuda" if gpus() else "cpu")


def check_device(device: str) -> None:
    """Raise WorkbenchError where torch, which is imported only to be asked for a GPU, cannot use a resolved device."""
    if device != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise WorkbenchError(
            "This torch sees no CUDA GPU: use --device cpu, or CUDA_VISIBLE_DEVICES=-1 where that is no option; or "
            "install a build of torch with CUDA."
        )


def computes_in_bf16(device: str) -> bool:
    """Whether a resolved device has arithmetic for bf16."""
    return any(cap >= 8 for _, cap in gpus()) if device == "cuda" else bool(BF16_FLAGS & processor()[1])


def imitates_bf16(precision: str, device: str) -> bool:
    """Whether bf16 is asked for on a processor that does not compute in it; `device` is a resolved one."""
    return precision == "bf16" and device == "cpu" and not computes_in_bf16(device)


def resolve_precision(precision: str, device: str) -> str:
    """`auto` becomes `bf16` where the device computes in it, else `float32`. `device` is a resolved one."""
    if precision != "auto":
        return precision
    return "bf16" if computes_in_bf16(device) else "float32"
