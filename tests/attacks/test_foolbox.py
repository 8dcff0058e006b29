"""Foolbox as oracle: the same network, eps and steps give the same success (the extra `dev` has it)."""

import os

import pytest
import torch
from targets import images_of, trained

from attacks import bim, fgsm, pgd
from attacks._ball import Ball
from attacks._draws import Draws
from attacks._frame import attacked

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # foolbox looks for git when it is imported
foolbox = pytest.importorskip("foolbox")

STEPS, STEP, N = 20, 0.1, 300


@pytest.fixture(scope="module")
def network():
    """Logits of images in [0, 1], in float32 and evaluation mode, as foolbox takes them."""
    target = trained()

    class Logits(torch.nn.Module):
        def forward(self, x):
            return target.logits(x.double())

    target.network.eval()
    yield Logits().eval()
    target.network.train()


def success(network, x, labels):
    with torch.no_grad():
        return float((network(x).argmax(1) != labels).double().mean())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
def test_success_is_within_a_point_of_foolbox(network, name, norm):
    """From the same starts. Its last point is judged by the network's answer; ours is never worse than the last."""
    x, labels = images_of(N, 2)
    module = {"fgsm": fgsm, "bim": bim, "pgd": pgd}[name]
    moves = {} if name == "fgsm" else {"steps": STEPS, "step": STEP}
    met = []
    for eps in {"linf": (0.17, 0.22), "l2": (0.85, 1.05)}[norm]:
        found = attacked(name, trained(), x, labels, module.Config.parse({"norm": norm, "eps": eps, **moves}), seed=1)
        theirs = oracle(name, norm, eps)(*({"rel_stepsize": STEP, "steps": STEPS}.values() if moves else ()))
        _, clipped, _ = theirs(foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu"), x, labels, epsilons=eps)
        if name == "fgsm":
            torch.testing.assert_close(found, clipped, rtol=0, atol=1e-6)
        met.append(success(network, found, labels))
        assert 0 <= met[-1] - success(network, clipped, labels) <= 0.01
    assert 0.02 < met[0] < met[1] < 0.98, "the bounds tell nothing"


def oracle(name, norm, eps):
    """A function that makes foolbox's attack; PGD begins where ours does."""
    attacks = foolbox.attacks
    kinds = {
        "fgsm": {"linf": attacks.LinfFastGradientAttack, "l2": attacks.L2FastGradientAttack},
        "bim": {"linf": attacks.LinfBasicIterativeAttack, "l2": attacks.L2BasicIterativeAttack},
        "pgd": {"linf": attacks.LinfPGD, "l2": attacks.L2PGD},
    }
    kind = kinds[name][norm]

    class Started(kind):
        def get_random_start(self, x0, epsilon):
            own = Ball(x0.raw, norm, eps).anywhere(Draws.by(1, range(len(x0))))
            return foolbox.attacks.base.ep.astensor(own)

    def make(step=None, steps=None):
        settings = {} if step is None else {"rel_stepsize": step, "steps": steps}
        return Started(**settings, random_start=name == "pgd")

    return make
