"""This process's part of a batch."""

import pytest
import torch

from lab import processes


@pytest.fixture
def be(monkeypatch):
    """Be one of several processes."""

    def be(rank, world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))

    return be


def test_alone_everything_is_ones_own(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (processes.rank(), processes.world_size()) == (0, 1)
    batch = torch.arange(6)
    assert processes.share(batch).equal(batch)


@pytest.mark.parametrize("rank, world", [(3, ""), (3, 0), (0, "all"), (0, -2), (3, 3), ("x", 2), ("", 2), (-1, 2)])
def test_what_is_no_number_of_processes_or_of_one_of_them_says_nothing(be, rank, world):
    be(rank, world)
    assert (processes.rank(), processes.world_size()) == (0, 1)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_parts_make_the_whole_in_order(be, world):
    batch, parts = torch.arange(12).view(6, 2), []
    for rank in range(world):
        be(rank, world)
        parts.append(processes.share(batch))
    assert torch.cat(parts).equal(batch)
    assert len({len(part) for part in parts}) == 1


def test_a_batch_that_cannot_be_parted_is_refused(be):
    be(0, 4)
    with pytest.raises(ValueError, match="6 cannot be shared equally by 4"):
        processes.share(torch.arange(6))


def test_all_draw_the_same_and_take_their_part(be):
    torch.manual_seed(0)
    whole, after = torch.rand(8), torch.rand(1)
    for rank in range(2):
        be(rank, 2)
        torch.manual_seed(0)
        part = processes.uniform(4, torch.device("cpu"))
        assert part.equal(whole[4 * rank : 4 * rank + 4])
        assert torch.rand(1).equal(after), "the generators stay together"


def test_a_draw_is_the_same_for_every_device():
    """A GPU's own generator draws other numbers from the same seed."""
    torch.manual_seed(0)
    _, after = torch.rand(8), torch.rand(1)
    torch.manual_seed(0)
    assert processes.uniform(8, torch.device("meta")).device.type == "meta"
    assert torch.rand(1).equal(after), "it came from the processor's"
