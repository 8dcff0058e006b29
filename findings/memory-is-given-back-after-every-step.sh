#!/usr/bin/env bash
# torch 2.14.1 on processors, GNU's C library 2.31 and later: where the memory of a training step comes from.
#
# Guess: a training allocates its maps in the first step, and every later step finds the same memory again; torch, or
#        else the C library, keeps it.
# Seen:  torch keeps nothing on a processor, and the C library hands the end of the heap back to the system once more
#        than 64 MB are free there. With more than that in maps, every step takes all of it anew, page by page: tens of
#        thousands of page faults a step, which were a sixth to a third of the time of small convolutional networks.
#
# `MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432` (or `mallopt`) keeps it, at no cost but that of
# the memory that is kept. Timings of two versions of a code mislead as long as one of them crosses that size.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1" 2>/dev/null
cat > "$place/step.py" <<'PYTHON'
import resource
import time

import torch
from torch import nn

torch.set_num_threads(1)
layers = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()]
network = nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3136, 10))
x, labels = torch.randn(128, 1, 28, 28), torch.arange(128) % 10


def step():
    network.zero_grad()
    nn.functional.cross_entropy(network(x), labels).backward()


for _ in range(5):
    step()
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
for _ in range(20):
    step()
faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20
print(f"{faults:.0f} {1000 * (time.process_time() - start) / 20:.1f}")
PYTHON
read -r many slow < <(env -u MALLOC_TRIM_THRESHOLD_ -u MALLOC_MMAP_THRESHOLD_ "$place/venv/bin/python" "$place/step.py")
read -r few fast < <(MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432 "$place/venv/bin/python" "$place/step.py")
echo "as it is: $many page faults a step, $slow ms of the processor"
echo "with both thresholds: $few page faults a step, $fast ms"
if [ "$many" -gt 5000 ] && [ "$few" -lt 500 ]; then echo "as described"; else echo "CHANGED"; exit 1; fi
