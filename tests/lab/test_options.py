"""Options made from settings."""

from typing import Literal

import click
import pytest
from pydantic import Field

from commands._options import given, options_from
from lab.config import Config


class Settings(Config):
    """Of every kind."""

    length: float = Field(description="how long")
    names: tuple[str, ...] = Field(("a",), description="who")
    step_size: float = Field(2e-4, description="how far")
    fast: bool = Field(False, description="whether to hurry")
    rate: float | None = Field(None, description="how often; not given, as it comes")
    kind: Literal["a", "b"] | None = Field(None, description="which")
    others: tuple[str, ...] = Field((), description="who else")


@click.command()
@options_from(Settings)
def command(**values):
    return values


def parsed(*arguments):
    return given(command.main(list(arguments), standalone_mode=False))


def test_what_was_given_can_be_told_from_what_was_not():
    assert parsed() == {}
    assert parsed("--names", "b,c", "--step-size", "1", "--no-fast") == {
        "names": ("b", "c"), "step_size": 1.0, "fast": False,
    }  # fmt: skip


def test_help_has_meaning_and_default():
    helped = {option.name: option.help for option in command.params}
    assert list(helped) == list(Settings.model_fields)
    assert helped["length"] == "how long"
    assert helped["step_size"] == "how far  [default: 0.0002]"
    assert helped["names"] == "who  [default: a]"
    assert helped["fast"] == "whether to hurry"
    assert helped["rate"] == "how often; not given, as it comes"
    assert helped["others"] == "who else"


def test_what_may_be_left_out_has_the_type_of_what_may_be_given():
    assert parsed("--rate", "0.5", "--kind", "b") == {"rate": 0.5, "kind": "b"}
    for wrong in (["--rate", "often"], ["--kind", "c"]):
        with pytest.raises(click.BadParameter):
            parsed(*wrong)
