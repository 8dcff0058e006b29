#!/usr/bin/env bash
# pytorch-ood 0.4.0 (torch 2.14.1): squared Mahalanobis distances of features that span fewer dimensions than they have.
#
# Guess: a squared distance is never negative; where the covariance has no inverse there is an error, or a pseudo-inverse.
# Seen:  the scatter plus 1e-6 times the identity is inverted in float32. With fewer points than dimensions, as in the
#        last layer of many networks, the "squared distances" are of both signs and very large, and nothing is said.
#        Scores that are ranked by them are noise; the sign of a sum of squares is the sign that tells.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "pytorch-ood==0.4.0"
"$place/venv/bin/python" - <<'PYTHON'
import sys

import torch
from pytorch_ood.detector import Mahalanobis

torch.manual_seed(0)


def distances(points, dimensions):
    features, labels = torch.randn(points, dimensions), torch.arange(points) % 4
    return Mahalanobis(None).fit_features(features, labels).predict_features(torch.randn(50, dimensions))


few, many = distances(200, 512), distances(20_000, 16)
print(f"200 points of 512 dimensions: {float(few.min()):.3g} to {float(few.max()):.3g}")
print(f"20,000 points of 16 dimensions: {float(many.min()):.3g} to {float(many.max()):.3g}")
expected = float(few.min()) < 0 < float(many.min())
print("as described" if expected else "CHANGED")
sys.exit(not expected)
PYTHON
