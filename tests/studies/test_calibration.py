"""The study of calibration: its plan, its foreign images, no leak between parts, and effects on known tables."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

import imagesets
from classifiers._credibility import Observer
from classifiers._snapshots import load_classifier
from imagesets import ImageSet
from lab.cells.folder import CellFolder
from lab.cells.rows import build_table, pick
from lab.cells.work import work
from lab.config import with_preset
from lab.errors import UsageError, WorkbenchError
from lab.reporting.report import write_report
from lab.reporting.verdicts import judge
from lab.training.draws import carve, subset
from lab.training.snapshots import snapshots
from snnl_core import DeepKNN
from studies import calibration
from tasks import _foreign, measure_credibility, train_classifier
from tasks._credibility import best_temperature
from tasks._pictures import keep_exemplars

LOCAL = {"data": "nowhere", "download": False}
SMALL = {"classifier": "mlp", "settings": {"width": 16, "depth": 2}, "seed": 3, "epochs": 2, "validation": 0.2}
TRAINING = train_classifier.cell(
    train_classifier.Config.parse({**SMALL, "precision": "float32", "device": "cpu"}), Path("nowhere")
)
MEASURE = measure_credibility.Config(foreign=("rotated-45", "noise"), n=120, k=9, pictures=True)


def config(**given):
    return with_preset(calibration.Config, calibration.PRESETS, "smoke", given)


def plan(data=Path("nowhere"), **given):
    return calibration.plan(config(**given), data)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small training and the measurement of its credibility, done."""
    place = tmp_path_factory.mktemp("calibration")
    cells = TRAINING, measure_credibility.cell(TRAINING, MEASURE, Path("nowhere"))
    folders = [CellFolder.create(cell, place, LOCAL) for cell in cells]
    for folder in folders:
        work(folder)
    return folders


@pytest.fixture(scope="module")
def observed(finished):
    """The same network observed anew, step by step: (observer, test images, labels, foreign images by name)."""
    training, measuring = finished
    network = load_classifier(snapshots(training.path, "classifier")[-1], TRAINING.config)
    source, test = (imagesets.load("digits", split, **measuring.data) for split in ("train", "test"))
    parts = measure_credibility.split(len(source), MEASURE, 0.2, 3)
    observer = Observer(network, DeepKNN(9), 4096)
    observer.fit(source.pixels(parts.bank), source.classes(parts.bank))
    observer.calibrate(source.pixels(parts.calibration), source.classes(parts.calibration))
    picked = subset(len(test), 120, 0, "measured", "test")
    images = test.pixels(picked)
    foreign = {name: _foreign.load(name, images, measuring, 3) for name in MEASURE.foreign}
    return observer, images, test.classes(picked), foreign


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
    votes = seen.log_votes().exp()
    assert torch.allclose(votes.sum(1), torch.ones(120, dtype=torch.float64))
    assert torch.allclose(votes, (2 * 9 - found.nonconformity.double() + 1) / (2 * 9 + 10))
    noise = observer.see(foreign["noise"]).scores()
    assert noise["neighbor-distance", ""].mean() > 2 * scores["neighbor-distance", ""].mean()


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


def test_measuring_twice_gives_the_same_rows_and_files(finished):
    _, measuring = finished
    files = ("curves.npz", "map.npz", "exemplars.npz")
    before = measuring.rows(), [dict(np.load(measuring.path / name)) for name in files]
    (measuring.path / "DONE").unlink()
    work(CellFolder(measuring.path))
    again = CellFolder(measuring.path)
    assert again.rows() == before[0]
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
        assert np.trapezoid(tpr, fpr) == pytest.approx(area, abs=1e-3)
        coverage, risk = kept["risk/softmax"].T
        (accuracy,) = pick(table, kind="prediction", space="softmax", metric="accuracy")["value"]
        assert coverage[-1] == 1 and risk[-1] == pytest.approx(1 - accuracy, abs=1e-6)
        confidence, accurate, count = kept["reliability/softmax"].T
        (ece,) = pick(table, kind="prediction", space="softmax", metric="ece")["value"]
        assert np.nansum(np.abs(confidence - accurate) * count) / 120 == pytest.approx(ece, abs=1e-5)


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


@given(st.integers(20, 300), st.integers(1, 200), st.integers(0, 50), st.sampled_from([None, 5, 15]))
def test_no_image_is_in_two_parts(n, calibration, seed, bank):
    given = measure_credibility.Config(foreign=("noise",), n=2, calibration=calibration, bank=bank)
    parts = measure_credibility.split(n, given, 0.3, seed)
    trained, apart = (set(part.tolist()) for part in carve(n, 0.3, seed))
    bank, calibrated, scaled = (set(part.tolist()) for part in (parts.bank, parts.calibration, parts.scaling))
    assert bank <= trained and calibrated | scaled <= apart and not calibrated & scaled
    assert len(calibrated) == len(scaled) == min(calibration, len(apart) // 2)
    assert bank == trained if given.bank is None else len(bank) == min(given.bank, len(trained))


def test_parts_that_share_an_image_are_refused():
    one, two, three = torch.arange(3), torch.arange(3, 6), torch.arange(5, 8)
    with pytest.raises(AssertionError, match="two parts"):
        measure_credibility.Parts(one, two, three)


def test_where_every_label_has_the_highest_logit_no_temperature_is_fitted():
    logits = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0]])
    assert best_temperature(logits, torch.tensor([0, 1, 0])) == 1.0
    assert best_temperature(logits, torch.tensor([0, 1, 1])) != 1.0


SHAPES = st.tuples(st.integers(1, 4), st.sampled_from([1, 3]), st.sampled_from([16, 28]))


@given(SHAPES, st.integers(0, 2**31))
def test_what_is_made_has_the_shape_and_the_type_of_the_images(shape, seed):
    n, channels, size = shape
    images = torch.randint(
        256, (n, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    before = images.clone()
    for name, make in _foreign.MADE.items():
        one, two = (make(images, torch.Generator().manual_seed(seed)) for _ in range(2))
        assert one.dtype == torch.uint8 and one.shape == images.shape and torch.equal(one, two), name
    assert torch.equal(images, before)
    assert torch.equal(_foreign.rotated(images, 90), torch.rot90(images, 1, (2, 3)))
    assert torch.equal(_foreign.rotated(images, 0), images)
    assert torch.equal(255 - _foreign.MADE["inverted"](images, torch.Generator()), images)


def test_turning_by_45_degrees_is_that_of_torchvision_but_for_rounding():
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import rotate

    images = imagesets.load("digits", "test", root=Path("nowhere")).images[:20]
    theirs = rotate(images.float(), 45, InterpolationMode.BILINEAR)
    assert (_foreign.rotated(images, 45).float() - theirs).abs().max() <= 1


def test_shuffled_images_have_the_same_patches_in_other_places():
    images = torch.arange(16 * 16, dtype=torch.uint8).view(1, 1, 16, 16).expand(6, 1, 16, 16).clone()
    found = _foreign.shuffled(images, torch.Generator().manual_seed(1))

    def patches(image):
        return {tuple(part.flatten().tolist()) for row in image[0].split(4, 0) for part in row.split(4, 1)}

    assert all(patches(one) == patches(images[0]) for one in found)
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], images[0])
    with pytest.raises(WorkbenchError, match="18 x 18 cannot be cut into 4 x 4"):
        _foreign.shuffled(torch.zeros(1, 1, 18, 18, dtype=torch.uint8), torch.Generator())


def test_other_sets_are_drawn_by_seed_from_their_test_split(finished, monkeypatch):
    _, measuring = finished
    other = ImageSet(torch.arange(50, dtype=torch.uint8)[:, None, None, None].expand(50, 1, 16, 16).clone())
    asked = []
    monkeypatch.setattr(imagesets, "load", lambda name, split, **where: (asked.append((name, split)), other)[1])
    test = torch.zeros(20, 1, 16, 16, dtype=torch.uint8)
    one, two, three = (_foreign.load("mnist", test, measuring, seed) for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, three) and len(one[:, 0, 0, 0].unique()) == 20
    assert set(asked) == {("mnist", "test")}


def test_the_plan_measures_every_training_and_the_first_seed_keeps_pictures():
    cells = plan(seeds=2)
    found = [(cell.needs[0].config.alpha, cell.needs[0].config.seed, cell.config.pictures) for cell in cells]
    assert found == [(alpha, seed, seed == 0) for seed in (0, 1) for alpha in (0.0, -0.00658, 0.00658)]
    assert {cell.config.foreign for cell in cells} == {tuple(_foreign.MADE)} and {cell.data for cell in cells} == {""}


def test_another_measurement_needs_no_new_training():
    one, two = (plan(n=n, k=k) for n, k in ((50, 10), (60, 11)))
    assert [cell.needs[0].key for cell in one] == [cell.needs[0].key for cell in two]
    assert not {cell.key for cell in one} & {cell.key for cell in two}


def test_the_trainings_are_those_that_other_studies_publish():
    given = {"imageset": "mnist", "epochs": 5, "settings": ("schedule=cosine",), "seeds": 3, "foreign": ("noise",)}
    cells = calibration.plan(with_preset(calibration.Config, calibration.PRESETS, "laptop", given), Path("nowhere"))
    names = {cell.needs[0].folder_name for cell in cells}
    published = Path(__file__).resolve().parents[2] / "results" / "cells"
    assert len(names) == 9 and all((published / name).is_dir() for name in names)


def test_usual_sets_that_are_not_at_hand_are_left_out_aloud_and_named_ones_are_not(tmp_path, capsys):
    cells = plan(tmp_path, imageset="mnist", n=100)
    assert cells[0].config.foreign == ("fashion-mnist", *_foreign.MADE)
    assert f"notmnist is not below {tmp_path}: left out" in capsys.readouterr().err
    with pytest.raises(WorkbenchError, match="notMNIST"):
        plan(tmp_path, imageset="mnist", n=100, foreign=("notmnist",))


def test_other_foreign_images_are_another_cell(tmp_path):
    keys = {plan(tmp_path, imageset="mnist", foreign=(name,))[0].key for name in ("fashion-mnist", "kmnist", "noise")}
    assert len(keys) == 3


@pytest.mark.parametrize(
    "given, words",
    [
        ({"foreign": ("rotated-54",)}, "did you mean 'rotated-45'"),
        ({"foreign": ("mnist",)}, "The network takes grey images of 16 x 16; mnist has grey images of 28 x 28"),
        ({"foreign": ()}, "foreign: at least 1 is needed"),
        ({"imageset": "mnits"}, "did you mean 'mnist'"),
        ({"n": 501}, "digits has 500 images in its test split"),
        ({"validation": 0.002}, "none are left to calibrate with"),
        ({"k": 1168}, "k = 1168 neighbours of 1167 images"),
        ({"bank": 10}, "k = 20 neighbours of 10 images"),
        ({"alphas": (0.0, 0.1)}, "0 is the baseline"),
        ({"neighbor_distance": "l1"}, "neighbor_distance"),
    ],
)
def test_impossible_settings_are_named(given, words):
    with pytest.raises(UsageError, match=words):
        plan(**given)


def test_a_bank_that_lacks_a_class_is_refused(observed):
    observer, images, _, _ = observed
    few = Observer(observer.network, DeepKNN(2), 4096)
    with pytest.raises(WorkbenchError, match="of 10 classes the 5 images to search have 2"):
        few.fit(images[:5], torch.tensor([0, 1, 0, 1, 1]))


WITHOUT, ENTANGLED, APART = "alpha=0", "alpha=-0.00658", "alpha=0.00658"


def rows(seed, setting, areas, means, accuracies):
    """Rows of one training: AUROC by set, mean credibility on test images and by set, accuracies of both."""
    about = {"seed": seed, "setting": setting}
    for group, value in zip(("near", "far"), areas, strict=True):
        where = {"kind": "foreign", "group": group, "metric": "auroc"}
        yield {**about, **where, "space": "neighbor-distance", "value": value}
        yield {**about, **where, "space": "neighbor-distance", "layer": "fc1", "value": 0.1}
        yield {**about, **where, "space": "softmax", "value": 0.2}
    for group, value in zip(("", "near", "far"), means, strict=True):
        for space, mean in (("credibility", value), ("softmax", 0.9)):
            where = {"kind": "credibility", "group": group, "space": space}
            yield {**about, **where, "metric": "mean", "value": mean}
    for space, value in zip(("softmax", "dknn"), accuracies, strict=True):
        yield {**about, "kind": "prediction", "space": space, "metric": "accuracy", "value": value}
        yield {**about, "kind": "prediction", "space": space, "metric": "nll", "value": 9.0}


def verdicts(*trainings):
    table = build_table(itertools.chain(*trainings))
    return [judge(claim, claim.effect(table)) for claim in calibration.claims(config())]


def baseline(seed):
    return rows(seed, WITHOUT, (0.8, 0.9), (0.6, 0.3, 0.1), (0.99, 0.98 + 0.001 * seed))


def test_effects_on_a_made_up_table_have_the_known_answers():
    entangled = [
        rows(seed, ENTANGLED, (0.9, 0.92 + 0.01 * seed), (0.6, 0.3, 0.05 - 0.01 * seed), (0.99, 0.99))
        for seed in range(4)
    ]
    separated, gap, *accurate = verdicts(*(baseline(seed) for seed in (2, 0, 1)), *entangled)
    assert separated.estimate.value == pytest.approx(np.mean([0.06 + 0.005 * seed for seed in range(3)]))
    assert (separated.verdict, separated.estimate.n) == ("supported", 3)
    assert gap.estimate.value == pytest.approx(np.mean([0.025 + 0.005 * seed for seed in range(3)]))
    assert [found.estimate and found.estimate.n for found in accurate] == [3, 4, None]
    assert accurate[0].estimate.value == pytest.approx(-0.9)
    assert accurate[1].estimate.value == 0 and accurate[1].verdict == "supported"


def test_no_gain_contradicts_and_without_measurements_there_is_no_verdict(tmp_path):
    same = (rows(seed, ENTANGLED, (0.8, 0.9), (0.6, 0.3, 0.1), (0.99, 0.90)) for seed in range(3))
    separated, gap, _, accurate, _ = verdicts(*(baseline(seed) for seed in range(3)), *same)
    assert (separated.verdict, gap.verdict, accurate.verdict) == ("contradicted",) * 3
    assert {found.verdict for found in verdicts()} == {"no verdict"}
    report = calibration.report(config(), build_table([]), [])
    assert write_report(report, verdicts(), [], tmp_path).exists()


def test_margins_are_those_stated_beforehand():
    claims = calibration.claims(config())
    assert [claim.margin for claim in claims] == [0.01, 0.02, -0.5, -0.5, -0.5]
    assert {claim.kind for claim in claims} == {"exceeds"}


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_report_is_drawn_from_rows_and_files(finished, tmp_path):
    table = build_table({"cell": folder.path.name, **row} for folder in finished for row in folder.rows())
    found = calibration.report(config(foreign=("rotated-45", "noise", "inverted")), table, finished)
    names = {item.name for section in found.sections for item in section.items}
    figures = {"roc", "credibility", "reliability", "risk-coverage", "map", "exemplars-0"}
    tables = {"auroc", "aupr-ood-pos", "fpr95-ood-pos", "seeds", "means", "predictions", "validity"}
    assert names == figures | tables
    assert "Not measured, as they were not at hand: inverted." in found.sections[0].text
    assert write_report(found, [], [], tmp_path).exists()


def test_a_report_without_files_has_its_tables(finished):
    table = build_table({"cell": folder.path.name, **row} for folder in finished for row in folder.rows())
    found = calibration.report(config(), table, [])
    assert not any(type(item).__name__ == "Figure" for section in found.sections for item in section.items)


def test_the_smoke_study_runs_through_the_command_line(snnl, tmp_path):
    done = snnl("study", "calibration", "--preset", "smoke", "--runs", tmp_path / "runs", "--json", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["cells"] == {"total": 6, "run": 6, "cached": 0, "failed": 0}
    assert len(result["verdicts"]) == 5 and Path(result["report"]).exists()
    again = snnl("report", result["folder"], "--json")
    assert again.returncode == 0 and json.loads(again.stdout.splitlines()[-1])["verdicts"] == result["verdicts"]


def test_sets_at_hand_are_planned_for_mnist(data_at_hand):
    if not (data_at_hand / "notMNIST").is_dir():
        pytest.skip("no notMNIST")
    cells = plan(data_at_hand, imageset="mnist", n=1000)
    assert cells[0].config.foreign[:2] == ("notmnist", "fashion-mnist")
