"""What studies that attack classifiers have in common."""

from typing import Any

from pydantic import Field

from tasks._attacks import Attacking


class Attacked(Attacking):
    """What is done to images, and which of it is judged."""

    at: float = Field(0.1, ge=0, description="the eps that claims are judged at; it is attacked beside the others")

    def shared(self) -> dict[str, Any]:
        """The settings that the cells which attack take over."""
        return {**self.model_dump(include={*Attacking.model_fields}), "eps": (*self.eps, self.at)}
