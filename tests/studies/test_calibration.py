"""The study of calibration: its plan, and effects on known tables."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from lab.cells.rows import build_table
from lab.config import with_preset
from lab.errors import UsageError, WorkbenchError
from lab.reporting.report import write_report
from lab.reporting.verdicts import judge
from studies import calibration
from studies.calibration import figures
from studies.calibration.figures import exemplars
from tasks import _foreign

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


def test_the_smoke_study_runs_through_the_command_line(snnl, tmp_path):
    place = ["--runs", tmp_path / "runs", "--executor", "here", "--json"]
    done = snnl("study", "calibration", "--preset", "smoke", *place)
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
