#!/usr/bin/env bash
# scikit-learn 1.9.1 (numpy 2.4.1): the false positive rate at a given true positive rate, read off `roc_curve`.
#
# Guess: `roc_curve` returns every threshold's point, so that the first point whose true positive rate is at least t has
#        the lowest false positive rate at which t is reached.
# Seen:  by default (`drop_intermediate=True`) the points that lie on a straight line between their neighbours are left
#        out. The area is the same, but the first point that is left may be far to the right: with tied scores the false
#        positive rate at t comes out twice as high, or worse. With `drop_intermediate=False` it is right.
#
# So FPR@95 of discrete scores, such as counts of neighbours, is overstated by whoever reads it off the default curve.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "scikit-learn==1.9.1" "numpy==2.4.1"
"$place/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.metrics import auc, roc_curve

labels = np.repeat([0, 1], 10)
scores = np.tile(np.arange(10), 2)  # both classes alike, each score once in each: the curve is the diagonal


def at_half(**settings):
    fpr, tpr, _ = roc_curve(labels, scores, **settings)
    return float(fpr[(tpr >= 0.5).argmax()]), float(auc(fpr, tpr)), len(fpr)


default, full = at_half(), at_half(drop_intermediate=False)
print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}")
print(f"FPR at TPR >= 0.5, area, points: default {default}, drop_intermediate=False {full}; the truth is 0.5, 0.5")
expected = default == (1.0, 0.5, 3) and full == (0.5, 0.5, 11)
print("as described" if expected else "CHANGED")
sys.exit(not expected)
PYTHON
