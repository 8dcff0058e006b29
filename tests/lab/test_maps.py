"""Maps whose gradient lies as they do."""

import pytest
import torch

from lab.training.maps import channels_last_gradient

LAST = torch.channels_last


@pytest.mark.parametrize("onwards", [lambda maps: maps.flatten(1), lambda maps: maps.mean((2, 3))])
@pytest.mark.parametrize("last", [True, False])
def test_the_gradient_lies_as_the_maps_and_is_the_same(onwards, last):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    x = (x.contiguous(memory_format=LAST) if last else x).requires_grad_()

    def gradient(mark):
        arrived = []
        maps = mark(torch.nn.functional.leaky_relu(x, 0.2))
        maps.register_hook(arrived.append)
        (found,) = torch.autograd.grad(onwards(maps).square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(found.square().sum(), x)
        return arrived[0], found, second

    plain, marked = gradient(lambda maps: maps), gradient(channels_last_gradient)
    assert plain[0].is_contiguous()
    assert marked[0].is_contiguous(memory_format=LAST) == last
    assert all(map(torch.equal, plain, marked))


def test_without_a_gradient_nothing_is_hooked():
    assert channels_last_gradient(torch.zeros(1, 2, 3, 3).contiguous(memory_format=LAST))._backward_hooks is None
