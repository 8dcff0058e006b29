#!/usr/bin/env bash
# Accelerate 1.15.0: what a step of an optimizer does that `Accelerator.prepare` has given back, on one processor, with
# nothing to scale and nothing to accumulate.
#
# Guess: it calls the step of the optimizer within, and no more: which libraries are installed is found once.
# Seen:  each step asks twice whether a certain library of optimizers can be imported, through all finders of modules.
#        As it is not installed, nothing remembers the answer: each time all folders that modules are imported from are
#        asked of the disk. It takes about 80 microseconds here, three times as long as SGD's step of a small network, and
#        longer with more such folders, or on a disk of a network.
#
# Where nothing of it is needed (no fp16 scaler, no gradients accumulated, no XLA), `prepare` the network alone and step
# the optimizer itself: the same parameters, bit for bit.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "accelerate==1.15.0" "torch==2.14.1" "numpy==2.4.1"
cat > "$place/steps.py" <<'PYTHON'
import sys
import time

import torch
from accelerate import Accelerator

STEPS = 500
asked = []


class Told:
    """A finder that finds nothing, and keeps what it was asked for."""

    def find_spec(self, name, path=None, target=None):
        asked.append(name)


def trained(wrapped):
    torch.default_generator.manual_seed(0)
    network = torch.nn.Linear(8, 8)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    network, prepared = accelerator.prepare(network, optimizer)
    step = prepared.step if wrapped else optimizer.step
    network(torch.ones(4, 8)).square().mean().backward()
    step()
    asked.clear()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    seconds = time.perf_counter() - start
    return network.weight.detach(), len(asked) / STEPS, sorted(set(asked)), seconds / STEPS * 1e6


accelerator = Accelerator(cpu=True)
sys.meta_path.insert(0, Told())
rounds = [(trained(True), trained(False)) for _ in range(5)]
usual, alone = rounds[0]
times = [min(each[kind][3] for each in rounds) for kind in (0, 1)]
same = torch.equal(usual[0], alone[0])
print(f"modules asked for in a step of the prepared optimizer: {usual[1]:g} {usual[2]}")
print(f"in a step of the optimizer itself: {alone[1]:g} {alone[2]}")
print(f"a step: {times[0]:.0f} and {times[1]:.0f} microseconds; the same parameters: {same}")
expected = usual[1] == 2 and len(usual[2]) == 1 and not alone[2] and same and times[0] > 2 * times[1]
print("as described" if expected else "CHANGED")
sys.exit(not expected)
PYTHON
"$place/venv/bin/python" "$place/steps.py"
