"""The settings of most tasks here."""

from typing import Literal

from pydantic import Field

from lab.config import Config as Settings


class Config(Settings):
    """A number, and a device."""

    number: int = Field(0, description="which of them, or how long in seconds")
    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="where to work")
