"""Kinds of paths that options and arguments name, each checked before any work."""

import os
from pathlib import Path
from typing import Any

import click

from lab.files import astray, expanded, hindered


class Named(click.Path):
    """A path, with the user's folder in place of a `~` that the shell left, as that of `--out=~/page`. It is not empty,
    as a variable of the shell is that was not set: that would be the folder where the command is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path, checked."""
        if not os.fspath(value):
            self.fail("No place is named.", param, ctx)
        return Path(os.fsdecode(super().convert(str(expanded(value)), param, ctx)))


class PlainFile(Named):
    """The path of a file, or of none yet: no pipe, which one would wait for, no device, which would be replaced."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if path.exists() and not (path.is_file() or path.is_dir()):
            self.fail(f"File {str(path)!r} is a pipe or a device.", param, ctx)
        return path


class Folder(Named):
    """The path of a folder, or of none yet: what a dead link leads to can neither be looked at nor made."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        folder = super().convert(value, param, ctx)
        if why := astray(folder):
            self.fail(why, param, ctx)
        return folder


class NewFile(PlainFile):
    """A file that is written in the end: its folder must be there before the work begins, and its name may need an end.

    Attributes:
        suffix: that the name must have, as `.npz`; empty for any.
    """

    def __init__(self, suffix: str = "", *, folders: bool = False) -> None:
        super().__init__(dir_okay=folders)
        self.suffix = suffix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if not path.parent.is_dir():
            self.fail(f"There is no folder {click.format_filename(path.parent)!r}.", param, ctx)
        if why := hindered(path.parent):
            self.fail(why, param, ctx)
        if self.suffix and path.suffix != self.suffix:
            self.fail(f"{click.format_filename(path)!r} must end in {self.suffix}.", param, ctx)
        return path


class NewPage(NewFile):
    """A report of one page: a page of people's own is not written over."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from lab.reporting.page import check_place  # help need not wait for it

        path = super().convert(value, param, ctx)
        check_place(path, "report")
        return path


class PageFolder(Folder):
    """The folder of a `report` or of a `site`, which need not be there: a page of people's own is not written over."""

    def __init__(self, kind: str) -> None:
        super().__init__(file_okay=False)
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from lab.reporting.page import PAGES, check_place

        folder = super().convert(value, param, ctx)
        if why := hindered(folder):
            self.fail(why, param, ctx)
        check_place(folder / PAGES[self.kind], self.kind)
        return folder


ANY_FOLDER = Folder(file_okay=False)
A_FOLDER = Named(exists=True, file_okay=False)
A_PATH = Named(exists=True)
A_FILE = PlainFile(exists=True, dir_okay=False)
A_PAGE = NewPage(".html")
A_REPORT, A_SITE = PageFolder("report"), PageFolder("site")
