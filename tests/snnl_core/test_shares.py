"""Tiles shared out among threads: the same results in the same order, and nothing of it left behind."""

import multiprocessing
import sys
import threading
import time
from concurrent import futures
from concurrent.futures import thread

import pytest
import torch

from snnl_core import entanglement, shares, soft_nearest_neighbor_loss, tiles
from snnl_core.shares import in_order

LIKE, MANY = torch.zeros(()), 1 << 30


@pytest.fixture
def threads():
    """A function that sets how many threads there are."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def shared(monkeypatch):
    """Tiles so small that 200 points have many, and threads that share out whatever there is; counts how often."""
    monkeypatch.setattr(tiles, "ROWS", 16)
    monkeypatch.setattr(tiles, "ENTRIES", 16 * 20)
    monkeypatch.setattr("snnl_core.pairs.SMALL", 0)
    monkeypatch.setattr(shares, "PAIRS", 1)
    pools, one = [], shares._pool
    monkeypatch.setattr(shares, "_pool", lambda *given: pools.append(given) or one(*given))
    return pools


def test_results_come_in_order_whoever_is_first_and_no_two_share_a_room(threads):
    threads(3)
    taken, seen = threading.Lock(), set()

    def work(item, room):
        assert room.acquire(blocking=False), "two calls at once in one room"
        with taken:
            seen.add(threading.get_ident())
        time.sleep(0.002 * (item % 3))
        room.release()
        return item * item, torch.is_grad_enabled(), torch.get_num_threads()

    found = list(in_order(work, range(40), threading.Lock, LIKE, MANY))
    assert found == [(i * i, False, 1) for i in range(40)]
    assert len(seen) == 3 and threading.get_ident() not in seen
    assert torch.get_num_threads() == 3


def test_it_is_shared_out_in_inference_mode(threads, shared):
    threads(3)
    x, labels = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 3
    expected = entanglement(x, labels)
    with torch.inference_mode():
        found = entanglement(x.clone(), labels)
        assert float(soft_nearest_neighbor_loss(x.clone(), labels, 3.0)) > 0
    assert shared and found.loss == expected.loss


@pytest.mark.parametrize(("many", "pairs"), [(1, MANY), (3, shares.PAIRS)])
def test_with_one_thread_or_little_work_all_is_done_here(threads, many, pairs):
    threads(many)
    found = in_order(lambda item, _: (item, threading.get_ident()), range(40), object, LIKE, pairs)
    assert list(found) == [(i, threading.get_ident()) for i in range(40)]


def test_a_forked_process_has_threads_of_its_own(threads):
    threads(2)
    assert list(in_order(lambda item, _: item, range(8), object, LIKE, MANY)) == [*range(8)]
    process = multiprocessing.get_context("fork").Process(target=_in_a_fork)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def _in_a_fork():
    torch.set_num_threads(2)
    assert list(in_order(lambda item, _: item, range(8), object, LIKE, MANY)) == [*range(8)]


def newcomer():
    """How many threads torch has in a thread that is new to it."""
    with futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_threads_that_come_meanwhile_have_as_many_as_ever(threads):
    """torch gives each, for good, what was set last anywhere; while it is set one may still come too early."""
    threads(3)
    all_at_work = threading.Barrier(3)
    list(in_order(lambda item, _: all_at_work.wait(60), range(3), object, LIKE, MANY))
    found = [
        (newcomer(), torch.get_num_threads()) for _ in in_order(lambda item, _: item, range(9), object, LIKE, MANY)
    ]
    assert found == [(3, 1)] * 9
    with futures.ThreadPoolExecutor(1) as pool:
        pool.submit(torch.set_num_threads, 2).result()  # which another thread sets stays, too
    assert list(in_order(lambda item, _: item, range(9), object, LIKE, MANY)) == [*range(9)]
    assert (newcomer(), torch.get_num_threads()) == (2, 3)


def test_a_number_is_set_where_pools_take_no_work(threads, monkeypatch):
    """As in a thread that still works when the main one has ended."""
    threads(3)
    with monkeypatch.context() as patch:
        patch.setattr(thread, "_shutdown", True)
        shares.set_threads(2)
    assert (newcomer(), torch.get_num_threads()) == (3, 2)
    with monkeypatch.context() as patch:  # nor does a thread begin as Python ends: whoever asked for one would wait
        patch.setattr(sys, "is_finalizing", lambda: True)
        patch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a thread is started"))
        shares.set_threads(3)


@pytest.mark.parametrize("where", ["the work", "the taker"])
def test_an_error_ends_all_and_gives_the_threads_back(threads, where):
    threads(2)
    done = []

    def work(item, room):
        done.append(item)
        if where == "the work" and item == 5:
            raise ValueError("the fifth")
        return item

    def take():
        for item in in_order(work, range(1000), object, LIKE, MANY):
            if item == 5:
                raise ValueError("the fifth")

    with pytest.raises(ValueError, match="the fifth"):
        take()
    assert len(done) < 20 and torch.get_num_threads() == 2


def test_a_second_interrupt_gives_the_threads_back_too(threads, monkeypatch):
    """One that comes while those that work are waited for, after the first."""

    def wait(waiting):
        raise KeyboardInterrupt

    def work(item, room):
        raise ValueError("the first")

    threads(2)
    monkeypatch.setattr(shares, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        list(in_order(work, range(8), object, LIKE, MANY))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("temperature", [1000.0, 0.01], ids=["by the kernel", "from each nearest point"])
def test_threads_change_neither_loss_nor_gradient(threads, shared, temperature):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.arange(200) % 3

    def found(many):
        threads(many)
        loss = soft_nearest_neighbor_loss(x, labels, temperature)
        return loss.detach(), *torch.autograd.grad(loss, x)

    one = found(1)
    assert not shared
    for several in (found(2), found(3)):
        torch.testing.assert_close(several, one, rtol=1e-12, atol=1e-14)
    assert len(shared) == 2


def test_threads_change_no_measurement(threads, shared):
    generator = torch.Generator().manual_seed(1)
    x, labels = torch.randn(200, 5, generator=generator, dtype=torch.float64), torch.arange(200) % 3

    def found(many):
        threads(many)
        return entanglement(x, labels, groups=labels % 2)

    one, several = found(1), found(3)
    assert shared and several.loss == pytest.approx(one.loss, rel=1e-9)
    torch.testing.assert_close(several.class_pairs, one.class_pairs, rtol=1e-6, atol=0)
