"""Command-line options made from the fields of a settings class."""

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from lab.config import Config


class NameList(click.ParamType):
    """Several names, separated by commas."""

    name = "a,b,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split the text; empty names are dropped."""
        return value if isinstance(value, tuple) else tuple(part.strip() for part in value.split(",") if part.strip())


def options_from(settings: type[Config]) -> Callable[[Any], Any]:
    """A decorator: one option a field, without a default, so that what was not given can be told from what was."""

    def decorated(command: Any) -> Any:
        for name, field in reversed(settings.model_fields.items()):
            command = _option(name, field)(command)
        return command

    return decorated


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The options that were given on the command line."""
    return {name: value for name, value in values.items() if value is not None}


def _option(name: str, field: FieldInfo) -> Callable[[Any], Any]:
    flag = name.replace("_", "-")
    if field.annotation is bool:
        return click.option(f"--{flag}/--no-{flag}", default=None, help=_help(field))
    return click.option(f"--{flag}", type=_type(field.annotation), help=_help(field))


def _help(field: FieldInfo) -> str:
    """What a field means, and its default if it has one of its own: else presets say it."""
    default = field.default
    if field.is_required() or isinstance(default, bool) or default in (None, ()):
        return field.description or ""
    return f"{field.description}  [default: {','.join(default) if isinstance(default, tuple) else default}]"


def _type(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):  # what may be None, too, is not given then
        annotation = next(kind for kind in get_args(annotation) if kind is not NoneType)
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    if get_origin(annotation) is tuple:
        return NameList()
    return {int: click.INT, float: click.FLOAT}.get(annotation, click.STRING)
