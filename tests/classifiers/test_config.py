"""Which layers, and how rows name what differs."""

import pytest

from classifiers._config import TrainingConfig, chosen_layers
from lab.errors import UsageError

ALL = ["conv1", "conv2", "fc1", "fc2"]


def test_layers_are_taken_once_in_the_networks_order():
    assert chosen_layers(None, ALL) == tuple(ALL)
    assert chosen_layers(("fc1", "conv1", "fc1"), ALL) == ("conv1", "fc1")
    with pytest.raises(UsageError, match=r"hidden layer 'conv3'; did you mean 'conv2'\? Known: conv1, conv2, fc1, fc2"):
        chosen_layers(("fc1", "conv3"), ALL)


@pytest.mark.parametrize(
    "values, text",
    [
        ({"alpha": 0.0, "snnl_layers": ["fc1"], "temperature": 3.0, "distance": "cosine"}, "alpha=0"),
        ({"alpha": -0.01, "temperature": "minimize", "distance": "sqeuclidean"}, "alpha=-0.01"),
        ({"alpha": -0.01, "snnl_layers": ALL[::-1]}, "alpha=-0.01"),
        ({"alpha": -0.01, "snnl_layers": ["fc2", "fc1", "fc2"]}, "alpha=-0.01;layers=fc1,fc2"),
        ({"alpha": -0.01, "temperature": "learn"}, "alpha=-0.01;temperature=learn"),
        ({"alpha": 1.0, "temperature": 10.0, "distance": "cosine"}, "alpha=1;temperature=10;distance=cosine"),
        ({"alpha": 1.0, "classifier": "torchvision"}, "alpha=1"),
        ({"alpha": 1.0, "classifier": "torchvision", "snnl_layers": ["layer4"]}, "alpha=1;layers=layer4"),
    ],
)
def test_rows_name_what_is_not_as_usual(values, text):
    assert TrainingConfig.parse({"classifier": "cnn", **values}).setting == text
