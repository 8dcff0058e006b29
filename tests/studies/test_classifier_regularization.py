"""The plan, the verdicts and the report of the study, on tables whose answer is known."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import faults
from scipy import stats

from lab.cells.rows import build_table
from lab.config import with_preset
from lab.errors import UsageError
from lab.reporting.report import write_report
from lab.reporting.statistics import Estimate
from lab.reporting.verdicts import judge
from studies import classifier_regularization as study
from studies.classifier_regularization import published
from studies.classifier_regularization.effects import MARGIN


def config(**given):
    return with_preset(study.Config, study.PRESETS, "smoke", given)


def plan(**given):
    return study.plan(config(**given), Path("nowhere"))


def trainings(**given):
    return [need for cell in plan(**given) for need in cell.needs]


def test_the_plan_pairs_every_alpha_with_the_baseline():
    cells = plan(seeds=3, alphas=(-0.01, -0.003, 0.01), imagesets=("digits", "mnist"), temperature="learn")
    assert len(cells) == 3 * 4 * 2
    assert all(cell.config.splits == ("test",) for cell in cells)
    varied = {"alpha", "snnl_layers", "temperature", "distance"}
    for images in ("digits", "mnist"):
        for seed in range(3):
            group = [need.config for cell in cells for need in cell.needs]
            group = [one for one in group if (one.imageset, one.seed) == (images, seed)]
            assert sorted(one.alpha for one in group) == [-0.01, -0.003, 0, 0.01]
            rest = [one.model_dump(exclude=varied) for one in group]
            assert all(one == rest[0] for one in rest), "something else than the loss differs"


def test_baselines_do_not_depend_on_the_loss():
    def baselines(**given):
        return {cell.key for cell in trainings(**given) if not cell.config.alpha}

    assert baselines() == baselines(alphas=(-1.0,), snnl_layers=("fc1",), temperature="learn", distance="cosine")
    assert not baselines() & baselines(learning_rate=0.1)


def test_settings_reach_the_classifier():
    (found, *_) = trainings(settings=("width=4", "optimizer=sgd"), learning_rate=0.05, snnl_layers=("fc1", "fc2"))
    own = found.config.settings
    assert (own.width, own.optimizer, own.learning_rate) == (4, "sgd", 0.05)
    assert trainings(snnl_layers=("fc1", "fc2"))[1].config.snnl_layers == ("fc1", "fc2")
    assert trainings(temperature="2.5")[1].config.temperature == 2.5
    assert {cell.config.precision for cell in trainings(precision="bf16")} == {"bf16"}


@pytest.mark.parametrize(
    "given, words",
    [
        ({"alphas": (0.0, -0.1)}, "alphas: 0 is the baseline, which always runs"),
        ({"alphas": ("nan",)}, "alphas.0: .*finite"),
        ({"alphas": ("small",)}, "alphas.0: .*valid number"),
        ({"alphas": ()}, "alphas: at least 1"),
        ({"imagesets": ("mnits",)}, "did you mean 'mnist'"),
        ({"classifier": "cn"}, "did you mean 'cnn'"),
        ({"snnl_layers": ("fc9",)}, "fc9.*(fc1|Known)"),
        ({"snnl_layers": ()}, "^snnl_layers: at least 1 is needed"),
        ({"temperature": "minimise"}, "temperature: minimize, learn or a number above 0"),
        ({"temperature": "-1"}, "temperature: minimize, learn or a number above 0"),
        ({"temperature": "nan"}, "temperature: minimize, learn or a number above 0"),
        ({"settings": ("width",)}, "settings: NAME=VALUE"),
        ({"settings": ("widht=3",)}, "Unknown setting 'widht'; did you mean 'width'"),
        ({"settings": ("width=wide",)}, "width: .*valid integer"),
        ({"learning_rate": 0.0}, "learning_rate: .*greater than 0"),
        ({"epochs": 0}, "epochs: "),
    ],
)
def test_impossible_settings_are_named(given, words):
    with pytest.raises(UsageError, match=words) as error:
        plan(**given)
    assert "\n" not in str(error.value)


def test_alphas_that_tables_cannot_tell_apart_are_one():
    assert config(alphas=(-0.01, "-1e-2", -0.01000000001)).alphas == (-0.01,)


def test_only_negative_alphas_are_claimed_to_help():
    claims = study.claims(config(alphas=(-0.01, 0.01), imagesets=("digits", "mnist")))
    assert [claim.margin for claim in claims] == [-0.1, 0.1] * 2
    assert all("-0.01" in claim.text for claim in claims)
    assert study.claims(config(alphas=(0.01,))) == []


ALPHAS = (-0.01, 0.01)
BASE = (0.900, 0.910, 0.905, 0.920, 0.915)


def rows(images, alpha, seed, accuracy):
    about = {"model": "cnn", "imageset": images, "seed": seed, "setting": f"alpha={alpha:g}", "n": 100}
    test = {**about, "kind": "classifier", "split": "test", "step": 20, "kimg": 2.56}
    yield {**test, "metric": "accuracy", "value": accuracy}
    yield {**test, "metric": "nll", "value": 0.3 + 0.01 * seed}
    yield {**test, "metric": "ece", "value": 0.02}
    for step in (10, 20):
        late = {**about, "step": step, "kimg": step * 0.128}
        yield {**late, "kind": "classifier", "split": "validation", "metric": "accuracy", "value": 0.5}
        yield {**late, "kind": "training", "split": "train", "metric": "cross_entropy", "value": 1 / step}
        if alpha:
            told = {**late, "kind": "training", "split": "train", "n": 10}
            yield {**told, "metric": "no_repeat", "value": 1.0}
            yield {**told, "metric": "vanished_gradient", "value": 3.0, "layer": "fc1"}
            yield {**told, "metric": "snnl", "value": 2.0 / step, "layer": "fc1"}


def table(changes, images="mnist", seeds=5):
    """Rows of baselines and of each alpha with its changes of accuracy."""
    found = [row for seed in range(seeds) for row in rows(images, 0.0, seed, BASE[seed])]
    for alpha, change in changes.items():
        found += [row for seed in range(seeds) for row in rows(images, alpha, seed, BASE[seed] + change[seed])]
    return build_table(found)


def drawn(changes, **given):
    seeds = given.pop("seeds", 5)
    return study.report(config(imagesets=("mnist",), alphas=ALPHAS), table(changes, seeds=seeds), [])


def judged(found, **given):
    claims = study.claims(config(imagesets=("mnist",), alphas=ALPHAS, **given))
    return [judge(claim, claim.effect(found)) for claim in claims]


def verdicts(change, **given):
    return [verdict.verdict for verdict in judged(table({-0.01: change}, **given))]


def test_verdicts_hold_the_paired_interval_against_the_margin():
    up, tiny, down = (np.array([0.010, 0.011, 0.012, 0.011, 0.010]) * factor for factor in (1, 0.01, -1))
    assert verdicts(up) == ["supported", "supported"]
    assert verdicts(tiny) == ["supported", "contradicted"], "within 0.1 points nothing falls, and nothing rises"
    assert verdicts(down) == ["contradicted", "contradicted"]
    assert verdicts([0.02, -0.02, 0.01, -0.01, 0.0]) == ["inconclusive", "inconclusive"]
    assert verdicts(up, seeds=2) == ["no verdict", "no verdict"]


@pytest.mark.parametrize("factor", [1, 50])
def test_the_paired_interval_is_scipys(factor):
    change = factor * np.array([0.004, -0.001, 0.003, 0.000, 0.002])
    (holds, _) = judged(table({-0.01: change}))
    after = 100 * (np.array(BASE) + change)
    expected = stats.ttest_rel(after, 100 * np.array(BASE)).confidence_interval(0.95)
    found = holds.estimate
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)
    assert found.value == pytest.approx(0.16 * factor) and found.n == 5


def test_seeds_without_a_partner_are_left_out():
    found = table({-0.01: [0.01] * 5})
    lonely = found[~((found["setting"] == "alpha=0") & (found["seed"] == 4))]
    assert judged(lonely)[0].estimate.n == 4


def test_each_claim_is_on_the_images_that_it_names():
    both = pd.concat([table({-0.01: [0.01] * 5}), table({-0.01: [-0.02] * 5}, images="digits")])
    claims = study.claims(config(imagesets=("digits", "mnist"), alphas=(-0.01,)))
    assert [claim.text.rpartition(" on ")[2] for claim in claims] == ["digits."] * 2 + ["mnist."] * 2
    assert [claim.effect(both).value for claim in claims] == pytest.approx([-2.0, -2.0, 1.0, 1.0])


def test_rows_are_told_by_the_whole_setting_of_their_training():
    """Of two trainings with one alpha, each is found by what else it says, and by nothing less."""
    plain, learned = table({-0.01: [0.01] * 5}), table({-0.01: [-0.01] * 5})
    entangled = learned["setting"] == "alpha=-0.01"
    learned.loc[entangled, "setting"] = "alpha=-0.01;layers=fc1,fc2;temperature=learn"
    both = pd.concat([plain, learned[entangled]])
    assert judged(both)[0].estimate.value == pytest.approx(1.0)
    given = {"snnl_layers": ("fc2", "fc1"), "temperature": "learn"}
    assert judged(both, **given)[0].estimate.value == pytest.approx(-1.0)
    assert judged(both, temperature="learn")[0].estimate is None


def items(report):
    return {item.name: item for section in report.sections for item in section.items}


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_report_shows_every_seed_direction_and_count(tmp_path):
    report = drawn({-0.01: [0.01] * 5, 0.01: [-0.01] * 5})
    found = items(report)
    first = report.sections[0].text
    assert "alpha = -0.01: negative, so the entanglement" in first and "is maximised, as in the paper" in first
    assert "alpha = 0.01: positive, so the entanglement" in first and "is minimised" in first
    (baseline, below, above) = found["regularization"].rows
    assert baseline[:3] == ["mnist", "0 (baseline)", pytest.approx(92.0)] and baseline[-1] == "-"
    assert below[2] == pytest.approx(93.0) and below[3].value == pytest.approx(92.0) and below[3].n == 5
    assert below[-1].value == pytest.approx(1.0) and above[-1].value == pytest.approx(-1.0)
    assert [below[4].value, below[5].value] == pytest.approx([0.32, 0.02])
    assert len(found["seeds"].rows) == 15
    assert sorted(found["accuracy"].data["seed"].unique()) == list(range(5))
    assert [fault for name in ("accuracy", "calibration", "training") for fault in faults(found[name])] == []
    axes = found["accuracy"].drawing.axes
    named = [label.get_text() for label in axes[0].get_xticklabels()]
    assert named == ["0 (baseline)", "-0.01\nentangled", "0.01\ndisentangled"]
    margins = [part.get_path().get_extents(part.get_patch_transform()) for part in axes[1].patches]
    assert [(one.y0, one.y1) for one in margins] == [pytest.approx((-MARGIN, MARGIN))]
    gradients = found["gradients"].rows[0]
    assert gradients[:4] == ["mnist", "-0.01", "fc1", 100], "two windows of 10 steps, five seeds"
    assert gradients[4:] == [30, pytest.approx(0.3), 10, pytest.approx(0.1)]
    assert write_report(report, [], [], tmp_path, formats=["svg"]).exists()


def test_published_figures_stand_beside_ours():
    shown = items(drawn({-0.01: [0.01] * 5, 0.01: [-0.01] * 5}))["published"].rows
    assert [row[1] for row in shown] == [published.PAPER, published.REPLICATION]
    assert "recalled, unsure" in shown[0][1]
    assert {row[5] for row in shown} == {"-0.01"}, "nothing is published of positive ones"
    assert all(row[-1].startswith("not comparable: the baselines lie") for row in shown), "ours is at 91%"


@pytest.mark.parametrize(
    "gain, note",
    [
        (Estimate(0.4, 0.1, 0.7, 5), "reproduced"),
        (Estimate(0.3, -0.1, 0.7, 5), "not comparable: our interval holds the published difference and none"),
        (Estimate(0.4, -0.1, 0.9, 5), "not comparable: our interval holds the published difference and none"),
        (Estimate(0.4, -0.2, 1.0, 5), "not comparable: our interval is too wide"),
        (Estimate(0.61, 0.1, 1.12, 5), "not comparable: our interval is too wide"),
        (Estimate(2.0, 0.5, 3.5, 5), "differs: our interval lies above"),
        (Estimate(0.1, -0.1, 0.3, 5), "differs: our interval lies below"),
        (Estimate(0.9, 0.8, 1.0, 5), "differs: our interval lies above"),
        (Estimate(0.4, 0.1, 0.7, 2), "not comparable: 2 seeds"),
        (Estimate(0.4, math.nan, math.nan, 1), "not comparable: 1 seed here"),
    ],
)
def test_notes_on_a_published_gain(gain, note):
    paper = published.Published("paper", "mnist", 98.83, 99.23, 99.23)
    assert published.note(paper, 99.2, gain).startswith(note)
    assert published.note(paper, 96.0, gain).startswith("not comparable: the baselines lie 2.8 points apart")


@pytest.mark.parametrize(
    "low, high, note",
    [
        (-0.3, 0.2, "reproduced"),
        (-0.1, 0.1, "differs: our interval holds a part of the published differences only"),
        (-0.1, 0.2, "differs: our interval holds a part of the published differences only"),
        (-0.3, 0.1, "differs: our interval holds a part of the published differences only"),
        (0.0, 1.1, "not comparable: our interval is too wide"),
        (0.2, 0.3, "differs: our interval lies above"),
    ],
)
def test_a_published_range_is_reproduced_by_an_interval_that_holds_all_of_it(low, high, note):
    """From -0.23 to 0.13."""
    theirs = published.Published("replication", "svhn", 99.29, 99.06, 99.42)
    assert published.note(theirs, 99.0, Estimate((low + high) / 2, low, high, 5)).startswith(note)


@pytest.mark.filterwarnings("error::UserWarning")
def test_what_is_not_measured_is_left_out_of_the_report(tmp_path):
    empty = build_table([])
    assert [verdict.verdict for verdict in judged(empty)] == ["no verdict"] * 2
    assert write_report(study.report(config(), empty, []), judged(empty), [], tmp_path / "a", formats=["svg"]).exists()
    partly = build_table(rows("mnist", 0.0, 0, 0.9))
    report = study.report(config(imagesets=("mnist", "digits"), alphas=ALPHAS), partly, [])
    assert write_report(report, [], [], tmp_path / "b", formats=["svg"]).exists()
