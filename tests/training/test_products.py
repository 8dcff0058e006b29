"""Trainings in bf16 on a processor without it: no product of a step is left to torch's own loops."""

import pytest
import torch
from making import NOWHERE
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

import classifiers._loop
import gans._loop
from classifiers._config import TrainingConfig as ClassifierConfig
from gans._config import TrainingConfig as GanConfig
from lab.training.precision import InFloat32

aten = torch.ops.aten
KNOWN = {*flop_registry, aten.mv, aten.addmv, aten.dot, aten.addbmm}
"""Operators of products: all whose operations torch counts, and some that it does not."""
SMALL = {"width": 2, "latent": 4, "batch": 16}
GANS = [
    {"gan": gan, "settings": {**SMALL, "backbone": backbone, "conditional": conditional}, "kimg": 1, "snapshots": ()}
    for gan, backbone, conditional in (
        ("dcgan", "cnn", False),
        ("wgan-gp", "resnet", False),
        ("sngan", "resnet", True),
        ("r3gan", "cnn", True),
    )
]
CLASSIFIERS = [
    {"classifier": "cnn", "settings": {"width": 2}, "alpha": -0.01},
    {"classifier": "mlp", "settings": {"width": 4}},
    {"classifier": "resnet", "settings": {"depth": 1}},
]
TRAININGS = {one["gan"]: (gans._loop, GanConfig, one) for one in GANS} | {
    one["classifier"]: (classifiers._loop, ClassifierConfig, one) for one in CLASSIFIERS
}


class Products(TorchDispatchMode):
    """The dtypes of the numbers that products are made of."""

    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if operator.overloadpacket in KNOWN:
            self.dtypes |= {each.dtype for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)}
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", TRAININGS)
def test_every_product_of_a_step_is_summed_in_float32(name):
    loop, config, values = TRAININGS[name]
    training = loop.begin(config.parse({**values, "precision": "bf16", "device": "cpu"}), NOWHERE)
    with Products() as computed, InFloat32(), Products() as asked:
        loop.train_step(training)
    assert torch.bfloat16 in asked.dtypes and computed.dtypes == {torch.float32}
