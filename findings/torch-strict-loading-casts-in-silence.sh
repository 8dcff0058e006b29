#!/usr/bin/env bash
# torch 2.14.1: what `load_state_dict(strict=True)` is strict about.
#
# Guess: strict loading takes what fits. A tensor whose numbers the parameter cannot hold is refused, as a missing name
#        or another shape is.
# Seen:  names and shapes are all that is compared. Numbers are cast as by `copy_`: a float32 weight of 1e6 becomes
#        infinite in a network of half precision, 300 becomes 44 in a buffer of bytes, 0.9 becomes 0 in one of integers,
#        and the answer is "All keys matched successfully", without a warning; only an imaginary part that is dropped is
#        warned of.
#
# So a checkpoint of another precision, or weights that were quantised or counted otherwise, load into a network that
# answers, wrongly. Whoever loads weights of strangers compares dtypes, and looks for what is not finite afterwards.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1" 2>/dev/null
"$place/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import torch
from torch import nn


class Network(nn.Module):
    """One number of each kind."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float16))
        self.register_buffer("bytes", torch.zeros(1, dtype=torch.uint8))
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("real", torch.zeros(1))


given = {"weight": torch.tensor([1e6]), "bytes": torch.tensor([300]), "count": torch.tensor([0.9])}
given["real"] = torch.tensor([1 + 5j])
network = Network()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    answer = network.load_state_dict(given, strict=True)
print(answer)
for name, held in network.state_dict().items():
    print(f"{name:6} in the file {given[name].item()} ({given[name].dtype}), loaded {held.item()} ({held.dtype})")
print(f"warnings: {len(told)}", *(str(warning.message).partition(" (")[0] for warning in told), sep="\n    ")
loaded = [tensor.item() for tensor in network.state_dict().values()]
as_described = loaded == [float("inf"), 44, 0, 1.0] and len(told) == 1 and "imaginary" in str(told[0].message)
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
