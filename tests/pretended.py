"""A GPU that is pretended: tensors that compute on the processor, and are as strict about devices as those of a GPU.

They say that they lie on `meta`, the one device that torch knows everywhere beside the processor. What torch refuses
of a GPU's tensors is refused of them: a partner on the processor, unless it is one number or an index, a generator of
the processor, and to be read as an array. What a GPU computes otherwise, they cannot tell.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
import torch._dynamo  # else torch imports it during a test, and stumbles over what is patched then
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CPU, GPU = torch.device("cpu"), torch.device("meta")
aten = torch.ops.aten
BETWEEN = {aten._to_copy, aten.copy_, aten.copy}
"""What takes tensors from one device to another."""
MISSING: set[torch.dtype] = set()
"""What the GPU does not compute in."""
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
"""What takes positions on the processor, too, of a GPU's tensor."""
UNORDERED = {aten.index_add, aten.index_add_, aten.scatter_add, aten.scatter_add_, aten.scatter_reduce, aten.cumsum} | {
    *(aten.bincount, aten.histc, aten._adaptive_avg_pool2d_backward, aten.upsample_bilinear2d_backward)
}
"""What adds a real GPU's numbers in whatever order its threads come, as `torch.use_deterministic_algorithms` tells."""
REFUSED = {aten.median.dim, aten.nanmedian.dim, aten.kthvalue.default}
"""What a GPU refuses where a user allows deterministic algorithms alone, and no more: so it is refused here."""
CALLED = set()
"""What was computed with floating numbers since there has been one."""


class Held(Tensor):
    """A tensor of the pretended GPU, over one of the processor."""

    held: Tensor

    @staticmethod
    def __new__(cls, held):
        strides, offset = held.stride(), held.storage_offset()
        kind = {"dtype": held.dtype, "device": GPU, "strides": strides, "storage_offset": offset}
        made = Tensor._make_wrapper_subclass(cls, held.size(), **kind)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), settings=None):
        return _computed(function, arguments, settings or {})

    def tolist(self):
        return self.held.tolist()

    def new_tensor(self, data, **kind):
        return torch.tensor(data, **{"dtype": self.dtype, "device": GPU, **kind})

    def numpy(self, **settings):
        raise TypeError("a GPU's tensor cannot be read as an array: bring it to the processor first.")


class _Made(TorchDispatchMode):
    """Tensors are made there that are asked for there."""

    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        return _computed(function, arguments, settings or {})


@contextmanager
def pretended_gpu(missing=()):
    """There is one meanwhile, and GPU is its device: `tensor.to(GPU)` brings a tensor there, but for missing dtypes."""
    tensor = torch.tensor

    def told(*data, device=None, **kind):
        """Numbers are brought there: of `meta`, torch would drop them before anyone is asked."""
        there = device is not None and torch.device(device) == GPU
        return tensor(*data, device=CPU, **kind).to(GPU) if there else tensor(*data, device=device, **kind)

    def known(of_autocast):
        return lambda kind, *rest, **more: of_autocast(CPU.type if kind == GPU.type else kind, *rest, **more)

    CALLED.clear()
    swaps = torch.__future__.set_swap_module_params_on_conversion
    with (
        ExitStack() as after,
        mock.patch.object(torch, "autocast", known(torch.autocast)),
        mock.patch.object(torch, "is_autocast_enabled", known(torch.is_autocast_enabled)),
        mock.patch.object(torch, "tensor", told),
        mock.patch.object(Tensor, "is_meta", False),  # theirs have numbers
        mock.patch(f"{__name__}.MISSING", {*missing}),
        mock.patch.object(Tensor, "is_cuda", property(lambda self: isinstance(self, Held))),
        _Made(),
    ):
        after.callback(swaps, torch.__future__.get_swap_module_params_on_conversion())
        swaps(True)  # a parameter that is taken there is still the one that an optimizer has
        yield


def _computed(function, arguments, settings):
    tensors = [leaf for leaf in tree_leaves((arguments, settings)) if isinstance(leaf, Tensor)]
    packet, there = function.overloadpacket, any(isinstance(tensor, Held) for tensor in tensors)
    device = settings.get("device")
    if packet not in BETWEEN and there:
        _refuse_strangers(packet, arguments, tensors)
        CALLED.update({packet} if any(tensor.is_floating_point() for tensor in tensors) else ())
    if there and function in REFUSED:
        raise RuntimeError(f"{function} has no deterministic way on a GPU.")
    made_there = there if device is None else torch.device(device).type == GPU.type
    if made_there and settings.get("generator") is not None:
        raise RuntimeError(f"{function}: a generator of the processor draws nothing on a GPU.")
    plain = {name: CPU if isinstance(value, torch.device) else value for name, value in settings.items()}
    found = function(*tree_map(_bare, arguments), **tree_map(_bare, plain))
    if function._schema.is_mutable and not function._schema.name.startswith("aten::_foreach"):
        target = settings["out"] if "out" in settings else arguments[0]
        return target
    return tree_map(lambda each: _there(each) if made_there and isinstance(each, Tensor) else each, found)


def _there(tensor):
    if tensor.dtype in MISSING:
        raise TypeError(f"this GPU has no {tensor.dtype}.")
    return Held(tensor)


def _refuse_strangers(packet, arguments, tensors):
    if packet in INDEXING and isinstance(arguments[0], Held):
        tensors = [arguments[0], *(each for each in arguments[2:3] if isinstance(each, Tensor))]
    strangers = [tensor for tensor in tensors if not isinstance(tensor, Held) and tensor.ndim]
    if strangers:
        raise RuntimeError(f"{packet}: tensors of two devices, {[tuple(each.shape) for each in strangers]} elsewhere.")


def _bare(value):
    return value.held if isinstance(value, Held) else value
