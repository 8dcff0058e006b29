"""Snapshots of a classifier, and what they say of images."""

from pathlib import Path

import pytest
import torch

import imagesets
from classifiers import resnet
from classifiers._config import TrainingConfig
from classifiers._snapshots import load_classifier, logits_of
from lab.errors import WorkbenchError
from lab.training.snapshots import snapshot_file, snapshots
from lab.training.tensors import save_weights

NOWHERE = Path("/nowhere")  # the digits come with scikit-learn
CONFIG = TrainingConfig.parse({"classifier": "resnet", "settings": {"depth": 1}, "imageset": "digits"})


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = resnet.build(resnet.Config(depth=1), imagesets.spec("digits", NOWHERE))
    network(torch.randn(8, 1, 16, 16))  # moves the running statistics
    for epoch, step in ((0, 0), (2, 50), (10, 250)):
        save_weights(network.to(memory_format=torch.channels_last), tmp_path / snapshot_file(step * 0.128, step, epoch))
    return network, tmp_path


def test_they_come_in_order_with_what_was_seen(saved):
    assert [(s.epoch, s.kimg, s.step) for s in snapshots(saved[1], "classifier")] == [
        (0, 0, 0),
        (2, 6.4, 50),
        (10, 32, 250),
    ]


def test_a_loaded_one_says_what_the_saved_one_says_in_any_batches(saved):
    images = torch.randint(0, 256, (13, 1, 16, 16), dtype=torch.uint8)
    network = load_classifier(snapshots(saved[1], "classifier")[-1], CONFIG)
    assert not network.training
    found = logits_of(network, images)
    expected = saved[0].eval()(imagesets.to_float(images))[0]
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)
    parts = torch.cat([logits_of(network, part) for part in images.split(4)])
    torch.testing.assert_close(parts, found, rtol=1e-4, atol=1e-5)


def test_a_network_in_training_stays_there_unmoved(saved):
    network = saved[0].train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    logits_of(network, torch.zeros(3, 1, 16, 16, dtype=torch.uint8))
    assert network.training
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


def test_damaged_and_absent_ones_are_told(saved, tmp_path):
    found = snapshots(saved[1], "classifier")[-1]
    with pytest.raises(WorkbenchError, match="damaged or of another network"):
        load_classifier(found, CONFIG.replaced(settings={"depth": 2}))
    found.path.write_bytes(b"cut off")
    with pytest.raises(WorkbenchError, match="damaged or of another network"):
        load_classifier(found, CONFIG)
    with pytest.raises(WorkbenchError, match="holds no classifier: train it first"):
        snapshots(tmp_path / "elsewhere", "classifier")
