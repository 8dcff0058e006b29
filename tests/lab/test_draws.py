"""Draws are functions of (seed, step)."""

import pytest
import torch

from lab.errors import UsageError
from lab.training.draws import batch_indices, carve, derive_seed, random_generator, subset


@pytest.mark.parametrize("n, batch", [(10, 3), (8, 4), (5, 12), (128, 128)])
def test_batches_are_epochs_without_replacement_end_to_end(n, batch):
    steps = 3 * n
    drawn = torch.cat([batch_indices(n, batch, seed=1, step=step) for step in range(steps)])
    assert len(drawn) == steps * batch
    for epoch in drawn[: len(drawn) // n * n].view(-1, n):
        assert epoch.sort().values.equal(torch.arange(n))


def test_a_batch_does_not_depend_on_what_was_drawn_before():
    late = batch_indices(100, 7, seed=3, step=50)
    torch.rand(5)
    assert batch_indices(100, 7, seed=3, step=50).equal(late)
    assert not batch_indices(100, 7, seed=4, step=50).equal(late)


def test_epochs_differ():
    assert not batch_indices(50, 50, 0, 0).equal(batch_indices(50, 50, 0, 1))


def test_seeds_of_different_purposes_differ():
    seeds = {derive_seed(0, "a", 1), derive_seed(0, "a", 2), derive_seed(0, "b", 1), derive_seed(1, "a", 1)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "a", 1) == 3975144308853378137, "what was trained before is drawn anew with it"
    assert torch.rand(1, generator=random_generator(0, "a")).equal(torch.rand(1, generator=random_generator(0, "a")))


def test_subsets_are_without_replacement():
    assert subset(20, 20, 0, "x").sort().values.equal(torch.arange(20))
    assert len(set(subset(1000, 50, 0, "x").tolist())) == 50
    with pytest.raises(UsageError, match="21 images are asked for and there are 20"):
        subset(20, 21, 0, "x")


def test_carved_parts_are_disjoint_whole_and_decided_by_the_seed():
    fit, held = carve(101, 0.2, seed=3)
    assert len(held) == 20 and torch.cat([fit, held]).sort().values.equal(torch.arange(101))
    assert all(part.equal(part.sort().values) for part in (fit, held))
    assert carve(101, 0.2, seed=3)[1].equal(held) and not carve(101, 0.2, seed=4)[1].equal(held)
    assert carve(5, 0, seed=0)[0].equal(torch.arange(5)) and not len(carve(5, 0, seed=0)[1])


def test_what_was_trained_before_is_parted_and_drawn_anew_as_it_was():
    order = lambda n, *key: torch.randperm(n, generator=random_generator(3, *key))  # noqa: E731
    assert carve(101, 0.2, seed=3)[1].equal(order(101, "validation")[:20].sort().values)
    assert batch_indices(50, 50, seed=3, step=1).equal(order(50, "epoch", 1))
    assert subset(20, 5, 3, "x", 7).equal(order(20, "x", 7)[:5])
