#!/usr/bin/env bash
# torch 2.14.1: what `torch.manual_seed` does on a machine without a GPU.
#
# Guess: it writes one number into the processor's generator, in about a microsecond, so that a loop may seed each of
#        its steps.
# Seen:  for three kinds of accelerators (CUDA, XPU, MTIA), none of which is in use, it puts the seed into a queue, and
#        beside it the whole stack of calls as lines of text, for a message that would say who asked. So it takes a
#        hundred times as long and longer, and the longer the deeper in a program it is called.
#
# `torch.default_generator.manual_seed(seed)` seeds the processor alone, to the same draws; `torch.cuda.manual_seed_all`
# is only needed once CUDA is in use.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1"
cat > "$place/seeds.py" <<'PYTHON'
import sys
import time
import traceback
from unittest import mock

import torch


def at(depth, work):
    return work() if not depth else at(depth - 1, work)


def microseconds(seed):
    def many():
        start = time.perf_counter()
        for number in range(200):
            seed(number)
        return (time.perf_counter() - start) / 200 * 1e6

    return {depth: min(at(depth, many) for _ in range(5)) for depth in (0, 50)}


with mock.patch.object(traceback, "format_stack", wraps=traceback.format_stack) as formatted:
    torch.manual_seed(3)
stacks, drawn = formatted.call_count, torch.rand(4)
torch.default_generator.manual_seed(3)
same = torch.equal(drawn, torch.rand(4))
usual, alone = microseconds(torch.manual_seed), microseconds(torch.default_generator.manual_seed)
print(f"stacks formatted by one torch.manual_seed: {stacks}")
for name, found in (("torch.manual_seed", usual), ("torch.default_generator.manual_seed", alone)):
    print(f"{name}: {found[0]:.1f} microseconds, {found[50]:.1f} below 50 calls more")
print(f"the same draws: {same}")
expected = stacks == 3 and same and usual[0] > 10 * alone[0] and usual[50] > 2 * usual[0]
print("as described" if expected else "CHANGED")
sys.exit(not expected)
PYTHON
"$place/venv/bin/python" "$place/seeds.py"
