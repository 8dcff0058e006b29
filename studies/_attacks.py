"""What studies that attack classifiers have in common."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from lab.reporting.plots import mean_curve
from lab.reporting.told import tell
from tasks._attacks import Attacking

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


class Attacked(Attacking):
    """What is done to images, and which of it is judged."""

    at: float = Field(0.1, ge=0, description="the eps that claims are judged at; it is attacked beside the others")

    def shared(self) -> dict[str, Any]:
        """The settings that the cells which attack take over."""
        return {**self.model_dump(include={*Attacking.model_fields}), "eps": (*self.eps, self.at)}


def eps_curves(axis: "Axes", rows: "pd.DataFrame", colour: str, label: str, style: str = "-") -> None:
    """The mean over seeds of a measure, by the eps that is the rows' side; of a solid line every seed as well, thin."""
    by_eps = rows.assign(eps=rows["side"].astype(float)).sort_values("eps")
    for seed, one in by_eps.groupby("seed") if style == "-" else ():
        (line,) = axis.plot(one["eps"], one["value"], color=colour, alpha=0.3, linewidth=0.7)
        tell(line, label, f"seed {seed:g}", one["value"], one["eps"], "eps")
    mean_curve(axis, by_eps, "eps", colour, label, linewidth=1.6, linestyle=style)
