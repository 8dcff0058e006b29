"""Where and how networks are trained: the settings that every training has. Free of torch."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from lab import machine
from lab.config import Config
from lab.errors import UsageError, WorkbenchError
from lab.training import checkpoint
from lab.training.checkpoint import Arithmetic


class Compute(Config):
    """Device, processes and arithmetic of a training. What is `auto` is decided where the training runs."""

    precision: Literal["auto", "float32", "tf32", "bf16"] = Field(
        "auto", description="arithmetic; auto is bf16 where the hardware computes in it, tf32 is for GPUs"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to train")
    processes: int = Field(1, ge=1, le=1024, description="processes that share each batch of a training equally")
    sync_batchnorm: bool = Field(
        False, description="normalise over the batches of all processes, on GPUs; else each process its own"
    )
    compile: bool = Field(False, description="translate the networks with torch.compile: slow to start, then faster")

    @model_validator(mode="after")
    def _fits_the_named_device(self) -> Self:
        if self.device == "cpu":
            self._check_device(self.device)
        return self

    def arithmetic(self, folder: Path, products: str) -> Arithmetic:
        """That of the training of a folder, here: its last checkpoint's, if it has one; else with these products.

        Raises:
            UsageError: the device cannot do what is asked for.
            WorkbenchError: there is no such device here.
        """
        begun = checkpoint.arithmetic(folder)
        device = begun.device if begun else machine.resolve_device(self.device)
        self._check_device(device)
        try:
            machine.check_device(device)
        except WorkbenchError as error:
            if not begun:
                raise
            raise WorkbenchError(f"{folder} was begun on a GPU, and there is none here: go on where one is.") from error
        return begun or Arithmetic(device, machine.resolve_precision(self.precision, device), products)

    def check_batch(self, batch: int) -> None:
        """Raise UsageError unless the processes can share a batch of so many images equally, two or more for each."""
        if batch % self.processes or batch < 2 * self.processes:
            raise UsageError(
                f"batch: {batch} images cannot be shared by {self.processes} processes: name a multiple of "
                f"{self.processes}, two images or more for each."
            )

    def _check_device(self, device: str) -> None:
        for name, wanted in (("tf32", self.precision == "tf32"), ("sync_batchnorm", self.sync_batchnorm)):
            if wanted and device != "cuda":
                raise UsageError(f"{name} is for GPUs, and the device is {device}.")
