"""Which images a classifier takes is checked from what is known of them, before any is loaded."""

from dataclasses import replace
from pathlib import Path

import pytest

import imagesets
from classifiers._images import check_shown
from lab.errors import UsageError

NOWHERE = Path("/nowhere")


def test_a_grey_network_is_not_shown_colour_images():
    mnist, cifar = imagesets.spec("mnist", NOWHERE), imagesets.spec("cifar10", NOWHERE)
    with pytest.raises(UsageError, match="takes grey images of 28 x 28; cifar10 has colour images of 32 x 32"):
        check_shown(mnist, cifar, "cifar10")
    with pytest.raises(UsageError, match="takes colour images of 32 x 32; mnist has grey images of 28 x 28"):
        check_shown(cifar, mnist, "mnist")
    with pytest.raises(UsageError, match="digits has grey images of 16 x 16"):
        check_shown(mnist, imagesets.spec("digits", NOWHERE), "digits")


def test_images_of_the_same_kind_may_have_other_classes():
    mnist = imagesets.spec("mnist", NOWHERE)
    check_shown(mnist, imagesets.spec("fashion-mnist", NOWHERE), "fashion-mnist")
    check_shown(mnist, replace(mnist, classes=()), "unlabelled")


def test_the_check_needs_no_torch(python):
    assert python("import sys, classifiers._images; print('torch' in sys.modules)") == "False"
