"""Where torch.compile stops: what is found here decides at every turn what is done next."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Found = TypeVar("Found")


def uncompiled(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """The function, between two graphs where a compiled one calls it.

    Translated, every piece between two decisions would be a graph of its own: minutes of work, and with the best
    temperature anew at every step.
    """

    @wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        if torch.compiler.is_compiling():  # not sooner: it would import the compiler
            return torch.compiler.disable(function)(*args, **kwargs)  # type: ignore[no-any-return]
        return function(*args, **kwargs)

    return called
