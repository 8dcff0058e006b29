#!/usr/bin/env bash
# matplotlib 3.11.2: what the labels of axes cost that nobody has set.
#
# Guess: an axis without `set_xlabel` has no label, and none is looked after when the figure is laid out and drawn.
# Seen:  the label is there with an empty text, and it is placed like any other: below all ticks, whose texts are
#        measured for it anew, in every pass over the panel. In a figure of many small panels with a constrained layout
#        that is about a quarter of all that is done. `axis.set_label_coords(0, 0)` for each label without a word, before
#        saving, gives the same picture, pixel for pixel, without that.
#
# The work is counted in calls of functions, which are the same on every machine; the time goes with it.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "matplotlib==3.11.2" "numpy==2.4.1" 2>/dev/null
MPLCONFIGDIR="$place" "$place/venv/bin/python" - <<'PYTHON'
import cProfile
import io
import pstats
import sys
import time

from matplotlib.figure import Figure


def saved(settled):
    """Calls of functions, seconds of the processor, and the picture, of a grid of panels without labels."""
    figure = Figure(figsize=(9, 12), layout="constrained")
    for panel in figure.subplots(8, 6).flat:
        panel.plot([0, 1, 2], [1, 3, 2])
        for axis in (panel.xaxis, panel.yaxis) if settled else ():
            axis.set_label_coords(0, 0)
    picture, profile, start = io.BytesIO(), cProfile.Profile(), time.process_time()
    profile.runcall(figure.savefig, picture, format="png", metadata={"Software": None})
    return pstats.Stats(profile).total_calls, time.process_time() - start, picture.getvalue()


saved(False)  # fonts are found
usual, settled = saved(False), saved(True)
print("labels without a word   calls of functions   seconds (under the profiler)")
print(f"placed by matplotlib    {usual[0]:18,}   {usual[1]:.1f}")
print(f"put at (0, 0)           {settled[0]:18,}   {settled[1]:.1f}")
same = usual[2] == settled[2]
print(f"the same picture: {same}")
as_described = same and settled[0] < 0.8 * usual[0]
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
