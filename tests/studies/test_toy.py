"""The toy study: descents that separate and mix, the triplet loss against a naive one, verdicts on known tables."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import faults

from lab.cells.folder import CellFolder
from lab.cells.rows import build_table, pick
from lab.cells.work import work
from lab.config import with_preset
from lab.errors import UsageError
from lab.reporting.report import write_report
from lab.reporting.verdicts import judge
from studies import toy
from studies.toy.effects import at_end, at_start
from studies.toy.figures import mode_distances, scores
from studies.toy.report import NAMES
from tasks import descend

LOCAL = {"data": "nowhere", "download": False}


def config(**given):
    return with_preset(toy.Config, toy.PRESETS, "smoke", given)


def plan(**given):
    return toy.plan(config(**given), Path("nowhere"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The cell of the smoke preset's first seed, done."""
    (cell,) = plan(seeds=1)
    folder = CellFolder.create(cell, tmp_path_factory.mktemp("toy"), LOCAL)
    work(folder)
    return folder


def test_minimising_separates_and_maximising_mixes(finished):
    table = build_table(finished.rows())

    def ends(name, metric, kind="toy"):
        return [float(found(table, name, metric, kind).iloc[0]) for found in (at_start, at_end)]

    start, end = ends("random-minimise", "entanglement")
    assert start > 0.95 and end < 0.01
    assert ends("random-minimise", "entanglement", "control")[1] > 0.9  # it is the labels that the points go by
    start, end = ends("apart-maximise", "entanglement")
    assert start < 0.01 and end > 0.95
    start, end = ends("random-maximise", "one_nn_accuracy")
    assert end < start < 0.4
    kept, merged = (ends(name, "mode_distance")[1] for name in ("modes-minimise", "modes-triplet"))
    assert kept > 1.2 and merged < 0.2


def test_the_frames_are_those_of_the_steps_and_stay_in_the_disk(finished):
    with np.load(finished.path / "descents.npz", allow_pickle=False) as found:
        assert found["steps"].tolist() == descend.frames(descend.schedule(60, 6)) and found["steps"][-1] == 60
        for name in descend.DESCENTS:
            assert found[name].shape == (5, 80, 2)
            assert np.linalg.norm(found[name][1:], axis=2).max() <= descend.RIM * (1 + 1e-6)
        assert (found["modes-minimise"][0] == found["modes-triplet"][0]).all()  # the two are paired


def test_doing_it_twice_gives_the_same_rows(finished, tmp_path):
    (cell,) = plan(seeds=1)
    again = CellFolder.create(cell, tmp_path, LOCAL)
    work(again)
    assert again.rows() == finished.rows()


@pytest.mark.parametrize("kind, blobs", [("random", 3), ("apart", 3), ("modes", 6)])
def test_starts_are_centred_and_of_one_spread(kind, blobs):
    points, modes = descend.start(kind, 50, 3, seed=4)
    assert points.mean(0).abs().max() < 1e-12
    assert points.square().sum(1).mean() == pytest.approx(1)
    squared = torch.cdist(points, points).square().sum() / (50 * 49)
    assert squared == pytest.approx(2 * 50 / 49)  # what the temperatures are shares of
    assert set(modes.tolist()) == set(range(blobs))


def test_a_step_of_rate_1_is_one_of_the_mean_shift():
    """The gradient written out: towards the softmax mean of the own class, away from that of all, and both ways."""
    n, labels = 4, torch.tensor([0, 0, 1, 1])
    points = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.05, 0.0], [1.9, 0.0]], dtype=torch.float64)
    squared = 2 * n / (n - 1)
    settings = config(rate=1.0, temperature=0.01 / squared)
    move = descend.mover(descend.DESCENTS["random-minimise"], labels, settings)
    distances = torch.cdist(points, points).square()
    weights = torch.exp(-distances / 0.01).fill_diagonal_(0)
    same = (labels[:, None] == labels) & ~torch.eye(n, dtype=torch.bool)
    pull = weights * same / (weights * same).sum(1, keepdim=True) - weights / weights.sum(1, keepdim=True)
    expected = points + ((pull + pull.T)[:, :, None] * (points - points[:, None])).sum(1)
    expected = expected * (descend.RIM / expected.norm(dim=1, keepdim=True)).clamp_max(1)
    assert torch.allclose(move(points.clone()), expected)


def test_the_triplet_loss_is_the_mean_over_active_triplets():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(13, 2, generator=generator, dtype=torch.float64)
    labels = torch.arange(13) % 3
    distance = torch.cdist(points, points)
    excess = [
        0.4 + float(distance[a, p] - distance[a, n])
        for a, p, n in itertools.permutations(range(13), 3)
        if labels[a] == labels[p] != labels[n]
    ]
    active = [value for value in excess if value > 0]
    assert 0 < len(active) < len(excess)
    assert float(descend.triplet_loss(points, labels, 0.4)) == pytest.approx(sum(active) / len(active))


def test_without_an_active_triplet_the_loss_is_zero_and_nothing_moves():
    points = torch.tensor([[0.0, 0], [0.1, 0], [9, 0], [9.1, 0]], requires_grad=True)
    loss = descend.triplet_loss(points, torch.tensor([0, 0, 1, 1]), 0.5)
    loss.backward()
    assert loss == 0 and (points.grad == 0).all()


def test_the_distance_of_modes_has_no_unit():
    points, modes = descend.start("modes", 400, 4, seed=0)
    found = descend.mode_distance(points, modes, 4)
    assert found == pytest.approx(2 / (2 * (1 + 2 * descend.SPREAD**2)) ** 0.5, rel=0.03)  # opposite on the unit circle
    assert descend.mode_distance(7 * points + 3, modes, 4) == pytest.approx(found)


def rows(seed, **ends):
    for name, metrics in ends.items():
        for metric, values in metrics.items():
            for step, value in zip((0, 30, 60), (values[0], 0.5, values[1]), strict=True):
                about = {"kind": "toy", "setting": name.replace("_", "-"), "seed": seed, "step": step}
                yield {**about, "metric": metric, "value": value}


def verdicts(*seeds):
    table = build_table(itertools.chain(*seeds))
    return [judge(claim, claim.effect(table)) for claim in toy.claims(config())]


def test_verdicts_on_a_table_whose_answer_is_known():
    found = verdicts(
        *(
            rows(
                seed,
                random_minimise={"entanglement": (1.0, 0.1 + 0.01 * seed)},
                random_maximise={"one_nn_accuracy": (0.25, 0.22 + 0.01 * seed)},
                apart_maximise={"entanglement": (0.0, 0.5 + 0.1 * seed)},
                modes_minimise={"mode_distance": (1.4, 1.3)},
                modes_triplet={"mode_distance": (1.4, 0.1 * seed)},
            )
            for seed in range(3)
        )
    )
    separates, mixes_random, mixes_apart, modes = found
    assert "parts random points" in separates.claim.text and "two modes" in modes.claim.text
    assert "mixes random points" in mixes_random.claim.text and "lie apart" in mixes_apart.claim.text
    assert [verdict.estimate.value for verdict in found] == pytest.approx([0.89, 0.02, 0.6, 1.2])
    assert [verdict.verdict for verdict in found] == ["supported", "contradicted", "inconclusive", "supported"]


def test_without_measurements_there_is_no_verdict_and_still_a_report(tmp_path):
    found = verdicts()
    assert {verdict.verdict for verdict in found} == {"no verdict"}
    assert write_report(toy.report(config(), build_table([]), []), found, [], tmp_path, formats=["svg"]).exists()


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_report_is_drawn_from_rows_and_frames(finished, tmp_path):
    found = toy.report(config(), build_table(finished.rows()), [finished])
    items = {item.name: item for section in found.sections for item in section.items}
    assert items.keys() == {"descents", "modes", "mode-distances", "scores", "ends", "seeds"}
    table = build_table(finished.rows())
    first = items["ends"].rows[0]
    names = [column.header for column in items["ends"].columns]
    assert first[names.index("score, start")].value == at_start(table, "random-minimise", "entanglement")[0]
    shuffled = at_end(table, "random-minimise", "entanglement", "control")
    assert first[names.index("labels shuffled, end")].value == shuffled[0]
    assert first[names.index("own nearest, end")].value == at_end(table, "random-minimise", "one_nn_accuracy")[0]
    assert first[names.index("modes, end")] == "-"
    assert len(items["seeds"].rows) == 5 * 2 + 2
    assert len(items["descents"].data) == 3 * 5 * 80 and set(items["modes"].data["mode"]) == {0, 1}
    assert write_report(found, [], [], tmp_path, formats=["svg"]).exists()


def test_curves_of_several_seeds_are_drawn_with_their_means(finished):
    own = finished.rows()
    seeds = [[{**row, "seed": seed, "value": row["value"] * (1 - 0.1 * seed**2)} for row in own] for seed in range(3)]
    table = build_table(itertools.chain(*seeds))
    drawn = scores(table, NAMES)
    modes = {name: title for name, title in NAMES.items() if name.startswith("modes")}
    assert faults(drawn) == faults(mode_distances(table, modes)) == []
    shuffled = pick(table, kind="control").groupby(["setting", "metric", "step"])["value"].mean()
    dotted = [line for axis in drawn.drawing.axes for line in axis.lines if line.get_linestyle() == ":"]
    places = [(name, metric) for metric in ("entanglement", "one_nn_accuracy") for name in NAMES]
    known = [place for place in places if place in shuffled.index]
    assert [line.get_ydata().tolist() for line in dotted if len(line.get_ydata())] == [
        [*shuffled[one]] for one in known
    ]


def test_too_few_points_for_the_modes_are_refused():
    with pytest.raises(UsageError, match="15 are too few for 4 classes; give 16 or more"):
        plan(points=15)


def test_seeds_are_added_without_doing_others_anew():
    one, two = ([cell.key for cell in plan(seeds=count)] for count in (2, 3))
    assert two[:2] == one


def test_a_study_without_images_has_no_options_of_images(snnl):
    helps = [snnl("study", name, "--help").stdout for name in ("toy", "gan-entanglement")]
    own, other = (set(re.findall(r"--[a-z-]*[a-z]", text)) for text in helps)
    decoding = {"--size", "--channels", "--stretch", "--skip-bad", "--follow-links"}
    images = {*decoding, "--imageset", "--data", "--download", "--checkpoint-minutes", "--tracker", "--device"}
    assert not images & own and images <= other
    assert {"--preset", "--jobs", "--published", "--dry-run", "--runs", "--json"} <= own & other
