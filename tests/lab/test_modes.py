"""Networks that are looked at are left in the modes that they were in."""

import pytest
from torch import nn

from lab.training.modes import evaluating


class BrokenError(Exception):
    """What a block raises."""


@pytest.mark.parametrize("breaks", [False, True])
def test_each_module_is_in_its_own_mode_again_whatever_happens(breaks):
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2).eval()))
    network[1].add_module("shared", network[0])
    modes = [module.training for module in network.modules()]
    assert any(modes) and not all(modes)
    try:
        with evaluating(network):
            assert not any(module.training for module in network.modules())
            if breaks:
                raise BrokenError
    except BrokenError:
        assert breaks
    assert [module.training for module in network.modules()] == modes
