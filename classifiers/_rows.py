"""Rows of features that come part after part: in memory, or in files where they are too many for it.

Parts (b, d), float32 on the CPU, are put in order, and are whole in the end (n, d).
"""

from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor


class InMemory:
    """Rows of a tensor."""

    def __init__(self, n: int, d: int) -> None:
        self._whole, self._at = torch.empty(n, d, device="cpu"), 0

    def put(self, part: Tensor) -> None:
        """Take the next rows."""
        self._whole[self._at : self._at + len(part)] = part
        self._at += len(part)

    def whole(self) -> Tensor:
        """All rows."""
        return self._whole


class InFile:
    """Rows of a file without a name, which is gone as soon as nothing refers to it, however the process ends.

    In the end they are mapped into memory, whose pages the system takes back when it needs them; what is written to
    them is not kept.
    """

    def __init__(self, n: int, d: int, folder: Path) -> None:
        self._shape, self._file = (n, d), TemporaryFile(dir=folder)  # noqa: SIM115 (it outlives this)

    def put(self, part: Tensor) -> None:
        """Take the next rows.

        Raises:
            OSError: the disk is full, which would be a crash if they were written to a memory map.
        """
        self._file.write(part.contiguous().numpy().data)

    def whole(self) -> Tensor:
        """All rows."""
        with self._file:
            self._file.flush()
            return torch.from_numpy(np.memmap(self._file, np.float32, "c", shape=self._shape))
