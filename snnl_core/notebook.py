"""What notebooks show of a measurement: a score for each class, and the matrix of class against class."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Protocol

SHOWN = 20
"""Classes at most; of more, the first ones."""
INK = "0,114,178"
"""Red, green and blue of a full cell."""


class Scored(Protocol):
    """What has a score."""

    @property
    def score(self) -> float:
        """In [0, 1], or NaN."""


def html(title: str, classes: Sequence[int], by_class: Mapping[int, Scored], pairs: Sequence[Sequence[float]]) -> str:
    """A title, and a table with a row for each class: its score, and the mean softmax mass on each class.

    Args:
        title: what stands above.
        classes: the labels (c,).
        by_class: what was found of each, by label; classes without a valid anchor are not there.
        pairs: the masses (c, c), NaN in the rows of classes without a valid anchor.
    """
    shown = classes[:SHOWN]
    heads = "".join(f"<th>{label}</th>" for label in ("class", "score", *(f"on {label}" for label in shown)))
    rows = "".join(
        f"<tr><th>{label}</th>{_cell(by_class[label].score if label in by_class else float('nan'))}"
        f"{''.join(map(_cell, masses[:SHOWN]))}</tr>"
        for label, masses in zip(shown, pairs, strict=False)
    )
    more = f"<p>The first {SHOWN} of {len(classes)} classes.</p>" if len(classes) > SHOWN else ""
    return f"<p><code>{escape(title)}</code></p><table><tr>{heads}</tr>{rows}</table>{more}"


def _cell(share: float) -> str:
    """A share in [0, 1] on a ground that is as dark as it is large; white on dark ground."""
    if share != share:
        return "<td>-</td>"
    ink = "color:white;" if share > 0.6 else ""
    return f'<td style="background:rgba({INK},{share:.2f});{ink}">{share:.2f}</td>'
