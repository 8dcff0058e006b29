"""Errors that a user can do something about: one line, no traceback, a known exit code."""

import difflib
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

Say = Callable[[str], None]
"""Tells people a line."""
MANY = 12
"""Of more names than these, only the nearest are listed."""
OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
"""Words of torch, CUDA, cuBLAS and cuDNN."""
HIDDEN = (
    *(*range(9), *range(11, 32), *range(127, 160)),
    *(*range(0x2028, 0x202F), *range(0x2066, 0x206A)),
    *range(0xD800, 0xE000),
)
"""The numbers of control characters but tabs and ends of lines, of what ends a line or turns the order of letters in
Unicode, and of what stands for a path's bytes that are no text: terminals obey the ones, and streams may refuse the
last."""
SHOWN = {code: repr(chr(code))[1:-1] for code in HIDDEN}
NO_MEMORY = "There is not enough memory for this. Ask for less: a smaller batch, width, size or n, or fewer --jobs."


class WorkbenchError(Exception):
    """Something went wrong that the message explains, together with what to do. Exit code 1.

    The kind is for who has to tell failures apart, such as a search.
    """

    exit_code = 1
    kind = "error"


class UsageError(WorkbenchError):
    """The command or a setting is wrong: an unknown name, an impossible number. Exit code 2."""

    exit_code = 2
    kind = "usage"


class DivergedError(WorkbenchError):
    """A loss in training became NaN or infinite: nothing but the settings is at fault."""

    kind = "diverged"


def unknown_name(what: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not among `known`: it tells a near one, and lists them, of many the nearest."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    listed = sorted(difflib.get_close_matches(name, choices, n=MANY, cutoff=0)) if len(choices) > MANY else choices
    known_ones = ", ".join(listed) or "none"
    return UsageError(f"Unknown {what} {name!r}{hint} Known{' among others' * (len(choices) > MANY)}: {known_ones}.")


def check_known(what: str, names: Iterable[str], known: Collection[str], file: Path | None = None) -> None:
    """Raise that error for the first of some names that is not among `known`; it names the file that they are of."""
    for name in names:
        if name not in known:
            error = unknown_name(what, name, known)
            raise UsageError(f"{file}: {error}") if file else error


@contextmanager
def telling(whose: object, say: Say) -> Iterator[None]:
    """What the engine refuses or warns of, told in the name of `whose`, and in the command line's words.

    Raises:
        WorkbenchError: the engine refuses something.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except (TypeError, ValueError) as error:
            raise WorkbenchError(f"{whose}: {error}".replace("allow_overlap=True", "--allow-overlap")) from error
        except RuntimeError as error:  # by which several processes tell each other of all else
            if isinstance(error.__cause__, WorkbenchError):
                raise error.__cause__ from None
            raise
    for warning in caught:
        say(f"Warning: {whose}: {warning.message}")


def tell_warnings() -> None:
    """From here on, each warning of this process is one line for people, without its place in the code."""

    def told(message: Warning | str, *_: object, **__: object) -> None:
        say(f"Warning: {' '.join(str(message).split())}")

    warnings.showwarning = told


def out_of_memory(error: BaseException) -> bool:
    """Whether Python, or torch on a processor or a GPU, had no memory left; torch is not imported to be asked."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(words in str(error) for words in OUT_OF_MEMORY)


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Names as a message lists them; of many the first, and dots."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def visible(text: str) -> str:
    """A text for a terminal, with control characters, of which names of strangers may have some, as `\\x1b`."""
    return text.translate(SHOWN)


def say(text: str) -> None:
    """A line on stderr, if there still is one."""
    with suppress(OSError, ValueError):
        print(visible(text), file=sys.stderr, flush=True)


def first_line(error: BaseException) -> str:
    """What an error says, as one line of at most 160 characters; its type where it says nothing."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
