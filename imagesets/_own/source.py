"""What `folder:PATH` and `zip:PATH` name: image files, below the folder that holds them all."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from imagesets._own.archive import list_archive
from imagesets._own.folder import list_folder
from imagesets._own.listing import LINKED, SUFFIXES, Listing, counted
from imagesets._own.splits import above
from lab.errors import UsageError, WorkbenchError, first_line
from lab.files import expanded


def place_of(name: str) -> tuple[str, Path]:
    """The kind and the path of `folder:PATH` or `zip:PATH`."""
    kind, _, path = name.partition(":")
    return kind, expanded(path)


def list_images(kind: str, path: Path, follow_links: bool) -> Listing:
    """The image files of a `folder` or a `zip`, below the folder in it that holds everything.

    With `follow_links` what links of a folder lead to is among them, wherever it is.

    Raises:
        UsageError: the path is no folder, or no zip archive.
        WorkbenchError: it cannot be read, is encrypted, or holds no image file.
    """
    with _readable(kind, path):
        found = list_folder(path, follow_links) if kind == "folder" else list_archive(path)
    if not found.names:
        aside = f" ({counted(found.left_out)} left out)" if found.left_out else ""
        links = " --follow-links takes what is linked." if LINKED & set(found.left_out) else ""
        raise WorkbenchError(f"{path} holds no image files{aside}; they end in {', '.join(SUFFIXES)}.{links}")
    top = above(found.names, archive=kind != "folder")
    return replace(found, names=[name[len(top) :] for name in found.names], top=top) if top else found


@contextmanager
def _readable(kind: str, path: Path) -> Iterator[None]:
    there = path.is_dir() if kind == "folder" else path.is_file()
    if not there:
        raise UsageError(f"{path} is no {'folder' if kind == 'folder' else 'file'}; {kind}:PATH names one with images.")
    try:
        yield
    except zipfile.BadZipFile as error:
        raise UsageError(f"{path} is no zip archive, or a damaged one ({first_line(error)}).") from error
    except OSError as error:
        raise WorkbenchError(f"{error.filename or path} cannot be read: {error.strerror or error}.") from error
