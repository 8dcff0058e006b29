#!/usr/bin/env bash
# torch 2.14.1: for whom `torch.set_num_threads` sets the number of threads.
#
# Guess: for the whole process, as its documentation speaks of one number; or, where one knows OpenMP, for the thread
#        that calls it. So a thread of a server that asks for one thread while it works, and gives back what was after
#        it, disturbs nobody in the end.
# Seen:  neither. Threads in which torch has worked before keep their number. One that is new to torch takes what was set
#        last in any thread, and keeps that for good. So one that begins while another thread has asked for a single
#        thread is slow for the rest of its life, although the number was given back.
#
# Who lowers the number for a while sets it back in a new thread right away: what is set there is what newcomers get.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1"
cat > "$place/threads.py" <<'PYTHON'
import sys
from concurrent.futures import ThreadPoolExecutor

import torch

torch.set_num_threads(4)


def threads(pool):
    return pool.submit(torch.get_num_threads).result()


with ThreadPoolExecutor(1) as early, ThreadPoolExecutor(1) as meanwhile, ThreadPoolExecutor(1) as late:
    threads(early)
    torch.set_num_threads(1)
    while_low = {"this one": torch.get_num_threads(), "an earlier one": threads(early), "a new one": threads(meanwhile)}
    torch.set_num_threads(4)
    after = {"this one": torch.get_num_threads(), "an earlier one": threads(early), "the new one": threads(meanwhile)}
    after["one that begins now"] = threads(late)
    torch.set_num_threads(1)
    with ThreadPoolExecutor(1) as newcomer:
        newcomer.submit(torch.set_num_threads, 4).result()
    mended = {"this one": torch.get_num_threads(), "a new one": ThreadPoolExecutor(1).submit(torch.get_num_threads).result()}
print(f"the number is 4; a thread sets 1. Threads have: {while_low}")
print(f"it sets 4 again. Threads have: {after}")
print(f"it sets 1, and a new thread sets 4. Threads have: {mended}")
expected = (
    list(while_low.values()) == [1, 4, 1] and list(after.values()) == [4, 4, 1, 4] and list(mended.values()) == [1, 4]
)
print("as described" if expected else "CHANGED")
sys.exit(not expected)
PYTHON
"$place/venv/bin/python" "$place/threads.py"
