"""The commands, a file each: `commands/study.py` is `snnl study`, and its docstring's first line stands in the list.

A file has its click command as `command`, and is imported when that is called. Free of torch until a command needs it.
"""

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

TRACEBACK = "--traceback"
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}


class Told(click.Group):
    """A group whose help says to the end what each command does."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, which click would cut."""
        with formatter.section("Commands"):
            formatter.write_dl([*self.summaries(ctx).items()])

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """Of each command, by its name, the first paragraph of its help."""
        texts = {name: self.commands[name].help or "" for name in self.list_commands(ctx)}
        return {name: " ".join(text.partition("\n\n")[0].split()) for name, text in texts.items()}


class Listed(Told):
    """A group whose commands are listed without being made: `listed` gives summaries by name, `make` a command."""

    def __init__(
        self, *, listed: Callable[[], dict[str, str]], make: Callable[[str], click.Command | None], **settings: Any
    ) -> None:
        """`make` gives None, or raises UsageError, where there is no command of a name."""
        super().__init__(**settings)
        self._listed, self._make = listed, make

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names."""
        return [*self._listed()]  # once `commands.list` is imported, `list` is that here

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        return self._make(cmd_name)

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """Those that it was given."""
        return self._listed()


def _files() -> dict[str, Path]:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return {path.stem: path for path in files if not path.name.startswith("_")}


def _summaries() -> dict[str, str]:
    docs = {name: ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "" for name, path in _files().items()}
    return {name: doc.partition("\n")[0] for name, doc in docs.items()}


def _load(name: str) -> click.Command | None:
    return importlib.import_module(f"commands.{name}").command if name in _files() else None


@click.group(cls=Listed, listed=_summaries, make=_load, context_settings=SETTINGS)
@click.version_option(package_name="snnl-workbench", prog_name="snnl")
@click.option(TRACEBACK, is_flag=True, expose_value=False, help="Tell where an error arose; or set SNNL_TRACEBACK=1.")
def cli() -> None:
    """Measure and train how entangled classes are in a representation: the soft nearest neighbor loss at work."""
