"""Several processes against one: the table of WGAN-GP's gradients, and whole trainings."""

from pathlib import Path

import forks
import pytest
import torch

from lab import registry

HERE = Path(__file__).resolve().parent
GANS = [entry.name for entry in registry.entries("gans")]
CASES = [
    *(f"{gan}, {norm}" for gan in GANS for norm in ("norm", "none")),
    *("dcgan, entangled", "sngan, residual", "sngan, conditional", "snnl-gan, saturating"),
]
LOUD = {"penalty last", "only the penalty synchronised"}
"""The last bias has no gradient from the penalty, so DDP misses it, but only notices in the next step."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one and two processes make of the same work, by number of processes."""
    folder = tmp_path_factory.mktemp("processes")
    results = {}
    for world in (1, 2):
        out = folder / f"{world}.pt"
        forks.together(HERE / "processes.py", "main", world, out)
        results[world] = torch.load(out, weights_only=True)
    return results


@pytest.mark.parametrize(
    "pattern, exact",
    [
        ("one backward", True),
        ("penalty on the bare model", True),
        ("penalty first, not synchronised", True),
        ("everything on the bare model", False),
        ("static graph", False),
        ("penalty last", False),
        ("only the penalty synchronised", False),
    ],
)
def test_which_patterns_average_the_critics_gradient(found, pattern, exact):
    one, two = (found[world][pattern]["gradient"] for world in (1, 2))
    error = float((one - two).abs().max() / one.abs().max())
    assert error < 1e-12 if exact else error > 1e-2
    assert found[1][pattern]["error"] == ""
    assert bool(found[2][pattern]["error"]) == (pattern in LOUD), "the others are wrong in silence"


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_does(found, case):
    """In float64, a part in 1e7. With BatchNorm: as one process that normalises the same halves of each batch.

    It also takes a bias out again, whose gradient is rounding: Adam, which divides by it plus 1e-8, makes it larger.
    """
    one, two = (found[world][case] for world in (1, 2))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-7, atol=1e-8, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("wrong", ["everything on the bare model", "static graph"])
def test_the_comparison_tells_what_is_wrong(found, wrong):
    """The critic's weights alone tell, by a thousand times what is allowed; the other patterns end in an error."""
    one, two = found[1]["wgan-gp, none"], found[2][f"wgan-gp, {wrong}"]
    weights = [name for name in one if name.startswith("discriminator.")]
    assert max(float((one[name] - two[name]).abs().max()) for name in weights) > 1e-5
