"""What attacks did: shares by hand, what is shown, and gradients that vanish told aloud."""

import math
from types import SimpleNamespace

import pytest
import torch
from targets import Scored

from attacks import fgsm
from attacks._target import Target
from evaluation import attacked
from evaluation.attacked import Said, measure_attacks
from imagesets import ImageSet

LABELS = torch.tensor([0, 1, 2, 1])
BEFORE = Said(torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 2, 1]), torch.ones(4))


def test_what_is_left_after_an_attack_by_hand():
    """The network had the first three right, of which it loses two, the neighbours all but the second, one of them."""
    after = Said(torch.tensor([1, 1, 0, 1]), torch.tensor([0, 1, 2, 0]), torch.tensor([0.25, 0.5, 0.25, 1.0]))
    assert after.since(BEFORE, LABELS) == pytest.approx(
        {"accuracy": 0.5, "success": 2 / 3, "dknn_accuracy": 0.75, "dknn_success": 1 / 3, "credibility": 0.5}
    )
    none_right = Said(LABELS + 1, LABELS + 1, torch.ones(4))
    found = after.since(none_right, LABELS)
    assert math.isnan(found["success"]) and math.isnan(found["dknn_success"]) and found["accuracy"] == 0.5


class Bright(torch.nn.Module):
    """Of images in [-1, 1], the second class where the first pixel is above a half of the range, by some steepness."""

    def __init__(self, steepness=1.0):
        super().__init__()
        self.steepness = steepness

    def forward(self, x):
        height = self.steepness * x[:, 0, 0, 0]
        return torch.stack([-height, height], 1), {}


@pytest.fixture
def measured(monkeypatch):
    """A function that attacks images by FGSM, whose first pixels are given; what was found, and what was said."""

    def measured(pixels, eps, network):
        def see(images):
            logits = network(2 * images - 1)[0]
            return SimpleNamespace(
                logits=logits, found=SimpleNamespace(labels=logits.argmax(1), credibility=torch.ones(len(images)))
            )

        observer = SimpleNamespace(network=network, knn=None, max_features=10, see=see)
        monkeypatch.setattr(attacked, "observer_of", lambda *_, **__: (observer, None))
        images = torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
        test, said = ImageSet(images, (images[:, 0, 0, 0] > 127).long()), []
        found = measure_attacks(SimpleNamespace(place="here"), test, [("fgsm", fgsm.Config(eps=eps))], say=said.append)
        return found, " ".join(said)

    return measured


def test_the_images_that_an_attack_has_turned_are_shown_first(measured):
    """Pixels within 0.1 of the middle are turned."""
    found, _ = measured([10, 120, 200, 140, 240, 20, 230, 130], 0.1, Bright())
    (one,), before = found.attempts, found.clean.said.predicted
    turned = one.said.predicted != before
    assert turned.sum() == 3 and turned[one.shown].tolist() == [True] * 3 + [False] * 2
    near = (found.images[:, 0, 0, 0] - 0.5).abs() < 0.1
    assert torch.equal(turned, near) and (found.rows[0]["accuracy"], found.rows[1]["accuracy"]) == (1, 5 / 8)
    change = (one.images - found.images[one.shown]).abs()[:, 0, 0, 0]
    torch.testing.assert_close(change, torch.full((5,), 0.1))


@pytest.mark.parametrize("steepness, warned", [(1.0, False), (1e4, True)])
def test_gradients_that_vanish_are_told_aloud(measured, steepness, warned):
    found, said = measured([10, 100, 200, 240], 0.01, Bright(steepness))
    assert found.gradients["vanishing"] == float(warned)
    assert f"those of {found.gradients['vanishing']:.1%} vanish" in said
    assert ("Warning: attacks that follow such gradients fail for that" in said) == warned


def test_a_few_gradients_that_vanish_are_no_masking():
    """Up to one in twenty."""
    said, network = [], Scored(lambda x: torch.stack([x[:, 0, 0, 0] * 0, 1e4 * (x[:, 0, 0, 0] - 0.5)], 1))
    x = torch.full((40, 1, 1, 1), 0.5)
    x[:2] = 0.9
    found = attacked._gradients(Target(network), x, torch.ones(40, dtype=torch.int64), said.append)
    assert found["vanishing"] == 0.05 and len(said) == 1
    x[2] = 0.9
    attacked._gradients(Target(network), x, torch.ones(40, dtype=torch.int64), said.append)
    assert len(said) == 3 and said[2].startswith("Warning")


def test_gradients_that_vanish_without_being_0_are_masking():
    said, network = [], Scored(lambda x: 1e-9 * torch.stack([x[:, 0, 0, 0] * 0, x[:, 0, 0, 0]], 1))
    found = attacked._gradients(Target(network), torch.full((4, 1, 1, 1), 0.5), torch.ones(4).long(), said.append)
    assert found["zero"] == 0 and found["vanishing"] == 1 and "Warning: attacks that follow such" in said[1]


class Chancy(Bright):
    """The same, with noise in every answer."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        logits, features = super().forward(x)
        return logits + self.size * torch.randn_like(logits), features


@pytest.mark.parametrize("size, warned", [(0.0, False), (1e-6, False), (0.1, True)])
def test_a_network_that_answers_by_chance_is_told_aloud(measured, size, warned):
    """Its gradients are of one answer each; a difference as small as rounding makes it is no chance."""
    with torch.random.fork_rng():
        _, said = measured([10, 100, 200, 240], 0.01, Chancy(size))
    assert ("Warning: the network answers the same images otherwise when asked again" in said) == warned
