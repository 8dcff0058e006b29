"""Where torch.compile stops: what is found here decides at every turn what is done next."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Found = TypeVar("Found")

# torch 2.6 does not tell: it refuses with words of its own.
_exporting = getattr(torch.compiler, "is_exporting", lambda: False)


def uncompiled(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """The function, between two graphs where a compiled one calls it.

    Translated, every piece between two decisions would be a graph of its own: minutes of work, and with the best
    temperature anew at every step. Where there cannot be two graphs it is refused.
    """

    @wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        if torch.jit.is_tracing() or _exporting():  # type: ignore[attr-defined]
            raise RuntimeError(
                f"{function.__qualname__} decides at every turn what is done next: leave it out of what torch.export "
                "and torch.jit translate."
            )
        if torch.compiler.is_compiling():  # not sooner: it would import the compiler
            return torch.compiler.disable(function)(*args, **kwargs)  # type: ignore[no-any-return]
        return function(*args, **kwargs)

    return called
