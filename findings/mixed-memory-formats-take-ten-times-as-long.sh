#!/usr/bin/env bash
# torch 2.14.1, processors: what `flatten` costs a network whose maps lie with the channels last.
#
# Guess: `maps.flatten(1)` before a linear layer copies the maps once, and going back the gradient is read in another
#        order than it is stored in, once: the layer before it takes perhaps twice as long.
# Seen:  the gradient arrives in plain order while the maps have their channels last, and the derivative of the
#        activation, which reads both, takes about ten times as long as with either order alone: longer than copying
#        the gradient to the other order first and computing it then, by several times. One such layer was 6 to 9 % of
#        a whole training step of a small convolutional network.
#
# So a hook on the maps that calls `contiguous(memory_format=torch.channels_last)` on the gradient pays at once; the
# values are the same, bit for bit.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1"
"$place/venv/bin/python" - <<'PYTHON'
import sys
import time

import torch

torch.set_num_threads(1)
last = torch.channels_last


def milliseconds(work):
    """The fastest of many."""
    work()
    times = []
    for _ in range(60):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


maps = torch.randn(128, 128, 8, 8).to(memory_format=last).requires_grad_()
arrived = []
active = torch.nn.functional.leaky_relu(maps, 0.2)
active.register_hook(lambda gradient: arrived.append(gradient.is_contiguous()))
active.flatten(1).square().sum().backward()
derivative = torch.ops.aten.leaky_relu_backward
x, plain = maps.detach(), torch.randn(128, 128, 8, 8)
works = {
    "both with the channels last": lambda: derivative(plain_as_last, x, 0.2, False),
    "a plain gradient": lambda: derivative(plain, x, 0.2, False),
    "a plain gradient, copied first": lambda: derivative(plain.contiguous(memory_format=last), x, 0.2, False),
}
plain_as_last = plain.contiguous(memory_format=last)
took = {name: milliseconds(work) for name, work in works.items()}
print(f"flatten's gradient arrives in plain order: {arrived[0]}")
for name, value in took.items():
    print(f"derivative of leaky ReLU, {name}: {value:.2f} ms")
same, mixed, copied = took.values()
equal = torch.equal(derivative(plain, x, 0.2, False), derivative(plain_as_last, x, 0.2, False))
expected = arrived[0] and equal and mixed > 4 * same and mixed > 2 * copied
print("as described" if expected else "CHANGED")
sys.exit(not expected)
PYTHON
