#!/usr/bin/env bash
# torch 2.14.1 on x86 processors: what batches of another size cost a convolution that is not trained.
#
# Guess: a layer is set up once. A batch that is smaller than those before takes less time and no more memory.
# Seen:  oneDNN compiles code for every number of images anew and keeps it, for up to a thousand shapes of all layers
#        together: 260 batch sizes of one layer of 16 to 32 channels, all smaller than one seen before, left 100 MB
#        (0.4 MB each), and the first batch of a size took a third to half of a millisecond longer.
#
# Batches of one size, the last one filled up, ask for one shape; ONEDNN_PRIMITIVE_CACHE_CAPACITY bounds what is kept.
# The same holds for every other product by oneDNN: the engine rounds the shapes of its tiles up (docs/engine.md).
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.1" 2>/dev/null
cat > "$place/sizes.py" <<'PYTHON'
import statistics
import time
from pathlib import Path

import torch

torch.set_num_threads(1)
layer, images = torch.nn.Conv2d(16, 32, 3, padding=1).eval(), torch.randn(600, 16, 8, 8)


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024


def seconds(size):
    start = time.perf_counter()
    layer(images[:size])
    return time.perf_counter() - start


with torch.no_grad():
    for size in (600, *range(300, 310)):
        layer(images[:size])
    before = resident()
    for _ in range(260):
        layer(images[:300])
    same = resident() - before
    before, times = resident(), [(seconds(size), seconds(size)) for size in range(20, 280)]
    other = resident() - before
later = statistics.median(1000 * (first - second) for first, second in times)
print(f"{same:.0f} {other:.0f} {later:.2f}")
PYTHON
read -r same other later < <("$place/venv/bin/python" "$place/sizes.py")
echo "260 batches of one size: $same MB more; of 260 sizes: $other MB more, the first of each $later ms later than the second"
if [ "$same" -lt 10 ] && [ "$other" -gt 40 ]; then echo "as described"; else echo "CHANGED"; exit 1; fi
