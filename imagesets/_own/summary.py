"""What was made of a user's images, in words: splits, classes and counts, and what a reader may not expect of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from imagesets._own.listing import LINKED, counted
from imagesets._own.manifest import Facts
from imagesets._spec import Spec

SHOWN = 10
"""Classes that are named, at most."""
FEW_LEVELS = 128
"""Where fewer of the 256 levels than these are reached, stretching is proposed."""


def summary(
    path: Path, name: str, spec: Spec, record: dict[str, Any], left_out: Counter[str], facts: Facts
) -> Iterator[str]:
    """Lines about a set: the first says what it is, others what may be amiss with it."""
    splits = record["splits"]
    parts = [
        _splits(spec, splits),
        _classes(spec, record["counts"]),
        f"{spec.size} x {spec.size} pixels" + (f" ({record['enlarged']:,} enlarged)" if record["enlarged"] else ""),
        "grey" if spec.channels == 1 else "colour",
    ]
    without = left_out.copy()
    beside = f"beside {splits[0]}/ and {splits[1]}/" if splits else ""
    without.update({beside: facts.outside, "not to be decoded": facts.skipped})
    told = f" Left out: {counted(+without)}." if +without else ""
    links = " --follow-links takes what is linked." if LINKED & set(left_out) else ""
    yield f"{path} is {name}: {', '.join(parts)}.{told}{links}"
    for split, words in (("train", "to train on"), ("test", "held out")):
        lacking = [one for one, count in zip(spec.classes, record["counts"][split], strict=False) if not count]
        if lacking:
            yield f"No images {words} are of {_named(lacking)}."
    if record["copies"]:
        yield f"{record['copies']:,} of the held-out files are, byte for byte, among those to train on."
    if record.get("plain"):  # not counted when sets were decoded by earlier versions
        yield f"{record['plain']:,} of the images are of one colour throughout."
    if record["seen"]:
        yield _values(record["seen"], spec)


def _splits(spec: Spec, splits: Sequence[str] | None) -> str:
    train, test = f"{spec.n['train']:,} to train on", f"{spec.n['test']:,} held out"
    if splits:
        return f"{train} ({splits[0]}/) and {test} ({splits[1]}/)"
    return f"{train} and {test} (one in six, by a hash of the name)"


def _classes(spec: Spec, counts: dict[str, list[int]]) -> str:
    if not spec.classes:
        return "no classes"
    totals = [sum(both) for both in zip(counts["train"], counts["test"], strict=True)]
    named = [f"{name} {total:,}" for name, total in zip(spec.classes, totals, strict=True)]
    return f"{len(named):,} class{'es' * (len(named) > 1)} ({_named(named)})"


def _named(names: Sequence[str]) -> str:
    """Some names; `and 90 more` where there are many. A line break in one makes no second line."""
    shown = [name if name.isprintable() else repr(name) for name in names[:SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _values(seen: Sequence[int], spec: Spec) -> str:
    low, high = seen
    told = f"The values of 16 bits are from {low:,} to {high:,} of 65,535"
    if spec.stretch:
        return f"{told}; those from {spec.stretch[0]:,} to {spec.stretch[1]:,} are spread over 0 to 255."
    levels = (high >> 8) - (low >> 8) + 1
    few = f", which makes {levels} levels: --stretch spreads them over 0 to 255" if levels < FEW_LEVELS else ""
    return f"{told}; their upper 8 bits are kept{few}."
