"""Products in full precision, whichever of torch's switches the caller has moved, and switches left as they were."""

import os
import threading

import pytest
import torch

from snnl_core import distances
from snnl_core.distances import full_precision

CPU = torch.device("cpu")
CUDA, ONEDNN = torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)
NEW = hasattr(ONEDNN, "fp32_precision")


def moved(owner, name, value):
    return pytest.param(lambda: setattr(owner, name, value), id=f"{name} {value}")


SWITCHES = [
    pytest.param(lambda: None, id="none"),
    moved(CUDA, "allow_tf32", True),
    *(pytest.param(lambda to=to: torch.set_float32_matmul_precision(to), id=to) for to in ("high", "medium")),
    *([moved(CUDA, "fp32_precision", "tf32"), moved(ONEDNN, "fp32_precision", "bf16")] if NEW else []),
]


def told(ask):
    """What a switch says; nothing where torch does not answer, as the caller has moved an older one and a newer one."""
    try:
        return ask()
    except RuntimeError:
        return None


def switches():
    new = [CUDA.fp32_precision, ONEDNN.fp32_precision] if NEW else []
    return [*new, told(lambda: CUDA.allow_tf32), told(torch.get_float32_matmul_precision)]


@pytest.mark.parametrize("move", SWITCHES)
def test_all_of_them_agree_inside_and_are_left_as_they_were(move):
    """torch raises within products on a GPU where its older and its newer switch differ."""
    try:
        move()
        before = switches()
        with full_precision(CPU), full_precision(CPU):
            assert switches() == [*(["ieee"] * 2 if NEW else []), False, "highest"]
        assert switches() == before
        with pytest.raises(KeyError), full_precision(CPU):
            raise KeyError
        assert switches() == before
    finally:
        for owner in (CUDA, ONEDNN) if NEW else ():
            owner.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")
        for owner in (CUDA, ONEDNN) if NEW else ():
            owner.fp32_precision = "none"


@pytest.mark.parametrize("move", SWITCHES)
def test_whoever_goes_in_has_it_whatever_was_moved_while_another_is_inside(move):
    """As by another thread, or after an interrupt has kept somebody from leaving."""
    before = switches()
    with full_precision(CPU):
        move()
        with full_precision(CPU):
            assert switches() == [*(["ieee"] * 2 if NEW else []), False, "highest"]
    assert switches() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_can_go_in_that_was_made_while_another_thread_did():
    inside = threading.Event()

    def hold():
        with distances._INSIDE.lock:
            inside.set()
            threading.Event().wait(0.05)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        os._exit(not distances._INSIDE.lock.acquire(timeout=0.5))
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
