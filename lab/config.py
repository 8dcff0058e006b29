"""Settings as frozen, validated values that refuse unknown keys."""

from collections.abc import Iterable
from typing import Annotated, Any, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from lab.errors import UsageError, check_known

HIDDEN: dict[str, Any] = {"option": False}
"""`json_schema_extra` of a field that is no option of a command."""
LARGEST_WHOLE, LARGEST = 2**63 - 1, 1e30
"""Whole numbers and others are at most so far from 0: beyond, there is no arithmetic for them."""


def _assigned(settings: tuple[str, ...]) -> tuple[str, ...]:
    if not all("=" in setting for setting in settings):
        raise ValueError("NAME=VALUE is needed, several separated by commas")
    return settings


Assignments = Annotated[tuple[str, ...], AfterValidator(_assigned)]
"""Settings of something else, each as NAME=VALUE."""


def assigned(settings: Iterable[str]) -> dict[str, str]:
    """The values of such settings by name; of one that is there twice the last."""
    return dict(setting.split("=", 1) for setting in settings)


class Config(BaseModel):
    """Base of every settings class. Frozen; unknown keys, and numbers that are not finite or astronomic, are refused.

    Each field carries a one-line description with its unit: command-line options are made from it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_switch(cls, value: Any, about: ValidationInfo) -> Any:
        """True and false, which Python takes for 1 and 0, are for switches."""
        annotation = cls.model_fields[str(about.field_name)].annotation
        switch = any(kind is bool or isinstance(kind, bool) for kind in (annotation, *get_args(annotation)))
        parts = value if isinstance(value, tuple | list) else (value,)
        if not switch and any(isinstance(part, bool) for part in parts):
            raise ValueError("it is no switch")
        return value

    @field_validator("*")
    @classmethod
    def _is_not_astronomic(cls, value: Any) -> Any:
        for number in value if isinstance(value, tuple) else (value,):
            limit = LARGEST_WHOLE if isinstance(number, int) else LARGEST
            if isinstance(number, int | float) and abs(number) > limit:
                raise ValueError(f"at most {limit:g} is possible")
        return value

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build the settings from plain values.

        Raises:
            UsageError: a value is impossible or a key is unknown; the message names the key and the reason.
        """
        check_known("setting", sorted(values), cls.model_fields)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = error.errors()
            # A part that fails is missed, too: the whole is said to be too short.
            within = {problem["loc"][:1] for problem in problems if problem["loc"][1:]}
            told = [problem for problem in problems if problem["type"] != "too_short" or problem["loc"] not in within]
            raise UsageError("; ".join(map(_reason, told))) from None

    def changed(self) -> dict[str, Any]:
        """The settings that are not at their default: a setting that is added later does not change them."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def plain(self) -> dict[str, Any]:
        """The settings as JSON-ready values."""
        return self.model_dump(mode="json")

    def replaced(self, **values: Any) -> Self:
        """The same settings with others in their place, checked anew.

        Raises:
            UsageError: as `parse`.
        """
        return self.parse({**dict(self), **values})._asked_for(self.model_fields_set | set(values))

    def _asked_for(self, names: Iterable[str]) -> Self:
        """The same settings, of which those names were asked for (`model_fields_set`): the others may give way."""
        return type(self).model_construct(_fields_set={*names}, **dict(self))  # type: ignore[return-value]


def _reason(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "settings"
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "too_short":
        text = f"at least {problem['ctx']['min_length']} is needed"
    return f"{where}: {text} (got {problem['input']!r})"


def with_preset(cls: type[Config], presets: dict[str, dict[str, Any]], preset: str, given: dict[str, Any]) -> Config:
    """The settings of `preset` with the `given` ones in place of its own; these alone count as asked for.

    Raises:
        UsageError: the preset is unknown, or a value is impossible.
    """
    check_known("preset", [preset], presets)
    return cls.parse({**presets[preset], **given})._asked_for(given)
