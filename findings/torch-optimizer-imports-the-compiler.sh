#!/usr/bin/env bash
# torch 2.14.1: what making an optimizer imports.
#
# Guess: `torch.optim.SGD(parameters)` stores a list and a few numbers. Who never calls `torch.compile` never loads it.
# Seen:  the constructor adds its parameters by a method that is kept from being compiled, and to keep it so the whole
#        compiler is imported: `torch._dynamo` and, with it, `torch._inductor` and `sympy`, several hundred modules. That
#        is most of another `import torch`, in every process that trains, at the first optimizer.
#
# So a forward and backward pass is no warm-up for timing a first step, and a process that is to start fast, or to be
# forked from one that is warm, should have made an optimizer.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1"
"$place/venv/bin/python" - <<'PYTHON'
import sys
import time

start = time.process_time()
import torch

torch_seconds, before = time.process_time() - start, set(sys.modules)
layer = torch.nn.Linear(2, 2)
layer(torch.zeros(1, 2)).sum().backward()
after_a_pass, start = set(sys.modules), time.process_time()
torch.optim.SGD(layer.parameters(), lr=0.1)
seconds, new = time.process_time() - start, set(sys.modules) - after_a_pass
print(f"import torch: {len(before)} modules, {torch_seconds:.1f} s of the processor")
print(f"a forward and backward pass: {len(after_a_pass - before)} more")
print(f"an optimizer of one layer: {len(new)} more, {seconds:.1f} s")
expected = {"torch._dynamo", "torch._inductor", "sympy"} <= new and len(new) > 300
print("as described" if expected else "CHANGED")
sys.exit(not expected)
PYTHON
