"""The study of transfer: its plan, effects on known tables, and what the cells of a small run hold."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import faults

import imagesets
from attacks._frame import attacked
from attacks._target import Target
from classifiers._snapshots import load_classifier
from lab.cells.folder import CellFolder
from lab.cells.rows import build_table, pick
from lab.config import with_preset
from lab.errors import UsageError
from lab.reporting.plots import new_figure
from lab.reporting.statistics import SHARE, mean_interval
from lab.reporting.told import FIXED
from lab.reporting.verdicts import judge
from lab.training.draws import subset
from lab.training.snapshots import snapshots
from studies import calibration, transfer
from studies._attacks import eps_curves
from studies.transfer.figures import curves, gradient_maps, masking, matrix
from studies.transfer.report import _left, _matrix_table
from tasks import train_classifier, transfer_attacks

WITHOUT, ENTANGLED = "alpha=0", "alpha=-0.00658"


def config(**given):
    return with_preset(transfer.Config, transfer.PRESETS, "smoke", given)


def plan(**given):
    return transfer.plan(config(**given), Path("nowhere"))


def test_every_network_attacks_those_of_all_other_seeds_and_the_first_seed_keeps_a_map():
    cells = plan(seeds=3, alphas=(-0.00658, 0.00658))
    assert len(cells) == 9
    for cell in cells:
        source, *targets = (need.config for need in cell.needs)
        others = {0, 1, 2} - {source.seed}
        wanted = {(alpha, seed) for alpha in (0.0, -0.00658, 0.00658) for seed in others}
        assert {(target.alpha, target.seed) for target in targets} == wanted and len(targets) == 6
        assert cell.config.pictures == (source.seed == 0)
        assert cell.config.eps == (0.1, 0.2, 1.0), "the eps of the claims is among them"
    alone = plan(seeds=1)
    assert [len(cell.needs) for cell in alone] == [1, 1]


@pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
def test_the_trainings_are_those_of_the_study_of_calibration(preset):
    given = {"alphas": (-0.00658, 0.00658), "seeds": 2, "n": 40}
    keys = [
        {
            cell.needs[0].key
            for cell in module.plan(module.Config.parse({**module.PRESETS[preset], **given}), Path("nowhere"))
        }
        for module in (transfer, calibration)
    ]
    assert keys[0] == keys[1] and len(keys[0]) == 6


@pytest.mark.parametrize(
    "given, words",
    [
        ({"attacks": ("pgd", "neighbor")}, "see study calibration --attacks neighbor"),
        ({"attacks": ("pdg",)}, "did you mean 'pgd'"),
        ({"attacks": ()}, "attacks: at least 1 is needed"),
        ({"at": 1.5}, r"eps: values are in \[0, 1\]"),
        ({"attack_settings": ("step",)}, "attack_settings: NAME=VALUE"),
        ({"attack_settings": ("stpes=3",)}, "did you mean 'steps'"),
        ({"n": 501}, "digits has 500 images in its test split"),
    ],
)
def test_impossible_settings_are_named(given, words):
    with pytest.raises(UsageError, match=words):
        plan(**given)


def test_other_attacks_are_other_cells_of_the_same_networks():
    """And neither their order, nor that of eps, nor one twice."""
    one, two, same = plan(), plan(attacks=("pgd",)), plan(eps=(1.0, 0.2, 0.1, 1.0), at=0.1)
    assert not {cell.key for cell in one} & {cell.key for cell in two}
    assert [cell.key for cell in same] == [cell.key for cell in one]
    assert [cell.needs[0].key for cell in one] == [cell.needs[0].key for cell in two]


def rows(seed, setting, transferred, clusters):
    """Rows of one source: images fooled of itself and of kinds at eps 0.2, and how entangled gradients' signs are."""
    about = {"seed": seed, "setting": setting, "metric": "success"}
    for group, value in {"": 0.95, **transferred}.items():
        yield {**about, "kind": "attack", "space": "pgd", "side": "0.2", "group": group, "value": value}
        yield {**about, "kind": "attack", "space": "noise", "side": "0.2", "group": group, "value": 0.01}
        yield {**about, "kind": "attack", "space": "pgd", "side": "1", "group": group, "value": 1.0}
        yield {**about, "kind": "attacked", "space": "pgd", "side": "0.2", "group": group, "value": 0.07}
    yield {"seed": seed, "setting": setting, "kind": "gradient", "metric": "entanglement", "value": clusters}


def test_effects_on_a_made_up_table_have_the_known_answers():
    table = build_table(
        row
        for seed in range(3)
        for row in (
            *rows(seed, WITHOUT, {WITHOUT: 0.5 + 0.01 * seed, ENTANGLED: 0.9}, 0.4),
            *rows(seed, ENTANGLED, {WITHOUT: 0.3, ENTANGLED: 0.6 + 0.02 * seed}, 0.5 + 0.01 * seed),
        )
    )
    among, outwards, signs = (judge(claim, claim.effect(table)) for claim in transfer.claims(config()))
    assert among.estimate.value == pytest.approx(-0.11) and among.verdict == "contradicted"
    assert outwards.estimate.value == pytest.approx(0.21) and outwards.verdict == "supported"
    assert signs.estimate.value == pytest.approx(0.11) and signs.estimate.n == 3
    drawn, means = matrix(table, [WITHOUT, ENTANGLED], ["pgd"], 0.2), [[0.95, 0.51, 0.9], [0.95, 0.3, 0.62]]
    np.testing.assert_allclose(drawn.drawing.axes[0].images[0].get_array(), means)
    told = drawn.data.pivot(index="source", columns="target", values="fooled").loc[[WITHOUT, ENTANGLED]]
    np.testing.assert_allclose(told[["itself", WITHOUT, ENTANGLED]], means)
    over_eps = curves(table, [WITHOUT, ENTANGLED])
    assert faults(drawn) == faults(over_eps) == faults(masking(table, [WITHOUT, ENTANGLED], ["pgd", "noise"])) == []
    assert "eps 0.2," in drawn.caption and {*over_eps.data["space"]} == {"pgd"}


def test_a_dot_of_a_map_of_gradients_has_the_colour_of_its_class():
    one = {"coordinates": np.arange(8.0).reshape(4, 2), "label": np.array([0, 1, 0, 1])}
    figure = gradient_maps({WITHOUT: one}, ["cat", "dog"])
    assert faults(figure) == []
    assert [*map(list, figure.data[["class", "x"]].to_numpy())] == [["cat", 0], ["cat", 4], ["dog", 2], ["dog", 6]]


def test_tables_tell_apart_what_is_fooled_what_fools_both_and_what_is_left():
    shares = {"success": (0.3, 0.4, 0.6), "transferred": (0.5, 0.7, 0.8), "accuracy": (0.1, 0.15, 0.3)}
    table = build_table(
        {**about, "kind": "attack", "space": "pgd", "side": "0.2", "setting": WITHOUT, "seed": seed, "value": value}
        for metric, values in shares.items()
        for group in ("", WITHOUT)
        for seed, value in enumerate(values)
        for about in [{"metric": metric, "group": group}]
    )
    fooled, both, left = (mean_interval(values, within=SHARE) for values in shares.values())
    assert _matrix_table(table, [WITHOUT], ["pgd"], 0.2).rows == [["pgd", WITHOUT, fooled, fooled, both]]
    assert _left(table, [WITHOUT]).rows == [["pgd", 0.2, left]]


def test_curves_over_eps_are_in_the_order_of_the_numbers():
    axis = new_figure(2, 2).subplots()
    sides = {"10": (1.0, 2.0, 6.0), "2": (0.0, 1.0, 5.0), "0.5": (3.0, 3.0, 3.0)}
    told = [
        {"side": side, "seed": seed, "value": one} for side, values in sides.items() for seed, one in enumerate(values)
    ]
    eps_curves(axis, build_table(told), "red", "pgd")
    first, *_, mean = ([*map(list, line.get_data())] for line in axis.lines)
    assert first == [[0.5, 2, 10], [3, 0, 1]] and mean == [[0.5, 2, 10], [3, 2, 3]]


def test_margins_are_those_stated_beforehand():
    claims = transfer.claims(config(alphas=(-0.1, 0.1, -0.2)))
    assert [(claim.margin, claim.kind) for claim in claims] == [(0.05, "exceeds")] * 6


@pytest.fixture(scope="module")
def smoke(snnl, once):
    """The smoke study, run once: its home, and what the command printed."""

    def make(home):
        place = ["--runs", "runs", "--executor", "here", "--svg-only", "--json"]
        done = snnl("study", "transfer", "--preset", "smoke", *place, cwd=home)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return once("transfer", make)


def test_the_smoke_study_runs_through_the_command_line(smoke):
    _, result = smoke
    assert result["cells"] == {"total": 8, "run": 8, "cached": 0, "failed": 0}
    assert [found["n"] for found in result["verdicts"]] == [2, 2, 2]


def items_of(report):
    return [item for section in report.sections for item in section.items]


def test_a_report_is_drawn_from_rows_and_files_and_without_files_from_rows(smoke):
    home, result = smoke
    folder = home / result["folder"]
    tables = {path.stem for path in (folder / "tables").glob("*.md")}
    figures = {path.stem for path in (folder / "figures").glob("*.svg")}
    made = {"settings", "environment", "cells", "parameters"}
    assert tables - made == {"transfer", "seeds", "accuracy", "masking", "gradients"}
    assert figures == {"matrix", "transfer-curves", "masking-curves", "gradient-signs"}
    table = pd.read_csv(folder / "rows.csv", keep_default_na=False, dtype={"side": str}, na_values={"value": [""]})
    bare = transfer.report(config(), table, [])
    accuracy, matrix = (next(item for item in items_of(bare) if item.name == name) for name in ("accuracy", "matrix"))
    assert {text.get_gid() for axis in matrix.drawing.axes for text in axis.texts} == {FIXED}
    assert [column.title for column in accuracy.columns[:2]] == ["attack", "eps"] and "↑" in accuracy.columns[2].title
    assert {item.name for item in items_of(bare)} == (tables - made | figures) - {"gradient-signs"}


@pytest.fixture(scope="module")
def source(smoke):
    """The cell that attacked the entangled network of seed 1, and the networks that it needed, loaded anew."""
    home, _ = smoke
    (path,) = (home / "runs" / "cells").glob("transfer-classifier-cnn-digits-a-0.00658-s1-*")
    cell, networks = CellFolder(path), []
    for need in cell.needs:
        run = train_classifier.Config.parse(need.config)
        networks.append((run, load_classifier(snapshots(need.path, "classifier")[-1], run)))
    test = imagesets.load("digits", "test", root=home, download=False)
    picked = subset(len(test), 40, 0, "measured", "test")
    return cell, networks, test.images[picked].float() / 255, test.labels[picked]


@torch.no_grad()
def says(network, x):
    return network(2 * x - 1)[0].argmax(1)


@pytest.mark.parametrize("attack, eps", [("pgd", 0.1), ("noise", 1.0)])
def test_rows_are_what_networks_say_of_images_that_are_attacked_anew(source, attack, eps):
    cell, [(run, own), *others], x, labels = source
    settings = next(
        one for name, one in transfer_attacks.Config.parse(cell.config).attacking() if (name, one.eps) == (attack, eps)
    )
    made = attacked(attack, Target(own), x, labels, settings, seed=run.seed)
    table = pick(build_table(cell.rows()), kind="attack", space=attack, side=f"{eps:g}")
    assert {(other.alpha, other.seed) for other, _ in others} == {(0.0, 0), (-0.00658, 0)} and run.seed == 1

    def value(group, metric):
        (found,) = pick(table, group=group, metric=metric)["value"]
        return found

    fooled = (says(own, x) == labels) & (says(own, made) != labels)
    assert value("", "accuracy") == pytest.approx(float((says(own, made) == labels).float().mean()), abs=1e-6)
    assert value("", "success") == pytest.approx(float(fooled.sum() / (says(own, x) == labels).sum()), abs=1e-6)
    for other, network in others:
        right = says(network, x) == labels
        wrong = right & (says(network, made) != labels)
        assert value(other.setting, "success") == pytest.approx(float(wrong.sum() / right.sum()), abs=1e-6)
        known = right & fooled
        expected = float((wrong & known).sum() / known.sum()) if known.any() else np.nan
        assert value(other.setting, "transferred") == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_the_images_as_they_are_fool_nobody_and_the_largest_attack_leaves_no_more_than_chance(source):
    cell, *_ = source
    table = pick(build_table(cell.rows()), kind="attack")
    assert set(pick(table, space="none", metric="success")["value"]) == {0.0}
    (clean,) = pick(table, space="none", metric="accuracy", group="")["value"]
    (left,) = pick(table, space="pgd", side="1", metric="accuracy", group="")["value"]
    assert left <= 0.2 < clean
    assert set(table["setting"]) == {ENTANGLED} and set(table["seed"]) == {1} and set(table["n"]) == {40}


def test_gradients_are_told_of_and_those_of_the_first_seed_mapped(smoke, source):
    home, _ = smoke
    cell, [(_, network), *_], x, labels = source
    rows = pick(build_table(cell.rows()), kind="gradient").set_index("metric")["value"]
    assert list(rows.index) == ["zero", "vanishing", "values", "entanglement"] and rows["zero"] == 0
    points = x.clone().requires_grad_()
    torch.nn.functional.cross_entropy(network(2 * points - 1)[0], labels, reduction="sum").backward()
    assert rows["values"] == pytest.approx(float((points.grad == 0).double().mean()), abs=1e-3)
    assert 0 < rows["entanglement"] <= 1
    kept = {path.parent.name.rpartition("-s")[2][0] for path in (home / "runs" / "cells").glob("*/gradients.npz")}
    assert kept == {"0"}
    with np.load(next((home / "runs" / "cells").glob("*/gradients.npz"))) as found:
        assert found["coordinates"].shape == (40, 2) and np.array_equal(found["label"], labels)


def test_a_mask_is_seen():
    """Of a network whose gradients vanish, although it is as easily fooled: every share tells, and the table, too."""
    from attacks._gradients import gradients, vanishing

    class Masked(torch.nn.Module):
        def forward(self, x):
            return 1e6 * x.flatten(1)[:, :2], {}

    x = torch.tensor([[0.2, 0.8], [0.9, 0.1]]).view(2, 1, 1, 2)
    found = gradients(Target(Masked()), x, torch.tensor([1, 0]))
    assert vanishing(found)["zero"] == vanishing(found)["vanishing"] == 1
    made_up = [
        {"seed": seed, "setting": one, "kind": "attack", "metric": "success", **where}
        for seed in range(3)
        for one in (WITHOUT, ENTANGLED)
        for where in (
            {"group": "", "space": "pgd", "side": "0.2", "value": 0.1 if one == ENTANGLED else 0.9},
            {"group": "", "space": "square", "side": "0.2", "value": 0.8},
            {"group": WITHOUT, "space": "pgd", "side": "0.2", "value": 0.5},
            {"group": ENTANGLED, "space": "pgd", "side": "0.2", "value": 0.6},
        )
    ]
    report = transfer.report(config(), build_table(made_up), [])
    (table,) = [item for section in report.sections for item in section.items if item.name == "masking"]
    by_network = {row[0]: row[2:] for row in table.rows}
    assert [round(one.value, 6) for one in by_network[ENTANGLED]] == [0.7, 0.5, 0.5]
    assert [round(one.value, 6) for one in by_network[WITHOUT]] == [-0.1, -0.4, -0.4]


def test_what_attacks_leave_by_hand():
    """Four images: the source loses the first two, and had the third wrong, as one of its targets had the first."""
    clean = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]).bool()
    left = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 1], [0, 1, 1, 1]]).bool()
    told = []
    folder = SimpleNamespace(row=lambda **row: told.append((row["group"], row["metric"], row["value"], row["n"])))
    transfer_attacks._tell(folder, {}, {"space": "pgd", "side": "0.1"}, ["", "kind", "kind"], clean, left)
    assert told == [
        ("", "accuracy", 1 / 4, 4),
        ("", "success", pytest.approx(2 / 3), 4),
        ("kind", "accuracy", 4 / 8, 4),
        ("kind", "success", pytest.approx(3 / 7), 4),
        ("kind", "transferred", pytest.approx(2 / 3), 4),
    ]


def test_sizes_are_attacked_as_they_are_written():
    """In order, each once, to the six digits that rows have."""
    assert config(eps=(8 / 255, 0.125, 0.03, 0.125)).eps == (0.03, 0.0313725, 0.125)
