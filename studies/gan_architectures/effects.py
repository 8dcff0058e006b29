"""What the claims are judged by, from the table alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.reporting.ranks import Agreement, agreement
from lab.reporting.statistics import Estimate
from studies._measures import MEASURES, Measure, mean_floor, named_spaces

if TYPE_CHECKING:
    import pandas as pd


def follows(table: "pd.DataFrame", space: str, one: Measure, other: Measure) -> Estimate | None:
    """How far two measures order checkpoints alike in a space."""
    found = agreement_in(table, space, (one, other))
    return None if found is None else found.estimate(one.name, other.name)


def follows_rather(table: "pd.DataFrame", space: str, one: Measure, other: Measure, than: Measure) -> Estimate | None:
    """By how much more a measure orders checkpoints as another does than as a third."""
    found = agreement_in(table, space, (one, other, than))
    return None if found is None else found.difference(one.name, other.name, than.name)


def agreement_in(table: "pd.DataFrame", space: str, measures: Sequence[Measure] = MEASURES) -> Agreement | None:
    """The agreement of measures in `pixels` or `classifier`, over all checkpoints but the untrained ones."""
    name = named_spaces(table).get(space)
    return None if name is None else agreement(_checkpoints(table, name, measures))


def _checkpoints(table: "pd.DataFrame", space: str, measures: Sequence[Measure]) -> "pd.DataFrame":
    """A column for each measure that has a best value, turned so that more is better; indexed by training."""
    import pandas as pd

    columns = {}
    for measure in measures:
        rows = measure.rows(table, space)
        rows = rows[rows["step"] > 0]
        floor = mean_floor(measure, table, space)
        if measure.has_best(floor) and len(rows):
            columns[measure.name] = measure.merit(rows.set_index(["model", "seed", "step"])["value"], floor)
    found = pd.DataFrame(columns)
    runs = found.index.droplevel("step") if len(found) else found.index
    return found.set_axis([f"{model} {seed}" for model, seed in runs])
