#!/usr/bin/env bash
# safetensors 0.8.0 with torch 2.14.1: where the tensors are that `safetensors.torch.load_file` returns.
#
# Guess: in memory, as those of `torch.load` are. So a file that has been read may be written anew, and what was read
#        stays as it was.
# Seen:  in the file, which is mapped. Who writes it anew in its place changes tensors that were loaded before, without
#        a word. So a network that is evaluated while a training saves its next weights over the last ones has parts of
#        both. `torch.load` of the same tensors, `safetensors.torch.load` of the file's bytes, and
#        `safetensors.numpy.load_file` return what was read. A file that is replaced by a rename, as careful writers
#        do, is no matter to any of them.
#
# Clone what `load_file` returns where anybody may write the file, and write files aside to rename them.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1" "safetensors==0.8.0"
cat > "$place/follow.py" <<'PYTHON'
import sys
from pathlib import Path

import safetensors.numpy
import safetensors.torch
import torch

file, other = Path(sys.argv[1]) / "weights.safetensors", Path(sys.argv[1]) / "weights.pt"


def write(value):
    weights = {"weight": torch.full((1000,), value)}
    file.write_bytes(safetensors.torch.save(weights))
    torch.save(weights, other)


write(1.0)
loaded = {
    "torch.load": torch.load(other, weights_only=True),
    "safetensors.torch.load of bytes": safetensors.torch.load(file.read_bytes()),
    "safetensors.numpy.load_file": safetensors.numpy.load_file(file),
    "safetensors.torch.load_file": safetensors.torch.load_file(file),
    "the same, cloned": {name: one.clone() for name, one in safetensors.torch.load_file(file).items()},
}
write(7.0)
found = {name: float(tensors["weight"][0]) for name, tensors in loaded.items()}
print("a file of ones is read, then sevens are written in its place; what was read holds:")
for name, value in found.items():
    print(f"{name:32} {value:g}")
expected = list(found.values()) == [1, 1, 1, 7, 1]
print("as described" if expected else "CHANGED")
sys.exit(not expected)
PYTHON
"$place/venv/bin/python" "$place/follow.py" "$place"
