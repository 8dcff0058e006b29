"""Products of bf16 numbers, summed in float32: against float64, beside other dtypes, and where a training runs."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from lab import machine
from lab.training.checkpoint import Arithmetic
from lab.training.precision import InFloat32, bf16_products

PRODUCTS = {
    "convolution": (partial(F.conv2d, stride=2, padding=1), (4, 6, 9, 9), (8, 6, 4, 4), (8,)),
    "transposed convolution": (partial(F.conv_transpose2d, stride=2, padding=1), (4, 6, 5, 5), (6, 8, 4, 4), (8,)),
    "groups": (partial(F.conv2d, groups=3), (4, 6, 5, 5), (9, 2, 3, 3), (9,)),
    "linear layer": (F.linear, (7, 33), (5, 33), (5,)),
    "matrices": (torch.matmul, (7, 33), (33, 5)),
    "stacks of matrices": (torch.matmul, (3, 7, 33), (3, 33, 5)),
    "sum with stacks": (torch.baddbmm, (3, 7, 5), (3, 7, 33), (3, 33, 5)),
}
ROUNDED = 2.0**-8
"""The rounding of a number to bf16, at most, as a share of it."""


def drawn(*shapes):
    """Standard normal numbers of the shapes that bf16 holds, in float64; maps with the channels last."""
    torch.manual_seed(0)
    made = [torch.randn(shape).bfloat16().double() for shape in shapes]
    return [each.contiguous(memory_format=torch.channels_last) if each.dim() == 4 else each for each in made]


def with_gradients(product, numbers, dtype):
    """What the product gives, and its derivatives by each of the numbers, of one given gradient."""
    numbers = [each.to(dtype).requires_grad_() for each in numbers]
    given = product(*numbers)
    (weights,) = drawn(given.shape)
    return [given, *torch.autograd.grad(given, numbers, weights.to(dtype))]


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_and_its_derivatives_are_those_of_float64_rounded_once(name):
    """Sums of normal numbers are off by some 1e-6 in float32: nothing beside the one rounding, and it is there."""
    product, *shapes = PRODUCTS[name]
    exact = with_gradients(product, drawn(*shapes), torch.float64)
    order = [each.stride() for each in with_gradients(product, drawn(*shapes), torch.float32)]
    with InFloat32():
        found = with_gradients(product, drawn(*shapes), torch.bfloat16)
    assert [each.stride() for each in found] == order
    for one, other in zip(found, exact, strict=True):
        assert one.dtype is torch.bfloat16
        assert ((one - other).abs() <= ROUNDED * other.abs() + 1e-4).all()


def test_a_gradient_of_a_gradient_is_summed_in_float32_too():
    def penalty(dtype):
        x, weight, head = [each.to(dtype).requires_grad_() for each in drawn((2, 3, 8, 8), (4, 3, 3, 3), (36, 1))]
        scores = F.conv2d(x, weight, stride=2).tanh().flatten(1) @ head
        (by_x,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        return torch.autograd.grad(by_x.square().sum(), weight)[0]

    exact = penalty(torch.float64)
    with InFloat32():
        found = penalty(torch.bfloat16)
    assert found.dtype is torch.bfloat16
    assert (found - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_other_numbers_keep_every_bit(name, dtype):
    product, *shapes = PRODUCTS[name]
    plain = with_gradients(product, drawn(*shapes), dtype)
    with InFloat32():
        inside = with_gradients(product, drawn(*shapes), dtype)
    assert all(torch.equal(one, other) and one.dtype is dtype for one, other in zip(inside, plain, strict=True))


@pytest.mark.parametrize(
    "flags, arithmetic, summed",
    [
        ((), ("cpu", "bf16"), True),
        ((), ("cpu", "float32"), False),
        ((), ("cuda", "bf16"), False),
        (("avx512_bf16",), ("cpu", "bf16"), False),
        (("amx_bf16",), ("cpu", "bf16"), False),
    ],
)
def test_it_is_for_processors_that_do_not_compute_in_bf16(monkeypatch, flags, arithmetic, summed):
    monkeypatch.setattr(machine, "processor", lambda: ("a processor", frozenset(flags)))
    assert isinstance(bf16_products(Arithmetic(*arithmetic)), InFloat32) == summed
