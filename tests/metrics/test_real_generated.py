"""The controls of "measuring real against generated": sets whose outcome is known."""

import math

import pytest
import torch
from sklearn.datasets import load_digits

from metrics.real_generated import measure

N = 400


@pytest.fixture(scope="module")
def real():
    return mixture(0)


def mixture(seed, spread=1.0, modes=4):
    """Points around four far corners, and which corner; `spread` scales the clouds around their own centre."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(N) % modes
    centre = 8 * torch.nn.functional.one_hot(label, 10).float()
    return centre + spread * torch.randn(N, 10, generator=generator), label


def values(real, other):
    rows = measure(real[0], other[0], real[1])
    assert all(row["n"] > 0 for row in rows)
    return {(row["side"], row["group"], row["metric"]): row["value"] for row in rows}


def test_a_second_real_set_is_entangled_on_every_side(real):
    found = values(real, mixture(1))
    for side in ("joint", "real", "generated"):
        assert found[side, "", "entanglement"] > 0.93
        assert found[side, "", "one_nn_accuracy"] == pytest.approx(0.5, abs=0.08)
    assert found["real", "", "coverage"] > 0.9


def test_noise_is_apart(real):
    noise = 40 * torch.rand(N, 10, generator=torch.Generator().manual_seed(2)) + 30
    found = values(real, (noise, None))
    assert found["joint", "", "entanglement"] < 1e-3
    assert found["joint", "", "one_nn_accuracy"] == 1


def test_a_shrunk_set_shows_on_the_generated_side_alone(real):
    found = values(real, mixture(1, spread=0.5))
    assert found["joint", "", "entanglement"] > 0.97  # blind to the spread
    assert found["generated", "", "entanglement"] < 0.5 < 0.97 < found["real", "", "entanglement"]
    assert found["generated", "", "one_nn_accuracy"] > 0.9


def test_a_widened_set_shows_on_the_real_side_alone(real):
    found = values(real, mixture(1, spread=2.0))
    assert found["joint", "", "entanglement"] > 0.97
    assert found["real", "", "entanglement"] < 0.5 < 0.97 < found["generated", "", "entanglement"]
    assert found["real", "", "one_nn_accuracy"] > 0.9


def test_dropped_modes_show_in_their_classes_and_the_coverage(real):
    found = values(real, mixture(1, modes=2))
    kept, dropped = ([found["real", str(label), "entanglement"] for label in pair] for pair in ((0, 1), (2, 3)))
    assert max(dropped) < 0.05 < 0.8 < min(kept)
    assert found["real", "", "coverage"] == pytest.approx(sum(kept + dropped) / 4)
    assert found["real", "", "coverage"] < 0.55


def test_copies_of_training_images_show_against_those_only(real):
    copies = real[0] + 1e-4
    against_training, against_held_out = values(real, (copies, None)), values(mixture(1), (copies, None))
    assert against_training["joint", "", "one_nn_accuracy"] == 0
    assert against_training["joint", "", "entanglement"] == pytest.approx(1)
    assert against_held_out["joint", "", "one_nn_accuracy"] == pytest.approx(0.5, abs=0.08)


@pytest.fixture(scope="module")
def digits():
    """400 handwritten digits with labels, another 400 with theirs, and the mean image of each class."""
    data = load_digits()
    images, labels = torch.tensor(data.data / 8 - 1).float(), torch.tensor(data.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    first, second = order[:N], order[N : 2 * N]
    means = torch.stack([images[labels == label].mean(0) for label in range(10)])
    return (images[first], labels[first]), (images[second], labels[second]), means


@pytest.mark.parametrize(
    "spread, joint, sides",
    [
        (1.0, 0.97, {"real": (0.97, 1), "generated": (0.97, 1)}),
        (0.5, 0.97, {"real": (0.97, 1), "generated": (0, 0.1)}),
        (1.5, 0.97, {"real": (0, 0.4), "generated": (0.97, 1)}),
    ],
)
def test_the_spread_of_real_images_shows_on_one_side_alone(digits, spread, joint, sides):
    real, (images, labels), means = digits
    found = values(real, (means[labels] + spread * (images - means[labels]), None))
    assert found["joint", "", "entanglement"] > joint
    for side, (low, high) in sides.items():
        assert low <= found[side, "", "entanglement"] <= high


def test_dropped_digits_lower_the_coverage(digits):
    real, (images, labels), _ = digits
    kept = images[labels < 5]
    found = values(real, (torch.cat([kept, kept])[:N], None))
    whole = values(real, (images, None))
    by_class = [found["real", str(label), "entanglement"] for label in range(10)]
    assert max(by_class[5:]) < 0.4 < 0.6 < min(by_class[:5])
    assert found["real", "", "coverage"] < whole["real", "", "coverage"] - 0.2
    assert found["real", "", "coverage"] == pytest.approx(sum(by_class) / 10), "however many digits are of each"


def test_a_few_images_over_and_over_are_found_out(digits):
    real, (images, _), _ = digits
    found = values(real, (images[torch.arange(N) % 5], None))
    assert found["generated", "", "entanglement"] == pytest.approx(0, abs=1e-3)
    assert found["joint", "", "entanglement"] < 0.2
    assert found["real", "", "coverage"] < 0.2


def test_swapping_the_sets_swaps_the_sides(real):
    other = mixture(1, spread=1.5)
    there, back = values(real, other), values(other, real)
    assert there["real", "", "entanglement"] == pytest.approx(back["generated", "", "entanglement"], rel=1e-4)
    assert there["joint", "", "entanglement"] == pytest.approx(back["joint", "", "entanglement"], rel=1e-4)
    assert there["real", "", "one_nn_accuracy"] == back["generated", "", "one_nn_accuracy"]


def test_rows_say_side_group_metric_value_and_n(real):
    rows = measure(*[real[0]] * 2, real[1])
    assert {tuple(sorted(row)) for row in rows} == {("group", "metric", "n", "side", "value")}
    by_class = [row for row in rows if row["group"]]
    assert {row["group"] for row in by_class} == set("0123")
    assert sum(row["n"] for row in by_class) == N
    assert all(row["n"] == N for row in rows if not row["group"])
    assert all(math.isfinite(row["value"]) for row in rows)


def test_without_labels_there_is_no_coverage(real):
    assert not [row for row in measure(real[0], mixture(1)[0]) if row["group"] or row["metric"] == "coverage"]


def test_bytes_are_taken_to_the_range_of_images():
    images = torch.randint(0, 256, (2, 60, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    bytes_, floats = measure(*images), measure(*(images.float() / 127.5 - 1))
    assert [row["value"] for row in bytes_] == pytest.approx([row["value"] for row in floats], rel=1e-5)


def test_unequal_sets_are_refused(real):
    with pytest.raises(ValueError, match="same shape"):
        measure(real[0], real[0][:-1])
