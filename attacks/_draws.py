"""Random numbers for each image by itself, so that neither its batch nor the images beside it change them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lab.training.draws import random_generator


class Draws:
    """What the attack on some images draws, on the CPU in float32: of image i it depends on the seed and i alone."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = generators

    @classmethod
    def by(cls, seed: int, images: Iterable[int]) -> "Draws":
        """Those of some images, by number."""
        return cls([random_generator(seed, "attack", i) for i in images])

    def of(self, rows: Tensor) -> "Draws":
        """Those of some of these images (m,); they go on together."""
        return Draws([self._generators[i] for i in rows.tolist()])

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1), (b, *shape)."""
        return torch.stack([torch.rand(shape, generator=one, device="cpu") for one in self._generators])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers (b, *shape)."""
        return torch.stack([torch.randn(shape, generator=one, device="cpu") for one in self._generators])

    def signs(self, *shape: int) -> Tensor:
        """-1 or 1, each with probability one half, (b, *shape)."""
        return torch.where(self.uniform(*shape) < 0.5, -1.0, 1.0)
