"""The study of what measures see: its plan, verdicts on known tables, and its report from a small run."""

import json
from pathlib import Path

import pandas as pd
import pytest

import imagesets
from imagesets import Spec
from lab.cells.rows import build_table
from lab.config import with_preset
from lab.errors import UsageError
from lab.reporting.statistics import share_interval
from lab.reporting.verdicts import judge
from studies import measures
from studies._measures import MEASURES
from studies.measures.effects import SEEN, Measured
from studies.measures.figures import curves, over_n
from studies.measures.names import FAMILIES, called
from studies.measures.report import _errors
from tasks import _faults, _power

SPACE, N, DRAWS = "cnn-0123abcd", 50, 30


def config(preset="smoke", **given):
    return with_preset(measures.Config, measures.PRESETS, preset, given)


def plan(**given):
    return measures.plan(config(**given), Path("nowhere"))


def test_every_fault_is_planted_everywhere_and_needs_the_critical_values_of_its_place():
    cells = plan(preset="paper")
    nulls = [cell for cell in cells if cell.task == "measure-null"]
    places = [(cell.config.space, cell.config.n, cell.config.draws) for cell in nulls]
    assert places == [
        ("classifier", 200, 30),
        ("pixels", 200, 30),
        ("classifier", 1000, 30),
        ("pixels", 1000, 30),
        ("classifier", 3000, 10),
    ]
    for null in nulls:
        planted = [cell for cell in cells if null in cell.needs]
        assert [cell.config.fault for cell in planted] == list(_faults.FAULTS)
        assert {(cell.config.n, cell.config.draws) for cell in planted} == {(null.config.n, null.config.draws)}
    assert len({cell.key for cell in cells}) == len(cells) == 5 * 8


def test_more_faults_change_no_cell_of_others():
    one, two = ({cell.key for cell in plan(faults=faults)} for faults in (("blur",), ("blur", "noise")))
    assert one < two


@pytest.mark.parametrize(
    "given, words",
    [
        ({"faults": ("blurr",)}, "did you mean 'blur'"),
        ({"imageset": "mnits"}, "did you mean 'mnist'"),
        ({"n": (167,)}, "digits has 500 images in its test split; planted faults need 3 times --n 167"),
        ({"n": (5,)}, "greater than or equal to 6"),
        ({"null_draws": 38}, "null_draws: .*greater than or equal to 39"),
        ({"draws": 2}, "draws: .*greater than or equal to 3"),
        ({"spaces": ("pixel",)}, r"spaces\.0: Input should be '(classifier|pixels)' or"),
        ({"spaces": ("pixels",), "pixels_n": 49}, "pixels alone are compared, up to n = 49: give a smaller --n"),
    ],
)
def test_impossible_settings_are_named(given, words):
    with pytest.raises(UsageError, match=words):
        plan(**given)


def test_a_small_image_set_is_compared_at_fewer_images_aloud(monkeypatch):
    small = Spec(1, 16, ("a", "b"), ("train", "test"), {"train": 300, "test": 60})
    monkeypatch.setattr(imagesets, "spec", lambda name, root: small)
    told = []
    assert config("laptop").fitted(Path("nowhere"), told.append).n == (20,)
    assert told == ["n: 20, since digits holds out no more than three times that."]
    assert config("laptop", n=(50,)).fitted(Path("nowhere"), told.append).n == (50,), "what was asked for stays"


def test_classes_are_needed_to_drop_some(monkeypatch):
    bare = Spec(1, 16, (), ("train", "test"), {"train": 1297, "test": 500})
    monkeypatch.setattr(imagesets, "spec", lambda name, root: bare)
    with pytest.raises(UsageError, match="digits has no two classes, of which dropped needs some: name other --faults"):
        plan(spaces=("pixels",))
    assert plan(spaces=("pixels",), faults=("blur", "copies"))


def test_every_measure_has_a_family_whose_time_is_taken_and_a_name_of_its_own():
    timed = {metric for metrics in FAMILIES.values() for metric in metrics}
    assert {metric for _, metric in _power.ALL if not metric.endswith("_gap")} == timed | {"copied"}
    assert len({called(key) for key in _power.ALL}) == len(_power.ALL)


def test_measures_alarm_on_the_side_that_is_worse_and_those_that_are_best_in_the_middle_on_both():
    middle = {"one_nn_accuracy", "density", "vendi", "spread", "class_entropy"}
    assert {metric for (_, metric), tail in _power.WORSE.items() if tail == "either"} == middle
    better = {(one.side, one.metric): one.better for one in MEASURES if one.better and one.metric not in middle}
    worse = {key: {"higher": "low", "lower": "high"}[direction] for key, direction in better.items()}
    assert {key: _power.WORSE[key] for key in worse} == worse and len(worse) == 10
    gaps = {key: tail for key, tail in _power.GAPS.items() if tail != _power.WORSE[key[0], key[1].removesuffix("_gap")]}
    assert gaps == {("generated", "copied_gap"): "low"}, "copies of training images are none of held-out ones"


def rows(key, fault, powers, space=SPACE, n=N):
    """Rows of a measure with a power at each amount of a fault."""
    side, metric = key
    about = {"kind": "power", "side": side, "metric": metric, "space": space, "group": fault, "n": n}
    amounts = _faults.FAULTS[fault].amounts
    yield from ({**about, "setting": f"{a:g}", "value": v} for a, v in zip(amounts, powers, strict=False))
    yield {"kind": "draws", "metric": "draws", "space": space, "group": fault, "n": n, "value": DRAWS}


@pytest.mark.parametrize(
    "powers, expected",
    [
        ((0.8, 0.9, 1, 1), 0.1),
        ((0.0, 0.1, 0.8, 1), 0.3),
        ((0.9, 0.7, 0.9, 1), 0.3),  # it must stay seen
        ((1, 1, 1, 0.79), float("inf")),
        ((), None),
    ],
)
def test_a_fault_is_seen_from_where_the_power_stays_high(powers, expected):
    key = ("real", "entanglement")
    table = build_table(rows(key, "dropped", powers))
    assert Measured(table, key).seen_from("dropped", SPACE, N) == expected


def test_a_power_has_the_exact_interval_of_its_draws():
    key = ("real", "entanglement")
    found = Measured(build_table(rows(key, "dropped", (0.0, 1.0))), key).power("dropped", 0.2, SPACE, N)
    assert (found.value, found.high, found.n) == (1.0, 1.0, DRAWS)
    assert found.low == pytest.approx(0.025 ** (1 / DRAWS))
    assert Measured(build_table([]), key).power("dropped", 0.2, SPACE, N) is None


@pytest.mark.parametrize("hits", [0, 29, 57, 58, 100])
def test_a_power_is_that_of_whole_draws(hits):
    """However the share of them is rounded: 29 of 100 is not quite 0.29 times 100."""
    key = ("real", "entanglement")
    told = [*rows(key, "dropped", (hits / 100,))]
    told[-1]["value"] = 100
    assert Measured(build_table(told), key).power("dropped", 0.1, SPACE, N) == share_interval(hits, 100)


def test_false_alarms_are_whole_draws_too():
    key = ("joint", "fid")
    told = {"group": "none", "space": SPACE, "n": N}
    power = {**told, "kind": "power", "side": key[0], "metric": key[1], "setting": "0", "value": 29 / 100}
    table = build_table([power, {**told, "kind": "draws", "metric": "draws", "value": 100}])
    (alarms,) = _errors(table).items
    assert alarms.rows == [["FID", share_interval(29, 100)]]


def test_bars_over_n_are_the_intervals_of_powers():
    key = ("joint", "entanglement")
    table = build_table([*rows(key, "blur", (0.0, 0.2)), *rows(key, "blur", (0.0, 0.9), n=150)])
    (axis,) = (axis for axis in over_n(table, SPACE, [N, 150], ["blur"], "x").drawing.axes if axis.collections)
    ends = [segment[:, 1].tolist() for segment in axis.collections[0].get_segments()]
    expected = [share_interval(hits, DRAWS) for hits in (6, 27)]
    assert ends == [pytest.approx([one.low, one.high]) for one in expected] and axis.get_xscale() == "log"
    lines = curves(table, SPACE, N, ["blur"], "x").drawing.axes[0].lines
    assert [line.get_ydata()[0] for line in lines[-2:]] == [_power.FALSE_ALARMS, SEEN]


def verdicts(*measured):
    table = build_table(row for one in measured for row in one)
    return {verdict.claim.text: verdict for verdict in (judge(c, c.effect(table)) for c in measures.claims(config()))}


def test_what_is_seen_is_supported_and_what_is_not_is_contradicted():
    generated, real = ("generated", "entanglement"), ("real", "entanglement")
    found = verdicts(rows(generated, "noise", (0, 0, 1, 1, 1)), rows(real, "noise", (0.0, 0.9)))
    assert found["The generated side sees noise (0.1)."].verdict == "supported"
    blind = found["The real side is blind to noise (0.05)."]
    assert (blind.verdict, blind.estimate.value) == ("contradicted", pytest.approx(0.1))
    missed = share_interval(3, DRAWS)
    assert (blind.estimate.low, blind.estimate.high) == pytest.approx((missed.low, missed.high))
    assert found["The generated side sees blur (1)."].verdict == "no verdict"


def test_pixels_do_not_stand_for_the_features_of_which_claims_are():
    key = ("generated", "entanglement")
    assert {one.verdict for one in verdicts(rows(key, "noise", (1,) * 5, space="pixels")).values()} == {"no verdict"}
    assert config(spaces=("pixels",)).claimed == (True, 50)
    assert config("paper").claimed == (False, 1000)


def test_of_copies_the_measure_counts_that_alarms_most():
    text = "No measure that looks at no training image sees copies of them (0.2)."
    blind = [[*rows(key, "copies", (0, 0, 0, 0.1))] for key in _power.WORSE]
    assert verdicts(*blind)[text].verdict == "supported"
    assert verdicts(*blind, rows(("generated", "memorized"), "copies", (1, 1, 1, 1)))[text].verdict == "supported"
    (*_, last) = _power.WORSE
    seen = [rows(key, "copies", (0, 0, 0, 0.9 if key == last else 0.0)) for key in _power.WORSE]
    assert verdicts(*seen)[text].verdict == "contradicted"


def test_only_planted_faults_are_claimed_of():
    assert {claim.text for claim in measures.claims(config(faults=("blur",)))} == {"The generated side sees blur (1)."}


def test_a_report_tells_which_amounts_no_images_were_left_for():
    table = build_table(rows(("joint", "fid"), "dropped", (0.0, 0.5, 1.0)))
    (how, *_) = measures.report(config(faults=("dropped", "blur")), table, []).sections
    assert "missing; 0.1, 0.2, 0.3. Left out, as too few images were left to draw from: 0.5." in how.text
    assert "0.3, 0.5, 0.7, 1." in how.text, "of blur nothing was planted yet"


def test_a_small_study_tells_what_is_seen_and_what_it_costs(planted):
    home, done = planted
    result = json.loads(done.stdout.splitlines()[-1])
    folder = home / result["folder"]
    seen = pd.read_csv(folder / "tables" / "seen-0-pixels-24.csv").set_index("measure")
    assert list(seen.columns) == ["noise", "copies", "seconds"]
    assert seen.loc["joint entanglement", "copies"] == "blind" and seen.loc["memorised", "noise"] == "-"
    assert float(seen.loc["FID", "noise"]) <= 0.4
    rates = pd.read_csv(folder / "tables" / "false-alarms.csv", na_values="-").iloc[:, 1].dropna()
    assert len(rates) > 20 and rates.between(0, 1).all()
    figures = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert figures == {"seen-0-pixels", "power-0-pixels", "copies-0-pixels"}
    assert {one["n"] for one in result["verdicts"]} == {4}
