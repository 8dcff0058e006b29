"""Images drawn from a generator, and where they are put: in one picture, in files, or in an archive of arrays."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from gans._labels import drawn_labels, rows_by_class
from gans._pictures import save_grid, square
from gans._snapshots import drawn_noise, generate, images_of
from gans._trained import Trained
from lab.errors import UsageError, WorkbenchError
from lab.files import write_arrays, writer
from lab.pace import paced
from lab.reporting.pictures import picture

PNG, NPZ = ".png", ".npz"
UNFIT = re.compile(r"[^\w .-]")
"""What no folder's name should have."""


def kind_of(out: Path) -> str:
    """What images are put into: `.png`, `.npz`, or, empty, a folder.

    Raises:
        UsageError: it is none of these, or something else is in a folder's place.
        WorkbenchError: it is a folder that is not empty, and so may hold what is not to be replaced.
    """
    if out.is_dir():
        if any(out.iterdir()):
            raise WorkbenchError(f"{out} is not empty, and nothing in it is touched: name another folder.")
        return ""
    if out.suffix not in (PNG, NPZ, ""):
        raise UsageError(f"--out {out}: name a .png for one picture, an .npz, or a folder, without a dot.")
    if not out.suffix and (out.exists() or out.is_symlink()):
        raise UsageError(f"--out {out}: that is there and is no folder; name another, or a .png or an .npz.")
    return out.suffix


def sample(trained: Trained, n: int, out: Path, *, seed: int = 0, label: int | None = None) -> None:
    """Draw n images, of one class if its label is given, and write them.

    A .png shows all of them, a conditional GAN's in a row for each class. An .npz has `images`, uint8 (n, h, w, c), and
    of a conditional GAN `labels` (n,); a folder gets a PNG file for each image, of a conditional GAN below a folder for
    each class. There, classes come in their shares of the training images.

    Raises:
        UsageError, WorkbenchError: as `kind_of`.
    """
    kind, generator = kind_of(out), trained.generator
    one = None if label is None else torch.full((n,), label, device="cpu")
    if kind == PNG and one is None:
        save_grid(class_rows(generator, n, trained.latent, seed), out)
        return
    labels = drawn_labels(generator, n, seed) if one is None else one
    parts = images_of(generator, drawn_noise(n, trained.latent, seed), labels)
    drawn = paced((image for part in parts for image in part), n, "images")
    if kind == PNG:
        save_grid(square(torch.stack([*drawn])), out)
    elif kind == NPZ:
        known = {} if labels is None else {"labels": labels.numpy()}
        write_arrays(out, {"images": torch.stack([*drawn]).permute(0, 2, 3, 1).numpy(), **known})
    else:
        _write_files(drawn, n, out, None if labels is None else labels.tolist(), folders_of(trained.classes))


def class_rows(generator: nn.Module, n: int, latent: int, seed: int, device: str = "cpu") -> Sequence[Tensor]:
    """n images in rows: one for each class, where there are not more of those than images, or about a square."""
    rows = rows_by_class(generator, n)
    if rows is None:
        return square(generate(generator, n, latent, seed, device))
    return generate(generator, n, latent, seed, device, labels=torch.cat(rows)).split([*map(len, rows)])


def folders_of(classes: Sequence[str]) -> list[str]:
    """Names of folders for classes, each below the folder that it is put into, and no two the same."""
    plain = [UNFIT.sub("-", name).strip(". ") for name in classes]
    distinct = len({name.casefold() for name in plain}) == len(plain) and all(plain)
    return plain if distinct else [f"{label}-{name}".rstrip("-") for label, name in enumerate(plain)]


def _write_files(
    images: Iterator[Tensor], n: int, folder: Path, labels: list[int] | None, names: Sequence[str]
) -> None:
    digits = len(str(n - 1))
    with _filled(folder) as aside:
        for i, image in enumerate(images):
            place = aside if labels is None else aside / names[labels[i]]
            place.mkdir(exist_ok=True)
            picture(image.numpy()).save(place / f"{i:0{digits}}{PNG}")


@contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    """A folder in this one, which is made if it is not there; what it holds is in this one when the block ends well."""
    new = not folder.exists()
    aside = folder / f".{writer()}.tmp"
    aside.mkdir(parents=True)
    try:
        yield aside
        for path in aside.iterdir():
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if new and not any(folder.iterdir()):
            folder.rmdir()
