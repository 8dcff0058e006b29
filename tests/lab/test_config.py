"""Settings refuse what is impossible, and say so in one line."""

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from lab.config import Config, with_preset
from lab.errors import UsageError


class Settings(Config):
    kimg: float = Field(1.0, gt=0, description="length in kimg")
    gans: tuple[str, ...] = ("dcgan",)
    steps: tuple[int, ...] = (1,)
    deep: bool = False
    wide: Literal[False] = False


@pytest.mark.parametrize(
    "values, words",
    [
        ({"kimg": -3}, r"kimg: .*greater than 0 \(got -3\)"),
        ({"kimg": float("nan")}, "kimg: .*finite"),
        ({"kimg": "long"}, "kimg: .*number"),
        ({"kimg": True}, r"kimg: it is no switch \(got True\)"),
        ({"steps": [3, False]}, r"steps: it is no switch \(got \[3, False\]\)"),
        ({"deep": 3}, "deep: .*boolean"),
        ({"kmg": 3}, "Unknown setting 'kmg'; did you mean 'kimg'"),
    ],
)
def test_impossible_values_are_named(values, words):
    with pytest.raises(UsageError, match=words) as caught:
        Settings.parse(values)
    assert "\n" not in str(caught.value)


class Several(Config):
    numbers: tuple[float, ...] = Field((1.0,), min_length=1)


def test_of_a_part_that_is_impossible_the_whole_is_not_said_to_be_too_short():
    with pytest.raises(UsageError) as caught:
        Several.parse({"numbers": ("one",)})
    assert str(caught.value).startswith("numbers.0: ") and "at least" not in str(caught.value)
    with pytest.raises(UsageError, match=r"^numbers: at least 1 is needed \(got \(\)\)$"):
        Several.parse({"numbers": ()})


def test_settings_are_frozen_and_plain():
    settings = Settings.parse({"kimg": 2})
    assert settings.plain() == {"kimg": 2.0, "gans": ["dcgan"], "steps": [1], "deep": False, "wide": False}
    assert Settings.parse(settings.plain()) == settings
    with pytest.raises(ValidationError):
        settings.kimg = 3


def test_given_values_replace_the_presets():
    presets = {"smoke": {"kimg": 0.1, "gans": ("a", "b")}}
    assert with_preset(Settings, presets, "smoke", {"kimg": 5}) == Settings(kimg=5, gans=("a", "b"))
    with pytest.raises(UsageError, match="Unknown preset 'smok'"):
        with_preset(Settings, presets, "smok", {})


def test_only_what_is_given_counts_as_asked_for_also_after_a_change():
    found = with_preset(Settings, {"smoke": {"kimg": 0.1, "gans": ("a",)}}, "smoke", {"kimg": 0.1})
    assert found.model_fields_set == {"kimg"} and found.gans == ("a",)
    changed = found.replaced(gans=("b",))
    assert changed.model_fields_set == {"kimg", "gans"} and changed == Settings(kimg=0.1, gans=("b",))
    assert changed.changed() == Settings.parse(changed.plain()).changed()
