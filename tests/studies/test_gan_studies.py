"""The studies that compare GANs by every measure: their plans, effects on known tables, and smoke runs."""

import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from drawn import faults

from evaluation.meanings import MEANINGS
from gans._config import TrainingConfig
from lab.cells.cell import with_needs
from lab.cells.rows import build_table
from lab.config import with_preset
from lab.errors import UsageError
from lab.reporting.verdicts import judge
from studies import _gan_figures, gan_architectures, gan_objective
from studies._gan_figures import _places
from studies._gan_tables import every_measure, last_and_best, minutes_a_kimg, ranked
from studies._measures import (
    ENTANGLED,
    FID,
    GENERATED,
    MEASURES,
    PRECISION,
    REAL,
    RECALL,
    Measure,
    floor_of,
    floor_told,
    named_spaces,
)
from studies.gan_architectures.effects import agreement_in, follows, follows_rather
from studies.gan_objective.effects import by_what_is_compared, difference, gain


def config(study, **given):
    return with_preset(study.Config, study.PRESETS, "smoke", given)


def gan_row(measure, value, model="dcgan", seed=0, step=1, space="pixels", **more):
    about = {"kind": "gan", "split": "test", "metric": measure.metric, "side": measure.side, "group": ""}
    return {**about, "model": model, "seed": seed, "step": step, "kimg": step, "space": space, "value": value, **more}


@pytest.mark.parametrize("study", [gan_architectures, gan_objective])
def test_the_classifiers_are_trained_where_the_gans_are(study):
    """On a processor where that is asked for, as many cells side by side as it has cores, whatever GPU is there."""
    cells = with_needs(study.plan(config(study, device="cpu"), Path("nowhere")))
    assert {(cell.task, cell.config.device) for cell in cells if hasattr(cell.config, "device")} == {
        ("train-gan", "cpu"),
        ("train-classifier", "cpu"),
    }


def test_every_training_is_evaluated_in_every_space_beside_its_floor():
    cells = gan_architectures.plan(config(gan_architectures, seeds=2), Path("nowhere"))
    spaces = [[] if cell.task == "interpolate" else [cell.config.space] for cell in cells]
    found = [
        (cell.task, *space, *(need.label for need in cell.needs)) for cell, space in zip(cells, spaces, strict=True)
    ]
    trainings = [f"gan-{gan}-digits-s{seed}" for seed in (0, 1) for gan in ("dcgan", "r3gan")]
    network = "classifier-cnn-digits-a0-s0"
    assert found == [
        ("evaluate-floor", "pixels"),
        *(("evaluate-gan", "pixels", training) for training in trainings),
        ("evaluate-floor", "classifier", network),
        *(("evaluate-gan", "classifier", training, network) for training in trainings),
        *(("interpolate", training) for training in trainings[:2]),
    ]


def test_studies_of_the_same_length_share_their_trainings():
    names = [
        {need.key for cell in study.plan(config(study), Path("nowhere")) for need in cell.needs}
        for study in (gan_architectures, gan_objective)
    ]
    assert len(names[0] & names[1]) >= 2  # the classifier's, and DCGAN's


def test_more_images_than_there_are_and_images_without_classes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="501"):
        gan_architectures.plan(config(gan_architectures, n=501), tmp_path)
    with pytest.raises(UsageError, match="0 is the GAN without the term"):
        config(gan_objective, weights=(0.0, 1.0))


def test_rows_tell_of_the_added_term_and_of_nothing_else():
    def about(**settings):
        return TrainingConfig.parse({"gan": "dcgan", "settings": settings}).about

    assert about(snnl_weight=0.5) == {**about(), "setting": "snnl_weight = 0.5"}
    assert {*about()} == {"model", "imageset", "seed"}
    table = build_table([gan_row(FID, 1.0), gan_row(FID, 2.0, setting="snnl_weight = 0.5")])
    compared = config(gan_objective, weights=(0.5,)).compared
    assert [*by_what_is_compared(table)["model"]] == [name for name in compared if name != "snnl-gan"]


def test_best_is_in_the_measures_own_direction_and_of_a_trained_generator():
    found = [(0, 0, 5.0), (0, 1, 2.0), (0, 2, 3.0), (1, 0, 4.0), (1, 2, 1.0)]
    rows = build_table([gan_row(FID, value, seed=seed, step=step) for seed, step, value in found])
    assert dict(FID.best_by_seed(rows)) == {0: 2.0, 1: 1.0}
    assert dict(Measure("fid", "joint", "", "higher").best_by_seed(rows)) == {0: 3.0, 1: 1.0}
    assert dict(Measure("fid", "joint", "", "").best_by_seed(rows)) == {0: 3.0, 1: 1.0}
    unknown = [gan_row(FID, None, seed=2, step=step) for step in (1, 2)]
    table = build_table([*rows.to_dict("records"), *unknown])
    assert dict(FID.best_by_seed(table)) == {0: 2.0, 1: 1.0}, "a seed of which nothing is known has no best"


def test_what_is_best_where_real_images_have_it_has_no_arrow_and_neither_least_nor_most_is_best():
    """1-NN accuracy below one half tells of copies, a Vendi score above that of real images of noise."""
    middle = [one for one in MEASURES if one.like_real]
    assert [(one.metric, one.better) for one in middle] == [("density", ""), ("one_nn_accuracy", ""), ("vendi", "")]
    nearest = middle[1]
    told = {"dcgan": (0.9, 0.52, 0.25), "wgan-gp": (0.125, 0.9, 0.375), "r3gan": (0.3125, 0.9, 0.75)}
    rows = [
        gan_row(measure, shown, model=model, step=step)
        for model, values in told.items()
        for step, value in enumerate(values, start=1)
        for measure, shown in ((nearest, value), (ENTANGLED, 1 - abs(value - 0.5)))
    ]
    floor = gan_row(nearest, 0.5, seed=0, kind="reference") | {"model": "real"}
    table = build_table([*rows, floor])
    assert _places(nearest, table, "pixels", [*told]) == [2, 1, 2]
    *_, (last, *ends, real), (best, *tops, _) = (
        row[1:] for row in last_and_best(table, [*told], "pixels", "pixels").rows
    )
    assert (last, [one.value for one in ends]) == ("last", [0.25, 0.375, 0.75]) and real.value == 0.5
    assert (best, [one.value for one in tops]) == ("best", [0.52, 0.375, 0.3125])
    (_, meanings, *_) = every_measure(table, [*told], {"pixels": "pixels"}).items
    assert [row[0] for row in meanings.rows] == [ENTANGLED.name, nearest.name], "what they are stands in the report"
    assert {one.metric for one in MEASURES} <= {*MEANINGS}
    without = build_table(rows)
    assert [row[1] for row in last_and_best(without, [*told], "pixels", "pixels").rows] == ["last", "best", "last"]
    assert follows(table, "pixels", ENTANGLED, nearest).value == 1
    assert agreement_in(without, "pixels").names == (ENTANGLED.name,)


def test_the_floor_of_memorised_images_is_that_of_held_out_ones():
    memorised = MEASURES[-1]
    rows = [gan_row(memorised, 0.7, step=step, seed=seed) for step in (0, 1) for seed in (0, 1)]
    rows += [{**row, "side": "real", "value": 0.2 + 0.1 * row["seed"]} for row in rows]
    reference = {"kind": "reference", "model": "real", "side": "joint", "group": "", "split": "train"}
    rows += [{**reference, "space": "pixels", "metric": "fid", "seed": 3, "value": 9.0}]
    table = build_table(rows)
    assert dict(floor_of(memorised, table, "pixels")) == {0: 0.2, 1: pytest.approx(0.3)}
    assert dict(floor_of(FID, table, "pixels")) == {3: 9.0}
    assert named_spaces(build_table([gan_row(ENTANGLED, 1.0, space=name) for name in ("cnn-1f", "pixels")])) == {
        "pixels": "pixels",
        "classifier": "cnn-1f",
    }


def floors(split, pairs, *spaces):
    rows = [gan_row(FID, 1.0, seed=seed, space=space) for space in spaces for seed in range(pairs)]
    return build_table([{**row, "kind": "reference", "model": "real", "split": split, "step": None} for row in rows])


def test_a_report_tells_of_which_images_the_floor_is_and_of_how_many_pairs():
    assert floor_told(build_table([gan_row(FID, 1.0)])) == ""
    several = "Real against real is of 5 pairs of sets of held-out images, without an image in common."
    assert floor_told(floors("test", 5, "pixels", "cnn-1f")) == several
    assert floor_told(floors("test", 1, "pixels")) == (
        "Real against real is of one pair of sets of held-out images, without an image in common. Its band has no "
        "width."
    )
    of_training = (
        "Real against real is of 2 pairs of sets of training images, without an image in common. Held-out ones, with "
        "which generated images are compared, are too few for it. That of memorised images is of held-out ones all the "
        "same."
    )
    assert floor_told(floors("train", 2, "pixels")) == of_training
    fitted = "The classifier was fitted on training images, and may see new ones differently."
    assert floor_told(floors("train", 2, "pixels", "cnn-1f")) == f"{of_training} {fitted}"


@pytest.mark.parametrize("study", [gan_architectures, gan_objective])
def test_both_reports_tell_it_where_they_say_how_they_are_read(study):
    from studies.gan_architectures.report import report as of_architectures
    from studies.gan_objective.report import report as of_objectives

    report, table = of_architectures if study is gan_architectures else of_objectives, floors("train", 1, "pixels")
    assert floor_told(table) in report(config(study), table, []).sections[0].text


def orders(scores, fids, precisions, recalls):
    """Rows of one seed of four GANs at two checkpoints and an untrained one, which must not count."""
    rows = []
    for gan in range(4):
        for step in range(3):
            for measure, values in ((ENTANGLED, scores), (FID, fids), (PRECISION, precisions), (RECALL, recalls)):
                value = values(gan, step) if step else -values(gan, step)
                rows.append(gan_row(measure, value, model=f"gan {gan}", step=step))
    return build_table(rows)


def test_measures_that_order_checkpoints_alike_agree_whichever_direction_is_better():
    table = orders(
        lambda gan, step: gan + step / 10,
        lambda gan, step: 100 - gan - step / 10,
        lambda gan, step: gan + step / 10,
        lambda gan, step: -gan - step / 10,
    )
    assert follows(table, "pixels", ENTANGLED, FID).value == 1
    assert follows(table, "pixels", ENTANGLED, RECALL).value == -1
    assert follows_rather(table, "pixels", ENTANGLED, PRECISION, RECALL).value == 2
    assert follows(table, "classifier", ENTANGLED, FID) is None
    (claim, *_) = gan_architectures.claims(config(gan_architectures))
    assert judge(claim, claim.effect(table)).verdict == "supported"


def test_each_claim_on_orders_is_on_the_measures_and_the_space_that_it_names():
    """In pixels measures agree as is claimed, in the classifier's features the other way round."""
    joint, rising = {1: 3, 2: 1, 3: 2, 4: 5}, {1: 1, 2: 2, 3: 3, 4: 4}
    turned = {ENTANGLED: (joint, 1), FID: (joint, -1), GENERATED: (rising, 1), REAL: (rising, -1)}
    spaces = {"pixels": {PRECISION: 1, RECALL: -1, FID: -1}, "cnn-1f": {PRECISION: -1, RECALL: 1, FID: 1}}
    rows = [
        gan_row(measure, sign * values[seed], seed=seed, space=space)
        for space, own in spaces.items()
        for measure, (values, sign) in ({**turned, **{one: (rising, own[one]) for one in (PRECISION, RECALL)}}).items()
        for seed in values
        for sign in [own[FID] if measure is FID else sign]
    ]
    claims = gan_architectures.claims(config(gan_architectures))
    found = [claim.effect(build_table(rows)) for claim in claims]
    assert [round(one.value, 6) for one in found] == [1, 1, 1, 2, 2, -1, -1, -1, -2, -2]
    assert {one.n for one in found} == {4}, "trainings, and not GANs, are drawn"


def test_each_claim_on_the_objective_is_on_the_gan_the_measure_and_the_space_that_it_names():
    factors = {("dcgan", ""): 0.1, ("snnl-gan", ""): 0.2, ("dcgan", "snnl_weight = 1"): 0.4}
    weights = {(ENTANGLED, "pixels"): 1.0, (ENTANGLED, "cnn-1f"): 0.9, (RECALL, "pixels"): 0.8, (RECALL, "cnn-1f"): 0.7}
    table = build_table(
        gan_row(measure, factor * weight, model=model, seed=seed, space=space, setting=setting)
        for (model, setting), factor in factors.items()
        for (measure, space), weight in weights.items()
        for seed in range(3)
    )
    found = [claim.effect(table).value for claim in gan_objective.claims(config(gan_objective))]
    assert found == pytest.approx([0.1 * 1.0, 0.1 * 0.7, 0.3 * 1.0, 0.3 * 0.7])


def test_the_rows_of_a_measure_are_of_held_out_images_and_of_all_classes_together():
    own, real = gan_row(REAL, 0.5), {"kind": "reference", "model": "real", "split": "train", "seed": 0, "value": 0.9}
    others = [{"split": "train"}, {"group": "3"}, {"side": "generated"}, {"space": "cnn-1f"}, {"metric": "coverage"}]
    others += [{**real, "model": "noise"}, {**real, "group": "3"}]
    table = build_table([own, *({**own, **other} for other in others), {**own, **real}])
    assert REAL.rows(table, "pixels")["value"].tolist() == [0.5]
    assert REAL.rows(table, "pixels", "reference")["value"].tolist() == [0.9]


def test_a_term_is_paired_by_seed_and_another_architecture_is_not():
    rows = [gan_row(RECALL, 0.1 * seed, seed=seed, space="cnn-1f") for seed in range(4)]
    rows += [{**row, "value": row["value"] + 0.3, "setting": "snnl_weight = 1"} for row in rows]
    rows += [{**row, "model": "snnl-gan"} for row in rows[:4]]
    rows += [gan_row(ENTANGLED, 0.5, seed=seed, space="cnn-1f") for seed in range(4)]
    table = build_table(rows)
    paired = gain(table, "dcgan, snnl_weight = 1", "dcgan", "classifier", RECALL)
    assert (paired.value, paired.low) == (pytest.approx(0.3), pytest.approx(0.3))
    welch = difference(table, "snnl-gan", "dcgan", "classifier", RECALL)
    assert welch.value == pytest.approx(0) and welch.high == pytest.approx(-welch.low) and welch.high > 0.1


def test_a_difference_of_shares_ends_at_1_and_one_of_distances_does_not():
    table = build_table(
        gan_row(measure, factor * value, model=model, seed=seed)
        for measure, factor in ((RECALL, 1.0), (FID, 100.0))
        for model, values in (("dcgan", (0.0, 1.0, 0.0)), ("snnl-gan", (1.0, 0.0, 1.0)))
        for seed, value in enumerate(values)
    )
    shares, distances = (difference(table, "snnl-gan", "dcgan", "pixels", measure) for measure in (RECALL, FID))
    assert (shares.low, shares.high) == (pytest.approx(-0.9755, abs=1e-4), 1.0)
    assert (distances.low, distances.high) == pytest.approx((-97.55, 164.22), abs=0.01)
    paired = gain(table, "snnl-gan", "dcgan", "pixels", RECALL)
    assert (paired.low, paired.high) == (-1.0, 1.0)


def test_the_best_is_first_in_each_measures_own_direction_and_equal_ones_share_a_place():
    means = {"dcgan": 1.0, "wgan-gp": 3.0, "r3gan": 3.0, "sngan": 2.0}
    told = [
        gan_row(measure, mean / 10 + seed / 1000, model=model, seed=seed)
        for measure in (ENTANGLED, FID)
        for model, mean in means.items()
        for seed in range(3)
    ]
    table, names = build_table(told), [*means, "snnl-gan"]
    for measure, places, order in (
        (ENTANGLED, [4, 1, 1, 3], ["wgan-gp", "r3gan", "sngan", "dcgan"]),
        (FID, [1, 3, 3, 2], ["dcgan", "sngan", "wgan-gp", "r3gan"]),
    ):
        *found, unknown = _places(measure, table, "pixels", names)
        assert found == places and np.isnan(unknown)
        assert [row[1] for row in ranked(measure, table, "pixels", names, "pixels").rows] == order


def test_figures_draw_every_measure_of_every_gan():
    """Each GAN's ends are so far from the others' that its mean has another place than its most."""
    names, draw = ["second", "first"], np.random.default_rng(0)
    about = {"kind": "gan", "split": "test", "space": "pixels"}
    keys = [(one.metric, one.side) for one in MEASURES]
    found = [
        {**about, "model": name, "seed": seed, "step": step, "kimg": step / 5, "metric": metric, "side": side}
        for metric, side in [*keys, ("memorized", "real")]
        for name, seed, step in itertools.product(names, range(3), (0, 10))
    ]
    held = {**about, "kind": "reference", "model": "real"}
    found += [{**held, "seed": seed, "metric": metric, "side": side} for metric, side in keys for seed in range(3)]
    values = {"second": (0.1, 0.2, 0.9), "first": (0.7, 0.6, 0.8)}  # the most of one, the mean of the other
    known = [{**row, "value": values.get(row["model"], (draw.uniform(),) * 3)[row["seed"]]} for row in found]
    known = [{**row, "value": row["value"] / (2 - row["step"] / 10)} if row["kind"] == "gan" else row for row in known]
    for row in known:  # the same among all GANs
        row["value"] = 0.3 if (row["metric"], row["side"]) == ("memorized", "real") else row["value"]
    table, spaces = build_table(known), {"pixels": "pixels"}
    over, paced = _gan_figures.curves(table, names, "pixels", "pixels"), {"second": 2.0, "first": 3.0}
    minutes, ends = _gan_figures.over_minutes(table, names, spaces, paced), _gan_figures.sides(table, names, spaces)
    ranks = _gan_figures.places(table, names, spaces)
    assert [fault for figure in (over, minutes, ends, ranks) for fault in faults(figure)] == []
    scales = {axis.get_title(loc="left"): axis.get_yscale() for axis in over.drawing.axes if axis.get_visible()}
    assert (scales["FID"], scales["KID"], scales["precision"]) == ("log", "log", "linear")
    timed = minutes.data.dropna(subset=["minutes"])
    assert (timed["minutes"] == timed["kimg"] * timed["model"].map(paced)).all() and timed["minutes"].max() == 6
    place = ranks.data.set_index(["row", "column"])["value"]
    better = {"higher": 1, "lower": 2}
    assert {one.name: place["first", one.name] for one in MEASURES if one.better} == {
        one.name: better[one.better] for one in MEASURES if one.better
    }


def test_a_pace_is_in_minutes():
    cells = [SimpleNamespace(seconds=seconds, config={"kimg": 2.0}) for seconds in (120.0, 240.0)]
    assert minutes_a_kimg({"dcgan": cells, "wgan-gp": []}) == {"dcgan": 1.5}


def test_shares_end_at_1_and_no_other_measure_does():
    shares = {one.metric for one in MEASURES if one.within[1] == 1}
    assert shares == {"entanglement", "precision", "recall", "ball_coverage", "one_nn_accuracy", "memorized"}
    assert {one.within[1] for one in MEASURES if one.metric not in shares} == {math.inf}
    assert {one.metric for one in MEASURES if one.within[0] < 0} == {"kid"}, "which has no bias, and so no end at 0"


@pytest.fixture(scope="module")
def reports(snnl, tmp_path_factory):
    """Both smoke studies, the second of which takes what the first has done: (folder, what it said) by name."""
    home, found = tmp_path_factory.mktemp("gan studies"), {}
    for name in ("gan-architectures", "gan-objective"):
        less = ["--kimg", "0.5", "--n", "50", "--runs", "runs", "--executor", "here", "--svg-only", "--json"]
        done = snnl("study", name, "--preset", "smoke", *less, cwd=home)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.splitlines()[-1])
        found[name] = (home / said["report"]).parent, said
    return found


def test_smoke_studies_run_through_the_command_line_and_share_cells(reports):
    for name, figures in {
        "gan-architectures": {"agreement", "curves-classifier", "curves-pixels", "over-minutes", "places", "sides"},
        "gan-objective": {"curves-classifier", "curves-pixels", "sides"},
    }.items():
        folder, said = reports[name]
        assert said["cells"]["failed"] == 0 and len(said["verdicts"]) == (10 if name == "gan-architectures" else 4)
        assert {path.stem for path in (folder / "figures").glob("*.svg")} == figures
    assert reports["gan-objective"][1]["cells"]["cached"] >= 6


def test_the_reports_tables_hold_what_was_measured(reports):
    import pandas as pd

    folder, said = reports["gan-architectures"]
    rows = pd.read_csv(folder / Path(said["table"]).name, low_memory=False)
    shown = pd.read_csv(folder / "tables" / "measures-pixels.csv").set_index(["measure", "when"])
    fids = rows[(rows["kind"] == "gan") & (rows["metric"] == "fid") & (rows["split"] == "test")]
    fids = fids[(fids["space"] == "pixels") & (fids["model"] == "r3gan")]
    last = fids[fids["step"] == fids["step"].max()]["value"]
    fids = fids[fids["step"] > 0]
    assert shown.loc[("FID ↓", "last"), "r3gan"] == pytest.approx(last.mean())
    assert shown.loc[("FID ↓", "best"), "r3gan"] == pytest.approx(fids.groupby("seed")["value"].min().mean())
    floors = rows[(rows["kind"] == "reference") & (rows["space"] == "pixels") & (rows["metric"] == "fid")]
    assert shown.loc[("FID ↓", "last"), "real against real"] == pytest.approx(np.mean(floors["value"]))
    assert (folder / "report.html").read_text().count("<img") >= 20
