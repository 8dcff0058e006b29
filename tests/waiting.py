"""Waiting for what happens elsewhere, which fails where it does not happen: a suite that hangs tells nothing."""

import time


def wait_for(condition, seconds=60, pause=0.01):
    """Wait until the condition holds; an error after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {seconds} s"
        time.sleep(pause)
