"""What labels must have so that there is something to measure."""

from torch import Tensor

from lab.errors import WorkbenchError


def check_classes(labels: Tensor, whose: str) -> None:
    """Raise WorkbenchError, in the name of `whose`, where all are of one class, or all are of a class of their own."""
    counts = labels.unique(return_counts=True)[1]
    if len(labels) > 1 and len(counts) == 1:
        raise WorkbenchError(f"{whose}: all {len(labels)} are of one class; entanglement needs at least two.")
    if len(labels) > 1 and len(counts) == len(labels):
        raise WorkbenchError(f"{whose}: no two of {len(labels)} are of one class, so there is nothing to measure.")
