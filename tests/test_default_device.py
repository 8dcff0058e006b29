"""A default device: what is drawn and computed here names the processor, or the device of its input."""

from pathlib import Path

import pytest
import torch
from clouds import cloud

import imagesets
from classifiers._augment import augmented
from gans._snapshots import generate
from lab.training import draws
from metrics import calibration, detection, detectors, layers, reliability, scores, selection, validity
from metrics.comparison import Predictions, compare
from metrics.memorization import TrainingSet
from metrics.temperature_scaling import temperature_of
from tasks import _faults, _foreign, descend

ONE, OTHER, TRAINING, LABELS = cloud(0), cloud(1, spread=1.2), cloud(2, 200), torch.arange(120) % 3
LOGITS = ONE[:, :3].contiguous()
IMAGES = torch.randint(256, (6, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
WEIGHT = cloud(3, 3)
RIGHT = LOGITS.argmax(1) == LABELS


def drawn():
    own = draws.random_generator(0, "a")
    yield from (draws.batch_indices(10, 4, 0, 2), draws.subset(10, 3, 0), *draws.carve(10, 0.3, 0))
    yield from (_foreign.shuffled(IMAGES, own), _foreign.noise(IMAGES, own), _foreign.rotated(IMAGES, 30))
    yield from (_faults.blurred(IMAGES, 1.0), _faults.noisy(IMAGES, 0.1, own))
    yield from (
        _faults.class_weights("reweighted", 0.4, 3, own),
        _faults.thinned(LABELS, torch.ones(3, device="cpu"), own),
    )
    yield augmented(IMAGES, "flip-shift", 0, 3)
    yield generate(torch.nn.Identity(), 3, 4, 0)
    yield from (imagesets.load("digits", "test", root=Path()).images, *descend.start("blobs", 3, 20, 0))


def told_apart():
    found = compare(
        ONE, OTHER, real_labels=LABELS, predicted=Predictions(LABELS, LABELS, 3), training=TrainingSet.of(TRAINING)
    )
    yield [row["value"] for row in found.rows]


def judged():
    confidence = LOGITS.softmax(1).amax(1)
    yield [row["value"] for row in calibration.measure(LOGITS, LABELS)]
    yield [row["value"] for row in selection.measure(confidence, RIGHT)]
    yield [row["value"] for row in detection.measure(scores.energy(LOGITS), scores.entropy(LOGITS))]
    yield [row["value"] for row in validity.measure(torch.arange(50, device="cpu") / 50)]
    yield [row.score for row in layers.measure({"a": ONE, "b": OTHER}, LABELS, anchors=50)]
    yield from (reliability.reliability_table(confidence, RIGHT).accuracy, temperature_of(LOGITS, LABELS))
    yield from (detectors.mahalanobis(ONE, LABELS, OTHER), detectors.relative_mahalanobis(ONE, LABELS, OTHER))
    yield detectors.vim(ONE, OTHER, WEIGHT, WEIGHT[:, 0], 3)


def resampled():
    draw = draws.random_generator(0, "splits")
    yield [row["value"] for row in validity.resampled(ONE[:, 0].double(), 40, "smoothed", draw, repeats=3)]


@pytest.mark.parametrize("work", [drawn, told_apart, judged, resampled])
def test_a_default_device_changes_nothing(work):
    expected = list(work())
    with torch.device("meta"):
        found = list(work())
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
