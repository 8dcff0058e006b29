"""The plan and the verdicts of the study, on tables whose answer is known."""

import itertools

import pytest

from lab.cells.rows import build_table
from lab.errors import UsageError
from lab.studying.study import study_config
from studies import gan_entanglement as study
from tasks.measure_gan import schedule


def config(**given):
    return study_config("gan-entanglement", "smoke", given)


def test_the_plan_trains_measures_embeds_and_refers():
    cells = study.plan(config(seeds=3))
    kinds = [cell.run.partition(":")[2] for cell in cells]
    assert (kinds.count("measure"), kinds.count("embed"), kinds.count("measure_references")) == (6, 2, 1)
    trainings = {need.key: need for cell in cells for need in cell.needs}
    assert sorted((c.config["gan"], c.config["seed"]) for c in trainings.values()) == [
        (gan, seed) for gan in ("dcgan", "wgan-gp") for seed in range(3)
    ]


def test_a_new_sample_size_needs_no_new_training():
    one, two = (study.plan(config(n=n)) for n in (50, 60))
    assert {need.key for cell in one for need in cell.needs} == {need.key for cell in two for need in cell.needs}
    assert not {cell.key for cell in one if "measure" in cell.run} & {cell.key for cell in two if "measure" in cell.run}


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
        study.plan(config(**given))


def rows(gan, seed, start, end, coverage):
    about = {"kind": "gan", "model": gan, "seed": seed, "split": "test", "n": 100}
    joint = {"side": "joint", "metric": "entanglement"}
    yield {**about, **joint, "step": 0, "kimg": 0, "value": start}
    yield {**about, **joint, "step": 50, "kimg": 6.4, "value": 0.9}
    yield {**about, **joint, "step": 100, "kimg": 12.8, "value": end}
    yield {**about, "side": "real", "metric": "coverage", "step": 100, "kimg": 12.8, "value": coverage}
    yield {**about, **joint, "split": "train", "step": 100, "kimg": 12.8, "value": 0.5}


def verdicts(*trainings):
    from studies.gan_entanglement.report import _verdict

    table = build_table(row for training in trainings for row in rows(*training))
    return [_verdict(claim, table) for claim in study.claims(config())]


def test_a_rise_of_every_seed_is_supported_and_a_fall_contradicted():
    up = [("dcgan", seed, 0.0, 0.3 + 0.01 * seed, 0.5) for seed in range(4)]
    flat = [("wgan-gp", seed, 0.2, 0.2 + 0.01 * seed, 0.5) for seed in range(4)]
    rise, stays, same = verdicts(*up, *flat)
    assert (rise.verdict, rise.estimate.n) == ("supported", 4)
    assert rise.estimate.value == pytest.approx(0.315)
    assert stays.verdict == "contradicted"
    assert same.verdict == "contradicted"


def test_coverage_is_compared_across_architectures():
    one = [("dcgan", seed, 0, 0.3, 0.5 + 0.01 * seed) for seed in range(3)]
    two = [("wgan-gp", seed, 0, 0.3, 0.2 + 0.02 * seed) for seed in range(3)]
    assert verdicts(*one, *two)[2].verdict == "supported"
    assert verdicts(*one, *two)[2].estimate.value == pytest.approx(0.29)


def test_seeds_are_paired_by_their_number():
    trainings = [("dcgan", seed, 0.1 * seed, 0.1 * seed + 0.2, 0.5) for seed in (2, 0, 1)]
    estimate = verdicts(*trainings)[0].estimate
    assert (estimate.low, estimate.high) == pytest.approx((0.2, 0.2))


def test_without_measurements_there_is_no_verdict_and_still_a_report(tmp_path):
    from lab.reporting.report import write_report

    table = build_table([])
    report = study.report(config(), table, [])
    assert [verdict.verdict for verdict in report.verdicts] == ["no verdict"] * 3
    assert write_report(report, tmp_path).exists()


def test_class_names_are_drawn_as_they_are(tmp_path):
    from studies.gan_entanglement.figures import by_class

    names = (r"$\frac$", "<script>", "$", "a & b")  # the first is no formula
    figure = by_class(build_table(rows("dcgan", 0, 0.1, 0.9, 0.5)), ["dcgan"], names)
    figure.drawing.savefig(tmp_path / "figure.svg")


def test_every_gan_is_named_beside_the_classes_once():
    """Also one that has no value at the first class."""
    from studies._gan_figures import by_class

    about = {"kind": "gan", "split": "test", "side": "real", "metric": "entanglement", "kimg": 1, "step": 1, "n": 9}
    cells = [("dcgan", "0"), ("dcgan", "1"), ("wgan-gp", "1")]
    table = build_table({**about, "model": gan, "group": group, "seed": 0, "value": 0.5} for gan, group in cells)
    (axis,) = by_class(table, ["dcgan", "wgan-gp", "none"], ["a", "b"]).drawing.axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["dcgan", "wgan-gp"]
