"""Files that each of several processes reads for itself: whether all have read the same."""

import hashlib
import io

import torch
from torch import Tensor

from lab.errors import WorkbenchError
from lab.processes import world_size
from snnl_core.distributed import agree


def check_same(whose: str, *parts: Tensor | bytes | str | None) -> None:
    """Hold what this process has read against what the others have, which call this at the same time.

    Raises:
        WorkbenchError: one has read something else, so that what they find together would be of neither.
    """
    if world_size() == 1:
        return
    content = hashlib.sha256()
    for part in parts:
        content.update(_told(part))
        content.update(_bytes(part))
    try:
        agree(lambda: (torch.zeros(1, device="cpu"),), content=content.hexdigest())
    except ValueError as error:
        raise WorkbenchError(
            f"The processes have not read the same of {whose}: it has changed meanwhile, or is drawn anew each time. "
            "Run the command again once nobody writes it."
        ) from error


def _told(part: Tensor | bytes | str | None) -> bytes:
    """What tells where a part begins."""
    shape = (part.dtype, tuple(part.shape)) if isinstance(part, Tensor) else len(part or "")
    return f"{type(part).__name__} {shape};".encode()


def _bytes(part: Tensor | bytes | str | None) -> memoryview | bytes:
    if isinstance(part, Tensor) and part.layout != torch.strided:
        sparse = io.BytesIO()
        torch.save(part.detach().cpu(), sparse)
        return sparse.getbuffer()
    if isinstance(part, Tensor):
        return part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
    return part if isinstance(part, bytes) else (part or "").encode()
