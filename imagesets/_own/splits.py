"""What the names of folders say of splits: which images are to train on, which are held out, and what is no class."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from itertools import takewhile
from pathlib import Path
from posixpath import commonpath
from typing import NamedTuple

from lab.errors import WorkbenchError

TRAIN, TEST, VALIDATION = "train", "test", "validation"
EXACT = ("train", "test")
WORD = re.compile(
    r"(?:(?P<train>train(?:ing|val)?|trn)|(?P<test>test(?:ing)?|tst|holdout|heldout)"
    r"|(?P<validation>val(?:id(?:ation)?)?|dev|eval(?:uation)?))(?:set|data|images?)?(?:19|20)?(?:\d\d)?"
)
"""A word that names a split, as in `Training`, `seg_test`, `TestImages` and `val2017`."""
FILLING = {"set", "sets", "split", "data", "dataset", "image", "images", "img", "imgs"}
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


class SplitName(NamedTuple):
    """What a folder's name says: a split, and what is left of it, by which `seg_train` belongs to `seg_test`."""

    split: str
    rest: tuple[str, ...]


def same_text(name: str) -> str:
    """The name in Unicode's composed form: an accent is written in one way."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """The name without what does not tell names apart: form, case, and spaces around it."""
    return same_text(same_text(name).casefold()).strip()


def split_name(folder: str) -> SplitName | None:
    """The split that a folder is called by; None for other names."""
    words = re.findall(r"[^\W_]+", folded(HUMP.sub(" ", folder)))
    named = [(word, found.lastgroup or "") for word in words if (found := WORD.fullmatch(word))]
    if len(named) != 1:
        return None
    rest = tuple(word for word in words if word != named[0][0] and word not in FILLING and not word.isdigit())
    return SplitName(named[0][1], rest)


def is_plain(folder: str) -> bool:
    """Whether a folder is called like a split and nothing else."""
    found = split_name(folder)
    return found is not None and not found.rest


def above(names: list[str], *, archive: bool) -> str:
    """The folder, with its slash, that sorted names are meant below; empty where they are as they should be.

    Folders that hold everything are left out down to where there are several, or a split's. Of an archive the one
    that holds everything is left out even if the images lie in it.
    """
    ends = [name.rpartition("/")[0] for name in (names[0], names[-1])]
    holding = takewhile(lambda folder: not is_plain(folder), filter(None, commonpath(ends).split("/")))
    found = [f"{folder}/" for folder in holding]
    below = len("".join(found))
    return "".join(found if all("/" in name[below:] for name in names) else found[:1] if archive else [])


def find(tops: Collection[str], path: Path) -> tuple[str, str] | None:
    """The folders of a set's two splits, what to train on and what is held out; None where folders are no splits.

    Held out is what is called like `test`, and where nothing is, what is called like `val`.

    Raises:
        WorkbenchError: one of the two is missing, or there are several of one.
    """
    if set(EXACT) <= set(tops):
        return EXACT
    known = {name: found for name in sorted(tops) if (found := split_name(name))}
    paired = {rest for rest in (one.rest for one in known.values()) if not rest or _splits_of(known, rest) > {TRAIN}}
    alike = {name: one for name, one in known.items() if one.rest in paired}
    train, test, validation = ([n for n in alike if alike[n].split == split] for split in (TRAIN, TEST, VALIDATION))
    held = test or validation
    if len(train) == len(held) == 1 and alike[train[0]].rest == alike[held[0]].rest:
        return train[0], held[0]
    plain = [name for name in known if not known[name].rest]
    if (train and held) or (plain and len(known) == len(tops) > len(plain)):
        raise WorkbenchError(_several(known if not (train and held) else alike, path))
    if plain and (len(plain) == len(tops) or len(plain) > 1):
        raise WorkbenchError(_missing(train or held, "test" if train else "train", path))
    return None


def _splits_of(known: dict[str, SplitName], rest: tuple[str, ...]) -> set[str]:
    return {one.split for one in known.values() if one.rest == rest}


def _several(found: dict[str, SplitName], path: Path) -> str:
    told = ", ".join(f"{name}/ as {one.split}" for name, one in found.items())
    return f"{path} holds folders that may be splits, which is not plain ({told}): keep one train/ and one test/."


def _missing(have: Iterable[str], lack: str, path: Path) -> str:
    name = next(iter(have))
    way = f"name {path / name}" if path.is_dir() else f"unpack it and name the folder {name}"
    return f"{path} holds images in {name}/ and none in {lack}/: add some, or {way}."
