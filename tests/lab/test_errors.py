"""Errors in one line."""

import io
import sys

import pytest

from lab.errors import UsageError, first_line, out_of_memory, say, telling, unknown_name, visible


def test_a_long_error_is_cut_to_160_characters():
    assert first_line(ValueError("a\n  b")) == "a b" and first_line(KeyError()) == "KeyError"
    assert first_line(ValueError("x" * 160)) == "x" * 160
    assert first_line(ValueError("x" * 161)) == "x" * 157 + "..."


def test_no_name_speaks_to_the_terminal():
    assert visible("a\x1b]0;b\x07\x9b1m\rc\x7f\n\té 図") == "a\\x1b]0;b\\x07\\x9b1m\\rc\\x7f\n\té 図"
    assert visible("gnp\u202e.png \u2066\u2028") == r"gnp\u202e.png \u2066\u2028", "what turns letters round"
    assert visible("\u0628\u200f\u0627 \u4e2d") == "\u0628\u200f\u0627 \u4e2d", "other letters as they are"
    assert visible("a\udcff") == r"a\udcff", "bytes that are no text, which a strict stream refuses"


def test_a_line_for_nobody_is_no_error(monkeypatch):
    """The terminal is closed."""
    nobody = io.StringIO()
    nobody.close()
    monkeypatch.setattr(sys, "stderr", nobody)
    say("a line")


def test_of_many_names_the_nearest_twelve_are_listed_and_of_few_all():
    few, many = [f"name-{i:02}" for i in range(12)], [f"name-{i:02}" for i in range(40)]
    assert str(unknown_name("gan", "other", few)) == f"Unknown gan 'other'. Known: {', '.join(few)}."
    told = str(unknown_name("gan", "name-39x", many))
    assert "did you mean 'name-39'? Known among others: " in told and told.count("name-") == 14
    assert str(unknown_name("gan", "x", [])) == "Unknown gan 'x'. Known: none."


@pytest.mark.parametrize(
    "error, is_it",
    [
        (MemoryError(), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_memory_that_is_used_up_is_known_by_type_and_by_words(error, is_it):
    assert out_of_memory(error) is is_it


def test_what_one_of_several_processes_refuses_is_told_as_one_alone_tells_it():
    """The engine knows no errors of the workbench: of an index that cannot be built it makes another one."""
    with pytest.raises(UsageError, match=r"^faiss makes no index$"), telling("train.npz", say):
        raise RuntimeError("process 0: faiss makes no index") from UsageError("faiss makes no index")
    with pytest.raises(RuntimeError, match="a fault"), telling("train.npz", say):
        raise RuntimeError("a fault") from OSError()
