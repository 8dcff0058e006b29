"""How products are computed: on GPUs, and those of bf16 numbers on processors that do not compute in it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from lab import machine
from lab.training.checkpoint import Arithmetic

aten = torch.ops.aten
PRODUCTS = {
    operator.default
    for operator in (aten.convolution, aten.convolution_backward, aten.mm, aten.addmm, aten.bmm, aten.baddbmm)
}
"""What convolutions, linear layers and products of matrices, and their derivatives, come down to below autograd.

Attention is left to torch, whose loops for it take up to three times as long as in float32.
"""


def set_gpu_arithmetic(*, tf32: bool = False) -> None:
    """How GPUs compute all that this process does after it: float32 products in TF32 or not, and the same bits twice.

    Unasked, torch rounds products of convolutions to TF32, and cuDNN sums their gradients in another order each time.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    for kind in (getattr(torch.backends.cudnn, name, None) for name in ("conv", "rnn")):
        if hasattr(kind, "fp32_precision"):  # in a newer torch they else follow what others say of all products
            kind.fp32_precision = "tf32" if tf32 else "ieee"  # type: ignore[union-attr]
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


class InFloat32(TorchDispatchMode):
    """Where a block runs, products of bf16 tensors are summed in float32 and rounded to bf16, once.

    So does a processor that computes in bf16, with its sums in another order. Everything else stays as it is, also what
    is written over a tensor (`out=`) or runs in inference mode, where no layer comes down to `PRODUCTS`; torch.compile
    has no effect in the block.
    """

    def __torch_dispatch__(
        self, operator: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if operator not in PRODUCTS or args[0].dtype is not torch.bfloat16:
            return operator(*args, **(kwargs or {}))
        product = operator(*tree_map_only(Tensor, Tensor.float, args), **(kwargs or {}))
        return tree_map_only(Tensor, Tensor.bfloat16, product)


def bf16_products(arithmetic: Arithmetic) -> AbstractContextManager[object]:
    """Where the steps of a training run, forward and backward.

    Without bf16 of its own a processor has torch's plain loops, which take ten to a hundred times as long as float32.
    """
    return InFloat32() if machine.imitates_bf16(arithmetic.precision, arithmetic.device) else nullcontext()
