"""The study of calibration: its plan, and effects on known tables."""

import itertools
import json
import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import faults
from PIL import Image
from sklearn.metrics import roc_auc_score

import imagesets
from attacks._frame import attacked
from attacks._target import Target
from classifiers._credibility import Observer
from classifiers._snapshots import load_classifier
from lab.cells.folder import CellFolder
from lab.cells.rows import build_table, pick
from lab.config import with_preset
from lab.errors import UsageError, WorkbenchError
from lab.reporting.report import write_report
from lab.reporting.statistics import POSITIVE, SHARE, mean_interval
from lab.reporting.verdicts import judge
from lab.training.draws import subset
from lab.training.snapshots import snapshots
from snnl_core import DeepKNN
from studies import calibration
from studies.calibration import figures
from studies.calibration.attacked import _gained, _verdict, sections
from studies.calibration.figures import exemplars
from studies.calibration.report import ROC
from tasks import _foreign, attack_credibility, train_classifier
from tasks._neighbors import split

WITHOUT, ENTANGLED, APART = "alpha=0", "alpha=-0.00658", "alpha=0.00658"


def config(**given):
    return with_preset(calibration.Config, calibration.PRESETS, "smoke", given)


def plan(data=Path("nowhere"), **given):
    return calibration.plan(config(**given), data)


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


def test_images_that_cannot_be_cut_are_not_shuffled(tmp_path, capsys):
    for name, i in itertools.product("ab", range(40)):
        place = tmp_path / "images" / name / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng([ord(name), i]).integers(0, 256, (18, 18), np.uint8)).save(place)
    own = imagesets.settle(f"folder:{tmp_path / 'images'}", tmp_path, size=18)
    cells = plan(tmp_path, imageset=own, n=5, k=3, validation=0.5, settings=("batch=16",))
    assert cells[0].config.foreign == tuple(name for name in _foreign.MADE if name != "shuffled")
    assert "shuffled cannot be made of 18 x 18 pixels, which 4 does not divide: left out" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"shuffled cannot be made of 18 x 18 pixels.*: name other foreign sets"):
        plan(tmp_path, imageset=own, n=5, k=3, validation=0.5, settings=("batch=16",), foreign=("noise", "shuffled"))


@pytest.mark.filterwarnings("error")
def test_classes_that_no_font_can_write_are_numbers_on_exemplars(tmp_path):
    images, names = np.zeros((2, 1, 8, 8), np.uint8), ["cat", "\U00010380"]
    near = {"neighbor_images": np.zeros((2, 1, 2, 1, 8, 8), np.uint8), "neighbor_labels": np.ones((2, 1, 2), int)}
    facts = {"group": ["", "noise"], "label": [0, -1], "predicted": [1, 1], "credibility": [0.5, 0.1], "index": [3, 4]}
    arrays = {name: np.array(values) for name, values in facts.items()}
    figure = exemplars("alpha=0", 0, {"images": images, "layers": np.array(["fc"]), **near, **arrays}, names)
    figure.drawing.savefig(tmp_path / "figure.svg")
    assert [text.get_text() for text in figure.drawing.axes[0].texts][:3] == ["fc", "cat: 1? 0.50", "1 1"]
    assert figure.data["neighbours"][0] == f"{names[1]} {names[1]}" and figure.data["predicted"][0] == names[1]


def test_other_foreign_images_are_another_cell(tmp_path):
    keys = {plan(tmp_path, imageset="mnist", foreign=(name,))[0].key for name in ("fashion-mnist", "kmnist", "noise")}
    assert len(keys) == 3
    (twice, *_), (once, *_) = (plan(tmp_path, foreign=names) for names in (("noise", "noise"), ("noise",)))
    assert twice.key == once.key
    assert config(foreign=("noise", "shuffled", "noise")).foreign == ("noise", "shuffled"), "and the same study"


@pytest.mark.parametrize(
    "given, words",
    [
        ({"foreign": ("rotated-54",)}, "did you mean 'rotated-45'"),
        ({"foreign": ("mnist",)}, "The network takes grey images of 16 x 16; mnist has grey images of 28 x 28"),
        ({"foreign": ()}, "foreign: at least 1 is needed"),
        ({"foreign": ("noise", "digits")}, "digits is what the network is trained on: its images are not foreign"),
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


@pytest.mark.parametrize("group", ["near", "far"])
def test_a_mean_over_foreign_sets_is_of_all_of_them_or_of_none(group):
    """Of a seed that lacks one, by itself or as no number, it would be a mean of others than its partner's."""
    entangled = [[*rows(seed, ENTANGLED, (0.9, 0.92), (0.6, 0.3, 0.05), (0.99, 0.99))] for seed in range(4)]
    entangled[0] = [row for row in entangled[0] if row.get("group") != group]
    for row in entangled[1]:
        row["value"] = None if row.get("group") == group else row["value"]
    separated, gap, *_ = verdicts(*(baseline(seed) for seed in range(4)), *entangled)
    assert separated.estimate.n == gap.estimate.n == 2


def test_no_gain_contradicts_and_without_measurements_there_is_no_verdict(tmp_path):
    same = (rows(seed, ENTANGLED, (0.8, 0.9), (0.6, 0.3, 0.1), (0.99, 0.90)) for seed in range(3))
    separated, gap, _, accurate, _ = verdicts(*(baseline(seed) for seed in range(3)), *same)
    assert (separated.verdict, gap.verdict, accurate.verdict) == ("contradicted",) * 3
    assert {found.verdict for found in verdicts()} == {"no verdict"}
    report = calibration.report(config(), build_table([]), [])
    assert write_report(report, verdicts(), [], tmp_path, formats=["svg"]).exists()


def test_margins_are_those_stated_beforehand():
    claims = calibration.claims(config())
    assert [claim.margin for claim in claims] == [0.01, 0.02, -0.5, -0.5, -0.5]
    assert {claim.kind for claim in claims} == {"exceeds"}


def measured(seed, setting, factor):
    """Rows of one training in which every number is another: `factor` times one that tells what it is of."""
    about = {"seed": seed, "setting": setting, "n": 100}
    areas = {"auroc": 0.5, "aupr_ood_pos": 0.4, "aupr_id_pos": 0.3, "fpr95_ood_pos": 0.2, "fpr95_id_pos": 0.1}
    told = [
        {"kind": "foreign", "group": "near", "space": "softmax", "metric": name, "value": areas[name]} for name in areas
    ]
    means = itertools.product({"credibility": 0.1, "softmax": 0.2}.items(), {"": 0.3, "near": 0.4}.items())
    told += [
        {"kind": "credibility", "group": group, "space": space, "metric": "mean", "value": one + other}
        for (space, one), (group, other) in means
    ]
    metrics = {"accuracy": 0.3, "nll": 2.0, "brier": 1.3, "ece": 0.1, "ece_equal_mass": 0.2, "aurc": 0.05}
    told += [{"kind": "prediction", "space": "dknn", "metric": name, "value": value} for name, value in metrics.items()]
    told += [
        {"kind": kind, "group": "0.05", "space": "valid", "side": side, "metric": "p_at_most", "value": one + other}
        for kind, one in {"validity": 0.1, "resampled": 0.2}.items()
        for side, other in {"low": 0.01, "share": 0.02, "high": 0.03}.items()
    ]
    return [{**about, **row, "value": factor * row["value"]} for row in told]


def test_each_table_of_a_report_has_what_it_says():
    factors = {WITHOUT: (1.0, 1.1, 1.4), ENTANGLED: (1.2, 1.4, 1.9)}
    trainings = [measured(seed, one, values[seed]) for one, values in factors.items() for seed in range(3)]
    report = calibration.report(config(), build_table(itertools.chain(*trainings)), [])
    found = {item.name: item for section in report.sections for item in section.items}

    def mean(value, setting, within=SHARE):
        return mean_interval([value * factor for factor in factors[setting]], within=within)

    for name, value, words in (
        ("auroc", 0.5, "AUROC: "),
        ("aupr-ood-pos", 0.4, "AUPR, foreign ones positive"),
        ("fpr95-ood-pos", 0.2, "Share of test images flagged where 95% of the foreign ones are"),
    ):
        (row,) = found[name].rows
        assert row[:3] == ["near", "softmax", ""] and found[name].caption.startswith(words)
        gained = mean_interval([value * change for change in (0.2, 0.3, 0.5)])
        expected = [mean(value, WITHOUT), mean(value, ENTANGLED), gained]
        assert np.array([*map(astuple, row[3:])]) == pytest.approx(np.array([*map(astuple, expected)]))
    assert found["means"].rows == [
        [one, space, mean(value + 0.3, one), mean(value + 0.4, one)]
        for one in factors
        for space, value in (("credibility", 0.1), ("softmax", 0.2))
    ]
    votes = next(row for row in found["predictions"].rows if row[:2] == [ENTANGLED, "dknn"])
    ranges = {"nll": (2.0, POSITIVE), "brier": (1.3, (0.0, 2.0)), "ece": (0.1, SHARE)}
    assert votes[3:6] == [mean(value, ENTANGLED, within) for value, within in ranges.values()]
    assert found["validity"].rows == [
        [one, "valid", words, mean(value + 0.02, one)]
        for one in factors
        for words, value in (("calibration images", 0.1), ("random splits", 0.2))
    ]


def test_curves_and_histograms_show_what_the_files_hold():
    draw, names = np.random.default_rng(0), ["alpha=0", "alpha=-0.01"]
    scores = [f"reliability/{view}" for view in figures.RELIABLE]
    pairs = [
        "p_values",
        *(f"risk/{view}" for view in figures.RISKS),
        *(f"roc/{score}/{group}" for score in ROC for group in ("noise", "inverted")),
    ]
    found = {
        name: [
            {"credibility/": draw.uniform(size=4), "credibility/noise": draw.uniform(size=4)}
            | {score: draw.uniform(10, 20, (3, 3)) for score in scores}
            | {pair: draw.uniform(size=(5, 2)) for pair in pairs}
            for _ in range(2)
        ]
        for name in names
    }
    shares, reliable = figures.histograms(found, ["noise"]), figures.reliability(found)
    risks, curves = figures.risk_coverage(found), figures.roc(found, ["noise", "inverted"], ROC)
    assert [fault for figure in (shares, reliable, risks, curves) for fault in faults(figure)] == []
    dotted = [line for axis in reliable.drawing.axes for line in axis.lines if line.get_linestyle() == ":"]
    assert len(dotted) == 4 and all([*line.get_xdata()] == [*line.get_ydata()] for line in dotted)
    for name, group in itertools.product(names, ("", "noise")):
        mean = sum(one[f"credibility/{group}"] / one[f"credibility/{group}"].sum() for one in found[name]) / 2
        assert [*pick(shares.data, setting=name, images=group or "test")["share"]] == pytest.approx([*mean])
    of_lines = [
        (reliable, "", ["level", "share"]),
        (risks, "risk/", ["coverage", "risk"]),
        (curves, "roc/", ["fpr", "tpr"]),
    ]
    for figure, kind, columns in of_lines:
        for (of, name, line), rows in figure.data.groupby(["of", "setting", "line"]):
            assert (rows[columns].to_numpy() == found[name][int(line)][f"{kind}{of}"]).all()
    for view, name in itertools.product(figures.RELIABLE, names):
        pooled = figures._pooled([one[f"reliability/{view}"] for one in found[name]])
        assert [*pick(reliable.data, of=view, setting=name)["accuracy"]] == [*pooled[1]]


def test_an_exemplar_stands_beside_its_own_neighbours():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    near = 100 + np.arange(12, dtype=np.uint8).reshape(3, 2, 2)[..., None, None, None] * np.ones((1, 8, 8), np.uint8)
    facts = {"group": ["", "noise", "noise"], "label": [2, -1, -1], "predicted": [1, 0, 2], "index": [3, 4, 5]}
    facts |= {
        "credibility": [0.5, 0.1, 0.2],
        "layers": ["fc1", "fc2"],
        "neighbor_labels": np.arange(12).reshape(3, 2, 2) % 3,
    }
    one = {"images": images, "neighbor_images": near, **{name: np.array(values) for name, values in facts.items()}}
    figure = figures.exemplars("alpha=0", 0, one, ["a", "b", "c"])
    (axis,) = figure.drawing.axes
    said = {text.get_text(): text.get_position() for text in axis.texts}
    assert [*said] == ["fc1", "fc2", "c: b? 0.50", "a b", "c a", "noise: a? 0.10", "b c"]
    sheet, below = np.asarray(axis.images[0].get_array())[..., 0], 9
    assert [sheet[int(said[words][1]) + below - 4, 4] for words in ("c: b? 0.50", "noise: a? 0.10")] == [0, 1]
    rows = [[100, 101, 102, 103], [104, 105, 106, 107]]
    for words, values in zip(("c: b? 0.50", "noise: a? 0.10"), rows, strict=True):
        line = sheet[int(said[words][1]) + below - 4, 3 * 8 :]
        assert [value for value in dict.fromkeys(line.tolist()) if value] == values
    assert figure.data["neighbours"].tolist() == ["a b", "c a", "b c", "a b"]


def test_bins_of_all_seeds_are_weighed_by_their_images():
    """Two seeds: of three bins the first is empty in one, and in the last there are too few images."""
    one, other = (
        [[math.nan, math.nan, 0], [0.5, 0.4, 30], [0.9, 1.0, 4]],
        [[0.1, 0.3, 10], [0.6, 0.8, 10], [0.9, 0.0, 5]],
    )
    confidence, accuracy, count = figures._pooled([np.array(one), np.array(other)])
    assert count.tolist() == [10, 40]
    assert confidence == pytest.approx([0.1, 0.525]) and accuracy == pytest.approx([0.3, 0.5])


@pytest.mark.parametrize(
    "gained, said",
    [
        ([[0.0, 0.1], [0.2]], "Check: neighbor"),
        ([[math.nan], [0.1]], "Check: neighbor"),
        ([[0.3, 0.0], [0.2, -0.125]], "Check failed: for some seed neighbor"),
        ([[math.nan], [-0.125, math.nan, 0.5]], "(by 0.125 at worst)"),
        ([[math.nan], []], "Nothing to check"),
    ],
)
def test_an_adaptive_attack_is_held_against_what_transfers_wherever_a_share_is_known(gained, said):
    """Where the neighbours of a setting had no image right, none is."""
    found = {(str(setting), "0.2"): pd.Series(values, dtype=float) for setting, values in enumerate(gained)}
    assert said in _verdict(found)


def test_what_an_adaptive_attack_gains_is_beside_what_transfers_of_the_same_seed():
    about = {"setting": ENTANGLED, "side": "0.2", "metric": "dknn_success"}
    shares = {"neighbor": (0.75, 0.5), "pgd": (0.25, 0.75), "noise": (0.0, 0.0)}
    table = build_table(
        {**about, "space": space, "seed": seed, "value": value}
        for space, values in shares.items()
        for seed, value in enumerate(values)
    )
    assert {key: one.to_dict() for key, one in _gained(table).items()} == {(ENTANGLED, "0.2"): {0: 0.5, 1: -0.25}}


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_report_is_drawn_from_rows_and_files(finished, tmp_path):
    table = build_table({"cell": folder.path.name, **row} for folder in finished for row in folder.rows())
    found = calibration.report(config(foreign=("rotated-45", "noise", "inverted")), table, finished)
    names = {item.name for section in found.sections for item in section.items}
    figures = {"roc", "credibility", "reliability", "risk-coverage", "map", "exemplars-0"}
    tables = {"auroc", "aupr-ood-pos", "fpr95-ood-pos", "seeds", "means", "predictions", "validity"}
    assert names == figures | tables
    assert "Not measured, as they were not at hand: inverted." in found.sections[0].text
    assert write_report(found, [], [], tmp_path, formats=["svg"]).exists()


def test_a_report_without_files_has_its_tables(finished):
    table = build_table({"cell": folder.path.name, **row} for folder in finished for row in folder.rows())
    found = calibration.report(config(), table, [])
    assert not any(type(item).__name__ == "Figure" for section in found.sections for item in section.items)


def test_maps_of_one_layer_that_earlier_versions_kept_are_drawn_beside_others():
    old = {"coordinates": np.zeros((4, 2)), "group": np.array(["", "", "noise", "noise"])}
    new = {**old, "layers": np.array(["a", "b"]), "coordinates/a": old["coordinates"] + 1, "group/a": old["group"]}

    def panels(found):
        drawn = figures.maps(found, ("noise",))
        axes = [axis for axis in drawn.drawing.axes if axis.get_visible()]
        assert all(len(axis.collections) == 2 for axis in axes)
        return [axis.get_title("left") for axis in axes], len(drawn.data)

    assert panels({"x": old, "y": old}) == (["x", "y"], 8)
    assert panels({"x": new, "y": old}) == (["x, a", "x, b", "y"], 12)
    assert panels({"x": new})[0] == ["x, a", "x, b"] and panels({"x": old})[0] == ["x"]


def test_seven_foreign_sets_and_the_test_images_have_colours_of_their_own():
    names = _foreign.usual("mnist")
    assert len(names) == 7 and len(set(figures.by_set(names).values())) == 8


@pytest.fixture(scope="module")
def smoke(snnl, once):
    """The smoke study with attacks, run once: its home, and what the command printed."""

    def make(home):
        attacks = "--attacks neighbor --attacked 24 --attacked-bank 500 --eps 0.2 --at 0.2 --alphas -0.00658".split()
        small = "--settings width=8 --attack-settings steps=8,step=0.3 --n 60 --foreign noise".split()
        place = "--runs runs --executor here --svg-only --json".split()
        done = snnl("study", "calibration", "--preset", "smoke", *attacks, *small, *place, cwd=home)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return once("calibration", make)


def test_the_smoke_study_runs_through_the_command_line(snnl, smoke):
    home, result = smoke
    assert result["cells"] == {"total": 6, "run": 6, "cached": 0, "failed": 0}
    assert len(result["verdicts"]) == 8 and (home / result["report"]).exists()
    again = snnl("report", result["folder"], "--svg-only", "--json", cwd=home)
    assert again.returncode == 0 and json.loads(again.stdout.splitlines()[-1])["verdicts"] == result["verdicts"]


def test_rows_of_attacked_images_are_what_neighbours_say_of_images_attacked_anew(smoke, tmp_path):
    home, _ = smoke
    (path,) = (home / "runs" / "cells").glob("attacked-classifier-cnn-digits-a-0.00658-s0-*")
    cell = CellFolder(path)
    (training,) = cell.needs
    run, given = train_classifier.Config.parse(training.config), attack_credibility.Config.parse(cell.config)
    network = load_classifier(snapshots(training.path, "classifier")[-1], run)
    train, test = (imagesets.load("digits", split, root=home, download=False) for split in ("train", "test"))
    parts = split(len(train), given, run.validation, 0)
    observer = Observer(network, DeepKNN(given.k, given.distance), given.max_features, tmp_path)
    observer.fit(train.pixels(parts.bank), train.classes(parts.bank))
    observer.calibrate(train.pixels(parts.calibration), train.classes(parts.calibration))
    picked = subset(len(test), 24, 0, "measured", "test")
    x, labels = test.images[picked].float() / 255, test.labels[picked]
    table, clean = pick(build_table(cell.rows()), kind="attacked"), observer.see(x)
    target = Target(network, observer.knn)
    told = pick(table, space="none").set_index("metric")["value"]
    assert told["credibility"] == pytest.approx(float(clean.found.credibility.mean()), abs=1e-9)
    assert told["success"] == told["dknn_success"] == 0 and told["distance_auroc"] == 0.5
    for name, settings in given.attacking():
        seen = observer.see(attacked(name, target, x, labels, settings, seed=0))
        rows = pick(table, space=name, side="0.2").set_index("metric")["value"]
        right = seen.found.labels == labels
        assert rows["dknn_accuracy"] == pytest.approx(float(right.double().mean()), abs=1e-9)
        assert rows["accuracy"] == pytest.approx(float((seen.logits.argmax(1) == labels).double().mean()), abs=1e-9)
        known = clean.found.labels == labels
        assert rows["dknn_success"] == pytest.approx(float((~right & known).sum() / known.sum()), abs=1e-6)
        assert rows["confidence"] == pytest.approx(float(seen.logits.softmax(1).amax(1).mean()), abs=1e-6)
        both = np.concatenate([1 - one.found.credibility.numpy() for one in (clean, seen)])
        assert rows["credibility_auroc"] == pytest.approx(roc_auc_score(np.repeat([0, 1], 24), both), abs=1e-9)
    assert [*dict.fromkeys(table["space"])] == ["none", "neighbor", "pgd"]


def test_attacked_images_are_reported_with_the_check_of_the_adaptive_attack(smoke):
    home, _ = smoke
    cells = [CellFolder(path) for path in sorted((home / "runs" / "cells").iterdir())]
    table = build_table({"cell": cell.path.name, **row} for cell in cells for row in cell.rows())
    given = config(attacks=("neighbor",), at=0.2, alphas=(-0.00658,))
    section = calibration.report(given, table, cells).sections[-1]
    assert section.title == "Attacked images" and "Check: neighbor fools the neighbours on at least" in section.text
    assert [item.name for item in section.items] == ["attacked", "attacked", "attacked-seeds", "adaptive"]
    weak = table.copy()
    weak.loc[(weak["space"] == "neighbor") & (weak["metric"] == "dknn_success"), "value"] = -0.125
    assert "Check failed: for some seed neighbor fools" in calibration.report(given, weak, cells).sections[-1].text


def attacked_rows(seed, setting, falls):
    """Rows of one training: mean credibility and softmax of images as they are, and under attacks."""
    about = {"seed": seed, "setting": setting, "kind": "attacked"}
    for (attack, eps), values in {("none", "0"): (0.6, 0.95), **falls}.items():
        for metric, value in zip(("credibility", "confidence"), values, strict=True):
            yield {**about, "space": attack, "side": eps, "metric": metric, "value": value}


def test_effects_of_attacks_on_a_made_up_table_have_the_known_answers():
    here, there = ("pgd", "0.2"), ("neighbor", "0.2")
    table = build_table(
        row
        for seed in range(3)
        for row in (
            *attacked_rows(seed, WITHOUT, {here: (0.3, 0.9), there: (0.7, 0.9)}),
            *attacked_rows(seed, ENTANGLED, {here: (0.25 - 0.01 * seed, 0.9), there: (0.7, 0.5)}),
        )
    )
    claims = calibration.claims(config(attacks=("neighbor",), at=0.2, alphas=(-0.00658,)))[-4:]
    pgd, softmax, neighbor, beside = (judge(claim, claim.effect(table)) for claim in claims)
    assert pgd.estimate.value == pytest.approx(0.06) and pgd.verdict == "supported"
    assert softmax.estimate.value == pytest.approx(0.31) and neighbor.estimate.value == pytest.approx(0)
    assert beside.estimate.value == pytest.approx(-0.55) and beside.verdict == neighbor.verdict == "contradicted"
    assert sections(config(), build_table(attacked_rows(0, WITHOUT, {})), [WITHOUT]) == [], "nothing was attacked"


def test_attacks_are_cells_of_their_own_and_change_nothing_of_the_others():
    without, attacked_too = plan(), plan(attacks=("noise",))
    assert [cell.key for cell in attacked_too[:3]] == [cell.key for cell in without] and len(attacked_too) == 6
    assert [cell.needs[0].key for cell in attacked_too[3:]] == [cell.needs[0].key for cell in without]
    assert [cell.config.bank for cell in attacked_too[3:]] == [2000] * 3
    assert [cell.config.bank for cell in plan(attacks=("noise",), bank=600)[3:]] == [600] * 3, "no more than else"
    with pytest.raises(UsageError, match="digits has 500 images in its test split"):
        plan(attacks=("noise",), attacked=501)


def test_sets_at_hand_are_planned_for_mnist(data_at_hand):
    if not (data_at_hand / "notMNIST").is_dir():
        pytest.skip("no notMNIST")
    cells = plan(data_at_hand, imageset="mnist", n=1000)
    assert cells[0].config.foreign[:2] == ("notmnist", "fashion-mnist")
