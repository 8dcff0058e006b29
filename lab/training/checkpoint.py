"""Checkpoints: what work needs to go on, as named files whose bytes are proven before any of them is used.

checkpoints/step-00000120/
    state.json      the step, the key of the cell, device and precision, and size and SHA-256 of every other file
    ...

One is written aside and renamed, so a folder with that name is whole; the disk may still damage it afterwards.
"""

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lab.cells.layout import CHECKPOINTS
from lab.errors import WorkbenchError, first_few
from lab.files import read_object, sync_file, sync_folder, write_json

KEPT = 2


class Arithmetic(NamedTuple):
    """What decides, beside code and settings, the last bits of a training, which goes on in what it began with.

    Attributes:
        device: `cpu` or `cuda`.
        precision: that of the networks' passes: `float32`, `tf32` or `bf16`.
        products: the library that multiplies matrices for the engine (`snnl_core.products`); older ones name none.
    """

    device: str
    precision: str
    products: str = "mkl"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory, as it was saved.

    Attributes:
        path: its folder.
        step: the updates done.
        arithmetic: what they were done with.
        files: the bytes of its files by name.
    """

    path: Path
    step: int
    arithmetic: Arithmetic
    files: Mapping[str, bytes]


def save(folder: Path, step: int, key: str, arithmetic: Arithmetic, files: Mapping[str, bytes]) -> None:
    """Write the checkpoint of `step` below `folder` for the cell with that key; of the older ones the last is kept."""
    name = _name(step)
    aside = folder / f".{name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    folder.mkdir(exist_ok=True)  # in the folder of a cell, which is not made anew where somebody has removed it
    aside.mkdir()
    try:
        for file, data in files.items():
            (aside / file).write_bytes(data)
            sync_file(aside / file)
        proofs = {file: _proof(data) for file, data in files.items()}
        write_json(aside / "state.json", {"step": step, "key": key, "arithmetic": arithmetic, "files": proofs})
        if (folder / name).exists():
            _remove(folder / name)
        aside.rename(folder / name)
        sync_folder(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _keep_the_last(folder, name)


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints below a folder, whole or not."""
    return sorted(folder.glob("step-*"), reverse=True)


def step_of(path: Path) -> int:
    """The step in a checkpoint's name; -1 where there is none."""
    number = path.name.removeprefix("step-")
    return int(number) if number.isdecimal() else -1


def read(path: Path, key: str) -> Checkpoint:
    """The checkpoint at `path` of the cell with that key.

    Raises:
        WorkbenchError: it is damaged, of another cell, or none of ours.
    """
    try:
        state = read_object(path / "state.json")
        step, owner, proofs = int(state["step"]), state["key"], dict(state["files"])
        done_with = Arithmetic(*state["arithmetic"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise WorkbenchError(f"{path} is damaged or no checkpoint: it has no readable state.json.") from error
    if owner != key:
        raise WorkbenchError(f"{path} is the checkpoint of another cell ({owner}), not of this one ({key}).")
    if path.name != _name(step):
        raise WorkbenchError(f"{path} is damaged: its state.json tells of step {step}.")
    if elsewhere := [file for file in proofs if Path(file).name != file]:
        raise WorkbenchError(f"{path} is damaged: its state.json names files elsewhere: {first_few(elsewhere)}.")
    files = {file: _read_proven(path / file, proof) for file, proof in proofs.items()}
    return Checkpoint(path, step, done_with, files)


def arithmetic(cell: Path) -> Arithmetic | None:
    """That of a cell's newest checkpoint that tells; None where there is none."""
    for path in newest_first(cell / CHECKPOINTS):
        with suppress(OSError, ValueError, KeyError, TypeError):
            return Arithmetic(*read_object(path / "state.json")["arithmetic"])
    return None


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _proof(data: bytes) -> dict[str, object]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _read_proven(path: Path, proof: object) -> bytes:
    """The bytes of a file; one of another size is not read, whatever that is."""
    try:
        same = isinstance(proof, dict) and path.stat().st_size == proof.get("size")
        data = path.read_bytes() if same else b""
    except (OSError, ValueError) as error:  # no name has a zero byte
        raise WorkbenchError(f"{path.parent} is damaged: {path.name} cannot be read.") from error
    if not same or _proof(data) != proof:
        raise WorkbenchError(f"{path.parent} is damaged: {path.name} is not what was saved.")
    return data


def _keep_the_last(folder: Path, newest: str) -> None:
    """Remove all but `newest` and those just before it; a later one was skipped as damaged and is overtaken."""
    before = [path for path in newest_first(folder) if path.name < newest]
    later = [path for path in newest_first(folder) if path.name > newest]
    for path in [*before[KEPT - 1 :], *later]:
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a checkpoint; it loses its name first, so that a half-removed one is not taken for a damaged one."""
    aside = path.with_name(f".{path.name}.old.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    shutil.rmtree(aside)
