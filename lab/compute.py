"""Where and how networks are trained: the settings that every command that trains has. Free of torch."""

from typing import Any, Literal

from pydantic import Field

from lab import hardware
from lab.config import Config
from lab.errors import UsageError


class Compute(Config):
    """Device, processes and arithmetic of a training."""

    precision: Literal["auto", "float32", "tf32", "bf16"] = Field(
        "auto", description="arithmetic; auto is bf16 where the hardware computes in it, tf32 is for GPUs"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to train")
    processes: int = Field(1, ge=1, le=1024, description="processes that share each batch of a training equally")
    sync_batchnorm: bool = Field(
        False, description="normalise over the batches of all processes, on GPUs; else each process its own"
    )
    compile: bool = Field(False, description="translate the networks with torch.compile: slow to start, then faster")

    def resolved(self) -> dict[str, Any]:
        """The part of a cell's config that these settings decide; what is off is left out.

        Raises:
            UsageError: the device cannot do what is asked for.
        """
        device = hardware.resolve_device(self.device)
        for name, wanted in (("tf32", self.precision == "tf32"), ("sync_batchnorm", self.sync_batchnorm)):
            if wanted and device != "cuda":
                raise UsageError(f"{name} is for GPUs, and the device is {device}.")
        options = {name: True for name in ("sync_batchnorm", "compile") if getattr(self, name)}
        return {"precision": hardware.resolve_precision(self.precision, device), "device": device, **options}

    def check_batch(self, batch: int) -> None:
        """Raise UsageError unless the processes can share a batch of so many images equally, two or more for each."""
        if batch % self.processes or batch < 2 * self.processes:
            raise UsageError(
                f"batch: {batch} images cannot be shared by {self.processes} processes: name a multiple of "
                f"{self.processes}, two images or more for each."
            )
