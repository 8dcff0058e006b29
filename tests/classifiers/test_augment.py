"""Augmentation: a pure function of (seed, step), drawn for the whole batch."""

import pytest
import torch

from classifiers._augment import augmented

KINDS = ("shift", "flip-shift")
REACH = 2
"""A sixteenth-pixel side divided by eight."""


def batch(n=12, channels=3, size=16):
    return torch.randint(1, 256, (n, channels, size, size), dtype=torch.uint8, generator=torch.manual_seed(0))


def possible(image, kind):
    """Every image that one may become, by (down, right, mirrored)."""
    size = image.shape[-1]
    for mirrored in (False, True)[: 1 + (kind == "flip-shift")]:
        for down in range(-REACH, REACH + 1):
            for right in range(-REACH, REACH + 1):
                found = torch.zeros_like(image)
                rows, columns = slice(max(down, 0), size + min(down, 0)), slice(max(right, 0), size + min(right, 0))
                from_rows, from_columns = (slice(max(-move, 0), size + min(-move, 0)) for move in (down, right))
                found[:, rows, columns] = image[:, from_rows, from_columns]
                yield (down, right, mirrored), found.flip(2) if mirrored else found


def what_happened(images, changed, kind):
    for image, result in zip(images, changed, strict=True):
        yield [move for move, found in possible(image, kind) if found.equal(result)]


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_shifted_and_mirrored_and_nothing_else(kind):
    images = batch()
    seen = set()
    for step in range(20):
        moves = list(what_happened(images, augmented(images, kind, 0, step), kind))
        assert all(len(found) == 1 for found in moves)
        seen |= {found[0] for found in moves}
    assert {move[0] for move in seen} == {move[1] for move in seen} == set(range(-REACH, REACH + 1))
    assert {move[2] for move in seen} == ({False, True} if kind == "flip-shift" else {False})


@pytest.mark.parametrize("kind", KINDS)
def test_seed_and_step_alone_decide(kind):
    images = batch()
    first = augmented(images, kind, 3, 7)
    torch.rand(5)
    assert augmented(images, kind, 3, 7).equal(first)
    assert not augmented(images, kind, 3, 8).equal(first)
    assert not augmented(images, kind, 4, 7).equal(first)
    assert augmented(images.flip(1), kind, 3, 7).equal(first.flip(1)), "channels move together"


@pytest.mark.parametrize("kind", KINDS)
def test_processes_take_their_part_of_what_one_draws(kind, monkeypatch):
    images = batch()
    whole, parts = augmented(images, kind, 0, 5), []
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        parts.append(augmented(images[4 * rank : 4 * rank + 4], kind, 0, 5))
    assert torch.cat(parts).equal(whole)


def test_none_leaves_images_alone_and_none_is_written_to():
    images = batch(channels=1)
    before = images.clone()
    assert augmented(images, "none", 0, 0) is images
    augmented(images, "flip-shift", 0, 0)
    assert images.equal(before)
