"""The settings of most tasks here, and how some of them wait."""

import time
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from lab.config import Config as Settings


class Config(Settings):
    """A number, and a device."""

    number: int = Field(0, description="which of them, or how long in seconds")
    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="where to work")


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    """Wait until the condition holds; an error where it does not in so many seconds: nobody is there any more."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing came in {seconds:g} s")
        time.sleep(0.01)
