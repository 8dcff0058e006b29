#!/usr/bin/env bash
# torch 2.14.1, torch.linspace and torch.arange on x86 processors.
#
# Guess: number k of a ramp is a formula of k, the ends and the count (numpy's is: start + k * step). So the same call gives
#        the same bits on every processor, and at the least linspace(0, 1, 101) never falls below k / 100.
# Seen:  with vectors and without, 9 of the 101 float64 numbers of linspace and 2 of arange have other last bits. With
#        vectors three numbers of linspace lie below k / 100 (k = 56, 68, 81), without them five (65 to 68, 93): a share of
#        exactly that is counted as above the level, and at other levels on another processor. numpy's ramp lies below at
#        none, and integers divided by 100 are k / 100 on both.
#
# So thresholds, levels and bin edges that are made as a ramp, and then compared with numbers that were made by division
# (shares, p-values), are another set on another processor. Divide integers: torch.arange(101) / 100.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1"
cat >"$place/ramp.py" <<'PYTHON'
import json

import numpy
import torch

levels = [k / 100 for k in range(101)]
made = {
    "linspace": torch.linspace(0, 1, 101, dtype=torch.float64),
    "arange": torch.arange(0, 1.005, 0.01, dtype=torch.float64),
    "divided": torch.arange(101, dtype=torch.float64) / 100,
    "numpy": torch.from_numpy(numpy.linspace(0, 1, 101)),
}
print(json.dumps({name: numbers.tolist() for name, numbers in made.items()} | {"levels": levels}))
PYTHON
for unit in default avx2; do
  ATEN_CPU_CAPABILITY=$unit "$place/venv/bin/python" "$place/ramp.py" >"$place/$unit.json"
done
cat >"$place/compare.py" <<'PYTHON'
import json
import sys
from pathlib import Path

plain, vectors = (json.loads((Path(sys.argv[1]) / f"{unit}.json").read_text()) for unit in ("default", "avx2"))
moved, below = {}, {}
for name in ("linspace", "arange", "divided", "numpy"):
    moved[name] = sum(a != b for a, b in zip(plain[name], vectors[name], strict=True))
    for unit, made in (("without vectors", plain), ("with vectors", vectors)):
        below[name, unit] = [k for k, (a, b) in enumerate(zip(made[name], made["levels"], strict=True)) if a < b]
    print(f"{name}: {moved[name]} of 101 numbers are others with vectors than without; below k / 100 at k =")
    print(f"    without vectors {below[name, 'without vectors']}, with vectors {below[name, 'with vectors']}")
steady = moved["divided"] == moved["numpy"] == 0 and not any(below[n, u] for n, u in below if n in ("divided", "numpy"))
apart = moved["linspace"] > 0 and moved["arange"] > 0
apart &= below["linspace", "with vectors"] != below["linspace", "without vectors"] != []
print("as described" if steady and apart else "CHANGED")
sys.exit(not (steady and apart))
PYTHON
python3 "$place/compare.py" "$place"
