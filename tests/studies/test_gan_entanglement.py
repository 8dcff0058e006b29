"""The plan and the verdicts of the study, on tables whose answer is known."""

import itertools
import random
from pathlib import Path

import pytest
from drawn import faults

from lab.cells.rows import build_table, pick
from lab.config import with_preset
from lab.errors import UsageError
from lab.reporting.report import write_report
from lab.reporting.statistics import SHARE, mean_interval
from lab.reporting.verdicts import judge
from studies import gan_entanglement as study
from studies.gan_entanglement.figures import _at_end, by_class, final_comparison, over_training, sides, splits
from studies.gan_entanglement.report import FINAL_MEASURES, _final_table
from tasks.train_gan import schedule


def config(**given):
    return with_preset(study.Config, study.PRESETS, "smoke", given)


def plan(**given):
    return study.plan(config(**given), Path("nowhere"))


def test_the_plan_trains_measures_embeds_and_refers():
    cells = plan(seeds=3)
    tasks = [cell.task for cell in cells]
    assert (tasks.count("measure-gan"), tasks.count("embed"), tasks.count("measure-references")) == (6, 2, 1)
    trainings = {need.key: need for cell in cells for need in cell.needs}
    assert sorted((c.config.gan, c.config.seed) for c in trainings.values()) == [
        (gan, seed) for gan in ("dcgan", "wgan-gp") for seed in range(3)
    ]
    assert {(c.config.settings.width, c.config.kimg, c.config.kept_at) for c in trainings.values()} == {
        (8, 3.0, schedule(3.0, 4))
    }


def test_a_new_sample_size_needs_no_new_training():
    one, two = (plan(n=n) for n in (50, 60))
    assert {need.key for cell in one for need in cell.needs} == {need.key for cell in two for need in cell.needs}
    measures = [{cell.key for cell in cells if cell.task.startswith("measure")} for cells in (one, two)]
    assert len(measures[0]) == 5 and not measures[0] & measures[1]


def test_measurements_are_denser_early():
    times = schedule(100.0, 14)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert (times[0], times[-1], len(times)) == (0, 100, 14)
    assert all(a < b for a, b in itertools.pairwise(gaps))


@pytest.mark.parametrize(
    "given, words",
    [
        ({"gans": ("dcgann",)}, "did you mean 'dcgan'"),
        ({"imageset": "mnits"}, "did you mean 'mnist'"),
        ({"n": 501}, "digits has 500 images in its smaller split; --n 501"),
        ({"seeds": 0}, "seeds: .*greater than or equal to 1"),
        ({"kimg": -1.0}, "kimg: .*greater than 0"),
        ({"gans": ()}, "gans: "),
    ],
)
def test_impossible_settings_are_named(given, words):
    with pytest.raises(UsageError, match=words):
        plan(**given)


def rows(gan, seed, start, end, coverage):
    about = {"kind": "gan", "model": gan, "seed": seed, "split": "test", "n": 100}
    joint = {"side": "joint", "metric": "entanglement"}
    yield {**about, **joint, "step": 0, "kimg": 0, "value": start}
    yield {**about, **joint, "step": 50, "kimg": 6.4, "value": 0.9}
    yield {**about, **joint, "step": 100, "kimg": 12.8, "value": end}
    yield {**about, "side": "real", "metric": "coverage", "step": 100, "kimg": 12.8, "value": coverage}
    yield {**about, **joint, "split": "train", "step": 100, "kimg": 12.8, "value": 0.5}


def verdicts(*trainings):
    table = build_table(row for training in trainings for row in rows(*training))
    return [judge(claim, claim.effect(table)) for claim in study.claims(config())]


def test_a_rise_of_every_seed_is_supported_and_a_fall_contradicted():
    up = [("dcgan", seed, 0.0, 0.3 + 0.01 * seed, 0.5) for seed in range(4)]
    flat = [("wgan-gp", seed, 0.2, 0.2 + 0.01 * seed, 0.5) for seed in range(4)]
    rise, stays, same = verdicts(*up, *flat)
    assert (rise.verdict, rise.estimate.n) == ("supported", 4)
    assert rise.estimate.value == pytest.approx(0.315)
    assert stays.verdict == "contradicted"
    assert same.verdict == "contradicted"


def test_a_rise_is_that_of_both_sides_together_against_held_out_images():
    joint = [row for seed in range(3) for row in rows("dcgan", seed, 0.1, 0.4, 0.5)]
    start, *_, trained = joint[:5]
    others = [{"side": "generated"}, {"side": "real"}, {"metric": "coverage"}, {"split": "train"}, {"group": "3"}]
    beside = [
        {**row, **other, "seed": seed, "value": value}
        for seed in range(3)
        for other in others
        for row, value in ((start, 0.9), *([] if "split" in other else [({**start, "step": 100}, 0.2)]))
    ]
    assert trained["split"] == "train" and trained["step"] == 100
    claim = study.claims(config())[0]
    assert claim.effect(build_table([*joint, *beside])).value == pytest.approx(0.3)


def test_coverage_is_compared_across_architectures():
    one = [("dcgan", seed, 0, 0.3, 0.5 + 0.01 * seed) for seed in range(3)]
    two = [("wgan-gp", seed, 0, 0.3, 0.2 + 0.02 * seed) for seed in range(3)]
    assert verdicts(*one, *two)[2].verdict == "supported"
    assert verdicts(*one, *two)[2].estimate.value == pytest.approx(0.29)


def test_the_final_table_is_against_held_out_and_against_training_images():
    table = build_table(row for seed in range(3) for row in rows("dcgan", seed, 0.1, 0.25 * (seed + 1), 0.7))
    found = {tuple(row[:2]): row[2] for row in _final_table(table, ["dcgan"]).rows}
    assert found["joint entanglement", "held-out"] == mean_interval([0.25, 0.5, 0.75], within=SHARE)
    assert found["joint entanglement", "training"] == mean_interval([0.5] * 3)
    assert found["coverage of classes", "training"] == "-"


def test_the_end_is_that_of_each_gans_training():
    longer = [{**row, "step": 3 * row["step"]} for row in rows("wgan-gp", 0, 0.1, 0.8, 0.6)]
    ends = pick(_at_end(build_table([*rows("dcgan", 0, 0.1, 0.4, 0.5), *longer])), metric="entanglement", split="test")
    assert dict(zip(ends["model"], ends["value"], strict=True)) == {"dcgan": 0.4, "wgan-gp": 0.8}


def test_seeds_are_paired_by_their_number():
    trainings = [("dcgan", seed, 0.1 * seed, 0.1 * seed + 0.2, 0.5) for seed in (2, 0, 1)]
    estimate = verdicts(*trainings)[0].estimate
    assert (estimate.low, estimate.high) == pytest.approx((0.2, 0.2))


def test_without_measurements_there_is_no_verdict_and_still_a_report(tmp_path):
    found = verdicts()
    assert [verdict.verdict for verdict in found] == ["no verdict"] * 3
    assert write_report(study.report(config(), build_table([]), []), found, [], tmp_path, formats=["svg"]).exists()


def test_figures_draw_the_means_of_seeds_and_of_what_they_are_held_against():
    """Whatever a published report has no two values of."""
    gans, joint = ("dcgan", "wgan-gp"), {"side": "joint", "metric": "entanglement"}
    about = [joint, {**joint, "side": "generated"}, {**joint, "metric": "one_nn_accuracy"}]
    about += [{"side": "real", "metric": "entanglement", "group": group} for group in ("", "0", "1", "2")]
    draw = random.Random(0)
    found = [
        {"kind": "gan", "model": gan, "split": split, "seed": seed, "step": step, "kimg": step / 4, "n": 9, **one}
        for gan, split, seed, step, one in itertools.product(gans, ("test", "train"), range(3), (0, 10, 20), about)
    ]
    held = itertools.product(("real", "noise"), range(3), about)
    found += [
        {"kind": "reference", "model": name, "split": "test", "seed": seed, "n": 9, **one} for name, seed, one in held
    ]
    table = build_table({**row, "value": draw.random()} for row in found)
    drawn = [over_training(table, gans), sides(table, gans), splits(table, gans)]
    ends = [final_comparison(table, gans, FINAL_MEASURES), by_class(table, gans, ["0", "1", "2"])]
    assert [fault for figure in (*drawn, *ends) for fault in faults(figure)] == []
    for figure in ends:
        assert {*figure.data["step"].dropna()} == {20} and len(figure.drawing.axes[0].containers) >= 6


@pytest.mark.filterwarnings("error::UserWarning")
def test_class_names_are_drawn_as_they_are(tmp_path):
    names = (r"$\frac$", "<script>", "$", "a & b")  # the first is no formula
    figure = by_class(build_table(rows("dcgan", 0, 0.1, 0.9, 0.5)), ["dcgan"], names)
    figure.drawing.savefig(tmp_path / "figure.svg")


@pytest.mark.filterwarnings("error")
def test_classes_that_no_font_can_write_are_numbers_beside_a_table(tmp_path, monkeypatch):
    names = ("cat", "\U00010380\U00010381", "\U00010382")
    monkeypatch.setitem(study.report.__globals__, "classes_of", lambda cells: names)
    found = study.report(config(gans=("dcgan",)), build_table(rows("dcgan", 0, 0.1, 0.9, 0.5)), [])
    page = write_report(found, [], [], tmp_path, formats=["svg"]).read_text(encoding="utf-8")
    items = [item for one in found.sections for item in one.items]
    (figure,) = (item for item in items if getattr(item, "name", "") == "real-side-by-class")
    assert [label.get_text() for label in figure.drawing.axes[0].get_xticklabels()] == ["cat", "1", "2"]
    assert all(name in page for name in names) and "figures show their numbers" in page


def test_of_many_classes_the_worst_and_the_best_are_shown(monkeypatch):
    monkeypatch.setitem(study.report.__globals__, "classes_of", lambda cells: tuple(f"class {i}" for i in range(300)))
    *joint, coverage, _ = rows("dcgan", 0, 0.1, 0.9, 0.5)
    own = {**coverage, "metric": "entanglement"}
    reached = [{**own, "group": str(i), "value": (i * 7 % 300) / 300} for i in range(300)]
    found = study.report(config(gans=("dcgan",)), build_table([*joint, *reached]), [])
    items = {getattr(item, "name", ""): item for one in found.sections for item in one.items}
    places = [int(row[0].split()[1]) * 7 % 300 for row in items["classes-extreme"].rows]
    assert places == [*range(20), *range(280, 300)] and not items["classes-extreme"].folded
    assert len(items["classes"].rows) == 300 and items["classes"].folded
    assert len(items["real-side-by-class"].drawing.axes[0].get_xticks()) == 40
    assert len(items["real-side-by-class"].data) == 300


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("measures", [FINAL_MEASURES, FINAL_MEASURES[::-1], FINAL_MEASURES[1:3]])
def test_a_gan_is_in_the_legend_once_whichever_measure_it_lacks(measures, tmp_path):
    trainings = [*rows("dcgan", 0, 0.1, 0.9, 0.5), *rows("wgan-gp", 0, 0.1, 0.9, 0.5)]
    figure = final_comparison(build_table(trainings), ["dcgan", "wgan-gp"], measures)
    figure.drawing.savefig(tmp_path / "figure.svg")
    (axis,) = figure.drawing.axes
    named = [text.get_text() for text in axis.get_legend().get_texts()] if axis.get_legend() else []
    assert named == ([] if measures == FINAL_MEASURES[1:3] else ["dcgan", "wgan-gp"])
