"""What is measured of a classifier's credibility: scores, curves, exemplars, p-values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from sklearn.metrics import average_precision_score, roc_auc_score

import imagesets
from classifiers import _features
from classifiers._credibility import Observer, _principal
from imagesets import ImageSet
from lab.cells.folder import CellFolder
from lab.cells.rows import build_table, pick
from lab.cells.work import work
from lab.errors import WorkbenchError
from lab.training.draws import carve
from metrics.calibration import expected_calibration_error, nll
from metrics.detectors import vim
from metrics.selection import aurc
from metrics.temperature_scaling import temperature_of
from snnl_core import DeepKNN
from tasks import _neighbors, measure_credibility, train_classifier
from tasks._pictures import LEVELS, keep_exemplars

LOCAL = {"data": "nowhere", "download": False}
SMALL = {"classifier": "mlp", "settings": {"width": 16, "depth": 2}, "seed": 3, "epochs": 2, "validation": 0.2}
TRAINING = train_classifier.cell(
    train_classifier.Config.parse({**SMALL, "precision": "float32", "device": "cpu"}), Path("nowhere")
)
MEASURE = measure_credibility.Config(foreign=("rotated-45", "noise"), n=120, k=9, pictures=True)


def test_every_score_of_every_set_is_measured(finished):
    _, measuring = finished
    table = build_table(measuring.rows())
    rows = pick(table, kind="foreign")
    metrics = {"auroc", "aupr_id_pos", "aupr_ood_pos", "fpr95_id_pos", "fpr95_ood_pos"}
    scores = {"credibility", "nonconformity", "neighbor-distance", "kth-distance", "softmax", "energy", "entropy"}
    assert set(rows["metric"]) == metrics and set(rows["group"]) == set(MEASURE.foreign)
    assert set(rows["space"]) == scores and set(rows["n"]) == {120}
    assert len(rows) == len(metrics) * 2 * (len(scores) + 2)
    layers = pick(rows, space="neighbor-distance", metric="auroc", group="noise")["layer"]
    assert list(layers) == ["", "fc1", "fc2"]
    assert set(table["setting"]) == {"alpha=0"} and set(table["seed"]) == {3} and set(table["split"]) == {"test"}


def test_areas_are_those_of_scikit_learn_on_scores_taken_anew(finished, observed):
    _, measuring = finished
    observer, images, _, foreign = observed
    table = pick(build_table(measuring.rows()), kind="foreign")
    inside = observer.see(images).scores()
    for name, shown in foreign.items():
        outside = observer.see(shown).scores()
        for (score, layer), values in outside.items():
            rows = pick(table, group=name, space=score, layer=layer).set_index("metric")["value"]
            both = torch.cat([inside[score, layer], values]).numpy()
            truth = np.repeat([0, 1], 120)
            assert rows["auroc"] == pytest.approx(roc_auc_score(truth, both), abs=1e-12)
            assert rows["aupr_ood_pos"] == pytest.approx(average_precision_score(truth, both), abs=1e-12)


def test_scores_are_what_they_say(observed):
    observer, images, _, foreign = observed
    seen = observer.see(images)
    scores, found = seen.scores(), seen.found
    assert torch.equal(scores["credibility", ""], 1 - found.p_values.amax(1))
    own = found.nonconformity[torch.arange(120), found.labels]
    assert torch.equal(scores["nonconformity", ""], own.double())
    means = [found.distances[layer].double().mean(1) for layer in ("fc1", "fc2")]
    assert torch.allclose(scores["neighbor-distance", ""], sum(means) / 2)
    assert torch.equal(scores["kth-distance", ""], found.distances["fc2"][:, -1].double())
    assert torch.allclose(scores["softmax", ""], -seen.logits.double().softmax(1).amax(1))
    assert torch.allclose(scores["energy", ""], -seen.logits.double().logsumexp(1))
    assert torch.allclose(scores["entropy", ""], torch.special.entr(seen.logits.double().softmax(1)).sum(1))
    equal = found.nonconformity == found.nonconformity.amin(1, keepdim=True)
    assert (equal.sum(1) > 1).any(), "no tie that the logits decide"
    assert torch.equal(found.labels, seen.logits.masked_fill(~equal, -torch.inf).argmax(1))
    votes = seen.log_votes().exp()
    assert torch.allclose(votes.sum(1), torch.ones(120, dtype=torch.float64))
    assert torch.allclose(votes, (2 * 9 - found.nonconformity.double() + 1) / (2 * 9 + 10))
    noise = observer.see(foreign["noise"]).scores()
    assert noise["neighbor-distance", ""].mean() > 2 * scores["neighbor-distance", ""].mean()


def test_axes_without_variance_are_left_out():
    """Of units that never fire, and of less than 1e-5 of the variance of the first."""
    sizes = torch.tensor([0.0, 1e-3, 1e-2, 1.0, 1.0, 1.0])
    axes = _principal(sizes * torch.randn(80, 6, generator=torch.Generator().manual_seed(0)))
    assert axes.shape == (6, 4)
    torch.testing.assert_close(axes.T @ axes, torch.eye(4))
    assert axes[:2].abs().max() < 0.1


def test_detectors_are_added_where_they_are_asked_for(observed):
    pytest.importorskip("pytorch_ood")
    observer, images, _, foreign = observed
    seen, noise = observer.see(images), observer.see(foreign["noise"])
    inside, outside = (observer.scores(one, detectors=True) for one in (seen, noise))
    assert set(inside) - set(seen.scores()) == {(name, "") for name in ("mahalanobis", "relative-mahalanobis", "vim")}
    assert all(values.dtype == torch.float64 and values.shape == (120,) for values in inside.values())
    among, labels = observer.last.double(), observer.labels
    means = torch.stack([among[labels == c].mean(0) for c in range(10)])
    precision = torch.linalg.pinv((among - means[labels]).T.cov(correction=0), rtol=1e-7, hermitian=True)
    apart = seen.last.double()[:, None] - means
    naive = torch.einsum("qci,ij,qcj->qc", apart, precision, apart).amin(1)
    assert torch.allclose(inside["mahalanobis", ""], naive, rtol=1e-2)
    head = [module for module in observer.network.modules() if isinstance(module, torch.nn.Linear)][-1]
    halved = vim(observer.last, seen.last, head.weight.detach(), head.bias.detach(), 8)
    assert torch.allclose(inside["vim", ""], halved.double(), rtol=1e-4)
    assert outside["vim", ""].mean() > inside["vim", ""].mean()


def test_predictions_are_those_of_network_and_neighbours(finished, observed):
    _, measuring = finished
    observer, images, labels, _ = observed
    table = pick(build_table(measuring.rows()), kind="prediction", metric="accuracy").set_index("space")["value"]
    seen = observer.see(images)
    assert table["softmax"] == table["softmax-scaled"] == float((seen.logits.argmax(1) == labels).double().mean())
    assert table["dknn"] == table["dknn-scaled"] == float((seen.found.labels == labels).double().mean())
    means = pick(build_table(measuring.rows()), kind="credibility", space="credibility").set_index("group")["value"]
    assert means[""] == pytest.approx(float(seen.found.credibility.mean()))


def test_temperatures_are_fitted_on_images_that_neither_train_nor_calibrate_nor_test(finished, observed):
    _, measuring = finished
    observer, images, labels, _ = observed
    source = imagesets.load("digits", "train", **measuring.data)
    apart = _neighbors.split(len(source), MEASURE, 0.2, 3).scaling
    table = pick(build_table(measuring.rows()), kind="prediction", metric="nll").set_index("space")["value"]
    seen, held = observer.see(images), observer.see(source.pixels(apart))
    for name, logits, fitted in (
        ("softmax", seen.logits.double(), held.logits),
        ("dknn", seen.log_votes(), held.log_votes()),
    ):
        temperature = temperature_of(fitted, source.classes(apart))
        assert abs(temperature - 1) > 1e-3
        assert table[name] == pytest.approx(nll(logits.softmax(1), labels), abs=1e-9)
        assert table[f"{name}-scaled"] == pytest.approx(nll((logits / temperature).softmax(1), labels), abs=1e-9)


def test_every_confidence_is_held_against_who_was_right_by_it(finished, observed):
    """Of network and neighbours by their own choices; nearer neighbours are more confidence, not less."""
    _, measuring = finished
    observer, images, labels, _ = observed
    rows = pick(build_table(measuring.rows()), kind="prediction", metric="aurc").set_index("space")["value"]
    seen = observer.see(images)
    network, dknn = seen.logits.argmax(1) == labels, seen.found.labels == labels
    assert not torch.equal(network, dknn)
    expected = {
        "softmax": aurc(seen.logits.double().softmax(1).amax(1), network),
        "credibility": aurc(seen.found.credibility, dknn),
        "neighbor-distance": aurc(-seen.scores()["neighbor-distance", ""], dknn),
    }
    assert rows[list(expected)].to_dict() == pytest.approx(expected, abs=1e-12)
    shares = seen.logits.double().softmax(1)
    for metric, binning in (("ece", "equal_width"), ("ece_equal_mass", "equal_mass")):
        errors = pick(build_table(measuring.rows()), kind="prediction", metric=metric, space="softmax")["value"]
        expected = expected_calibration_error(shares, labels, binning=binning)
        assert errors.tolist() == pytest.approx([expected], abs=1e-12)


def test_p_values_of_true_labels_are_held_against_the_levels(finished, observed):
    _, measuring = finished
    observer, images, labels, _ = observed
    table = pick(build_table(measuring.rows()), metric="p_at_most")
    own = observer.see(images).found.p_values[torch.arange(120), labels]
    shares = pick(table, kind="validity", space="valid", side="share").set_index("group")["value"]
    for level in (0.05, 0.1, 0.2, 0.5):
        assert shares[f"{level:g}"] == float((own <= level).double().mean())
    low, high = (pick(table, kind="validity", space="valid", side=side)["value"] for side in ("low", "high"))
    assert (low.to_numpy() <= high.to_numpy()).all()
    for formula, above in (("valid", 0.0), ("smoothed", 0.02)):
        mean = pick(table, kind="resampled", space=formula, side="share").set_index("group")["value"]
        assert all(mean[f"{level:g}"] <= level + above + 0.01 for level in (0.05, 0.1, 0.2, 0.5))
        assert formula == "valid" or all(mean[f"{level:g}"] >= level - 0.03 for level in (0.05, 0.1, 0.2, 0.5))


def test_p_values_at_a_drawn_level_are_at_most_it(finished, observed):
    _, measuring = finished
    observer, images, labels, _ = observed
    own = observer.see(images).found.p_values[torch.arange(120), labels]
    with np.load(measuring.path / "curves.npz") as kept:
        levels, shares = kept["p_values"].T
    assert shares.tolist() == [np.float32((own <= k / 100).double().mean()) for k in range(101)]
    assert levels.tolist() == [np.float32(k / 100) for k in range(101)]
    assert all(rows / 100 <= LEVELS[rows] for rows in range(101))


def test_measuring_twice_gives_the_same_rows_and_files(finished, monkeypatch):
    """The second time with features that are too many for memory; of their files nothing stays."""
    _, measuring = finished
    monkeypatch.setattr(_features, "LARGE", 0)
    names = {path.name for path in measuring.path.iterdir()}
    files = ("curves.npz", "map.npz", "exemplars.npz")
    before = measuring.rows(), [dict(np.load(measuring.path / name)) for name in files]
    (measuring.path / "DONE").unlink()
    work(CellFolder(measuring.path))
    again = CellFolder(measuring.path)
    assert again.rows() == before[0] and {path.name for path in measuring.path.iterdir()} == names
    for name, kept in zip(files, before[1], strict=True):
        with np.load(again.path / name) as found:
            assert set(found) == set(kept)
            if name != "map.npz":
                assert all(np.array_equal(found[key], kept[key], equal_nan=kept[key].dtype.kind == "f") for key in kept)


def test_curves_are_those_of_the_numbers_in_the_rows(finished):
    _, measuring = finished
    table = build_table(measuring.rows())
    with np.load(measuring.path / "curves.npz") as kept:
        for name in ("", "noise"):
            assert kept[f"credibility/{name}"].sum() == 120
        fpr, tpr = kept["roc/softmax/rotated-45"].T
        (area,) = pick(table, kind="foreign", group="rotated-45", space="softmax", metric="auroc")["value"]
        assert trapezoid(tpr, fpr) == pytest.approx(area, abs=1e-3)
        coverage, risk = kept["risk/softmax"].T
        (accuracy,) = pick(table, kind="prediction", space="softmax", metric="accuracy")["value"]
        assert coverage[-1] == 1 and risk[-1] == pytest.approx(1 - accuracy, abs=1e-6)
        confidence, accurate, count = kept["reliability/softmax"].T
        (ece,) = pick(table, kind="prediction", space="softmax", metric="ece")["value"]
        assert np.nansum(np.abs(confidence - accurate) * count) / 120 == pytest.approx(ece, abs=1e-5)


def test_maps_are_of_every_hidden_layer(finished, observed):
    _, measuring = finished
    observer, images, _, _ = observed
    with np.load(measuring.path / "map.npz") as kept:
        assert list(kept["layers"]) == ["fc1", "fc2"]
        for end, n in (("", 100), ("/fc1", 50)):
            groups, counts = np.unique(kept[f"group{end}"], return_counts=True)
            assert list(groups) == ["", "noise", "rotated-45"] and set(counts) == {n}
            assert kept[f"coordinates{end}"].shape == (3 * n, 2)
    seen = observer.see(images)
    assert list(seen.first) == ["fc1", "fc2"] and torch.equal(seen.first["fc2"], seen.last[:100])


def test_exemplars_are_the_most_and_the_least_credible_with_their_neighbours(finished, observed):
    _, measuring = finished
    observer, images, labels, _ = observed
    found = observer.see(images).found
    source = imagesets.load("digits", "train", **measuring.data)
    with np.load(measuring.path / "exemplars.npz") as kept:
        assert list(kept["group"]) == [""] * 6 + ["rotated-45"] * 3 + ["noise"] * 3
        assert kept["images"].shape == (12, 1, 16, 16) and kept["neighbor_images"].shape == (12, 2, 4, 1, 16, 16)
        inside = kept["index"][:6]
        assert np.array_equal(kept["images"][:6], images[inside]) and np.array_equal(kept["label"][:6], labels[inside])
        assert (kept["label"][6:] == -1).all()
        assert (kept["credibility"][:3] == found.credibility.max()).all()
        assert kept["credibility"][5] == found.credibility.min()
        places = torch.from_numpy(kept["neighbors"])
        assert np.array_equal(kept["neighbor_labels"], source.classes(places))
        assert np.array_equal(kept["neighbor_images"][4, 1, 2], source.images[places[4, 1, 2]])
        bank = carve(len(source), 0.2, 3)[0]
        assert np.isin(places, bank).all(), "neighbours are images that were trained on"


def test_equally_credible_images_are_ordered_by_how_near_their_neighbours_are(tmp_path):
    class Seen:
        def __init__(self, credibility, distance):
            found = {"credibility": torch.tensor(credibility), "labels": torch.arange(len(distance))}
            near = {"fc": torch.zeros(len(distance), 4, dtype=torch.int64)}
            self.found = type("Found", (), {**found, "neighbors": near})
            self.distance = torch.tensor(distance)

        def scores(self):
            return {("neighbor-distance", ""): self.distance}

    seen = Seen([1.0, 0.5, 1.0, 0.1, 1.0, 0.1, 0.3], [0.3, 0.1, 0.2, 0.1, 0.4, 0.2, 0.0])
    shown = torch.zeros(7, 1, 2, 2, dtype=torch.uint8)
    source = ImageSet(shown, torch.arange(7))
    keep_exemplars(tmp_path, {"": shown}, {"": seen}, torch.arange(7), source, torch.arange(7))
    with np.load(tmp_path / "exemplars.npz") as kept:
        assert list(kept["index"]) == [2, 0, 4, 6, 3, 5]


def test_a_bank_that_lacks_a_class_is_refused(observed):
    observer, images, _, _ = observed
    few = Observer(observer.network, DeepKNN(2), 4096, observer.scratch)
    with pytest.raises(WorkbenchError, match="of 10 classes the 5 images to search have 2"):
        few.fit(images[:5], torch.tensor([0, 1, 0, 1, 1]))
