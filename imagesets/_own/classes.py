"""Which folders are one class: names that read the same, and across splits names that differ in case alone."""

from collections.abc import Collection
from pathlib import Path

from imagesets._own.splits import folded, same_text
from lab.errors import WorkbenchError


def one_spelling(train: Collection[str], held: Collection[str], path: Path) -> dict[str, str]:
    """The class of each class folder: its name as it is spelled first, in the split to train on if it is there.

    Within a split, names that differ in case are two classes; across splits they are one.

    Args:
        train: the folders of the split to train on, or all where there are no splits.
        held: those of the split that is held out.
        path: what they are in, for messages.

    Raises:
        WorkbenchError: a folder may be the class of several folders of the other split.
    """
    spelled: dict[str, str] = {}
    for name in sorted(train):
        spelled.setdefault(same_text(name), name)
    alone = _by_fold(set(spelled) - set(map(same_text, held)))
    others: dict[str, str] = {}
    for name in sorted(held):
        if same_text(name) not in spelled:
            others.setdefault(same_text(name), name)
    rivals = _by_fold(others)
    for form, name in others.items():
        near = alone.get(folded(form), [])
        if near and len(near) * len(rivals[folded(form)]) > 1:
            one, other = (" or ".join(map(repr, sorted(names))) for names in (rivals[folded(form)], near))
            raise WorkbenchError(f"{path}: which class of those to train on, {other}, is {one}? Rename one of them.")
        spelled[form] = spelled[near[0]] if near else name
    return {name: spelled[same_text(name)] for name in (*train, *held)}


def _by_fold(names: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(folded(name), []).append(name)
    return found
