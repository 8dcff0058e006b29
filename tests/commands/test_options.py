"""Options made from settings."""

from typing import Annotated, Literal

import click
import pytest
from pydantic import Field

from commands import _options as options
from lab.config import HIDDEN, Config
from lab.errors import UsageError


class Settings(Config):
    """Of every kind."""

    length: float = Field(description="how long")
    names: tuple[str, ...] = Field(("a",), description="who")
    step_size: float = Field(2e-4, description="how far")
    fast: bool = Field(False, description="whether to hurry")
    rate: float | None = Field(None, description="how often; not given, as it comes")
    kind: Literal["a", "b"] | None = Field(None, description="which")
    others: tuple[str, ...] = Field((), description="who else")
    wait: float | Literal["ever"] = Field("ever", description="how patiently")
    times: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (1, 2), description="when", json_schema_extra={"also": "--time"}
    )
    settled: int | None = Field(None, description="what is found out", json_schema_extra=HIDDEN)


SHOWN = [name for name in Settings.model_fields if name != "settled"]


@click.command()
@options.of(Settings)
def command(**values):
    assert list(values) and set(values) == set(SHOWN)
    given = options.taken(values, Settings)
    assert not values
    return given


def parsed(*arguments):
    return command.main(list(arguments), standalone_mode=False)


def test_what_was_given_can_be_told_from_what_was_not():
    assert parsed() == {}
    assert parsed("--names", "b,c", "--step-size", "1", "--no-fast") == {
        "names": ("b", "c"),
        "step_size": 1.0,
        "fast": False,
    }
    assert parsed("--fast", "--names", ",") == {"fast": True, "names": ()}


def test_two_commas_are_one_within_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    for text in ("c,folder:a,,b,d", "c , folder:a,,b,d,"):
        assert parsed("--names", text) == {"names": ("c", "folder:a,b", "d")}
    assert parsed("--names", ",,", "--names", "e,,,f,e") == {"names": (",", "e,", "f", "e")}
    for text, words in [("c,folder:a,b", "a is not there; .*: folder:a,,b"), ("zip:a,,c,b", "a,c .*: zip:a,,c,,b")]:
        with pytest.raises(UsageError, match=words):
            parsed("--names", text)
    assert parsed("--names", "folder:absent", "--names", "b") == {"names": ("folder:absent", "b")}


def test_help_has_meaning_and_default():
    helped = {option.name: option.help for option in command.params}
    assert list(helped) == SHOWN
    assert helped["length"] == "how long"
    assert helped["step_size"] == "how far  [default: 0.0002]"
    assert helped["names"] == "who  [default: a]"
    assert helped["times"] == "when  [default: 1,2]"
    assert helped["wait"] == "how patiently  [default: ever]"
    assert helped["fast"] == "whether to hurry"
    assert helped["rate"] == "how often; not given, as it comes"
    assert helped["others"] == "who else"


def test_what_may_be_left_out_has_the_type_of_what_may_be_given():
    assert parsed("--rate", "0.5", "--kind", "b") == {"rate": 0.5, "kind": "b"}
    for wrong in (["--rate", "often"], ["--kind", "c"], ["--step-size", "far"]):
        with pytest.raises(click.BadParameter):
            parsed(*wrong)


def test_what_may_be_of_several_kinds_is_left_to_the_settings():
    for text, value in (("2.5", 2.5), ("ever", "ever")):
        assert Settings.parse({"length": 1, **parsed("--wait", text)}).wait == value


def test_names_are_given_at_once_or_one_by_one_in_either_spelling():
    for arguments in (["--times", "3,5"], ["--time", "3", "--time", "5"], ["--time", "3, 5,", "--times", "3"]):
        assert Settings.parse({"length": 1, **parsed(*arguments)}).times == (3, 5)


def test_what_is_hidden_is_no_option():
    with pytest.raises(click.NoSuchOption):
        parsed("--settled", "1")
