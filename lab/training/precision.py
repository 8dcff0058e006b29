"""How precise the float32 products of GPUs are, which torch does not ask before it rounds those of convolutions."""

import torch


def allow_tf32(allowed: bool) -> None:
    """Whether GPUs may round float32 products to TF32; it holds for all that this process does after it."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
