"""The minimum over the temperature against a fine grid, and what a measurement says beside it."""

import math

import pytest
import torch

from snnl_core import entanglement, pairs, soft_nearest_neighbor_loss
from snnl_core.temperature import BETA_LIMIT

DOUBLE = torch.float64


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def mixed():
    return normal(0, 240, 5), torch.arange(240) % 3


def overlapping():
    x, labels = mixed()
    return x + 0.8 * labels[:, None], labels


def clusters_of_clusters():
    """Three classes in six tight clusters: a valley at the size of a cluster, and one at their distance."""
    place = torch.arange(300) % 6
    x = 30 * normal(1, 6, 2)[place] + 0.1 * normal(2, 300, 2)
    coin = torch.rand(300, generator=torch.Generator().manual_seed(3)) < 0.3
    return x, place // 3 + coin


def separated():
    x, labels = mixed()
    return x + 40 * labels[:, None], labels


def losses_on_grid(x, labels, anchors, points=600):
    """The losses of some anchors over 1/T from 0 to the search's limit: (points + 1, anchors)."""
    median = torch.cdist(x, x).square()[labels[:, None] != labels].median()
    grid = torch.cat([torch.zeros(1), torch.logspace(-3, math.log10(BETA_LIMIT), points)]).to(DOUBLE) / median
    apart = (x[anchors, None] - x).square().sum(2)
    others = anchors[:, None] != torch.arange(len(x))
    same = others & (labels[anchors, None] == labels)
    every, own = ((-apart).masked_fill(~those, -math.inf) for those in (others, same))
    shares = [
        (others.sum(1) / same.sum(1)).log(),
        *((b * every).logsumexp(1) - (b * own).logsumexp(1) for b in grid[1:]),
    ]
    return torch.stack(shares)


@pytest.mark.parametrize("data", [mixed, overlapping, clusters_of_clusters, separated])
def test_minimum_is_that_of_a_fine_grid(data):
    x, labels = data()
    groups = torch.arange(len(x)) % 4 - 1
    found = entanglement(x, labels, groups=groups)
    curves = losses_on_grid(x, labels, torch.arange(len(x)))
    assert found.loss <= curves.mean(1).min() + 1e-9
    assert found.loss == pytest.approx(curves.mean(1).min().item(), abs=2e-4)
    for label, own in found.by_class.items():
        assert own.loss == pytest.approx(curves[:, labels == label].mean(1).min().item(), abs=2e-4)
    assert set(found.by_group) == {0, 1, 2}
    for group, own in found.by_group.items():
        assert own.loss == pytest.approx(curves[:, groups == group].mean(1).min().item(), abs=2e-4)
        assert own.n_valid == (groups == group).sum()


@pytest.mark.parametrize("near, lowest_is_cold", [(5, False), (20, True)])
def test_the_lowest_of_two_valleys_is_found(near, lowest_is_cold):
    """One anchor with shells of points around it, by turns of another class and of its own."""
    shells = [(1, 0.5, 1), (near, 1.0, 0), (30, 10.0, 1), (200, 100.0, 0), (300, 3000.0, 1)]
    points = [torch.nn.functional.normalize(normal(i, n, 8), dim=1) * r**0.5 for i, (n, r, _) in enumerate(shells)]
    x = torch.cat([torch.zeros(1, 8, dtype=DOUBLE), *points])
    labels = torch.cat([torch.zeros(1), *(torch.full((n,), c) for n, _, c in shells)]).long()
    curve = losses_on_grid(x, labels, torch.tensor([0]))[:, 0]
    valleys = ((curve[1:-1] < curve[:-2]) & (curve[1:-1] < curve[2:])).nonzero().flatten() + 1
    assert len(valleys) == 2
    assert (curve[valleys[1]] < curve[valleys[0]]) == lowest_is_cold
    found = entanglement(x, labels, groups=torch.arange(len(x)).clamp_max(1) * -1).by_group[0]
    assert found.loss == pytest.approx(curve.min().item(), abs=1e-5)
    assert (found.temperature < 10) == lowest_is_cold


@pytest.mark.parametrize("data", [mixed, overlapping, clusters_of_clusters])
def test_the_loss_at_the_found_temperature_is_the_found_loss(data):
    x, labels = data()
    found = entanglement(x, labels)
    each = soft_nearest_neighbor_loss(x, labels, found.temperature, reduction="none")
    torch.testing.assert_close(found.per_sample, each)
    assert found.loss == pytest.approx(each.mean().item())


def test_separated_data_are_cold():
    found = entanglement(*separated())
    assert (found.loss, found.score, found.at_limit) == (0.0, 0.0, "cold")
    torch.testing.assert_close(found.class_pairs, torch.eye(3, dtype=DOUBLE))


def test_copies_in_both_classes_are_hot():
    x = normal(4, 50, 3)
    found = entanglement(torch.cat([x, x]), torch.arange(100) // 50)
    assert found.at_limit == "hot"
    assert found.temperature == math.inf
    assert found.loss == found.bound == pytest.approx(math.log(99 / 49))
    assert found.score == 1


def test_bound_counts_valid_anchors():
    x = normal(5, 11, 2)
    found = entanglement(x, torch.tensor([0] * 4 + [1] * 6 + [2]))
    assert found.n_valid == 10
    assert found.bound == pytest.approx((4 * math.log(10 / 3) + 6 * math.log(10 / 5)) / 10)
    assert set(found.by_class) == {0, 1}
    assert found.class_pairs[2].isnan().all()
    torch.testing.assert_close(found.class_pairs[:2].sum(1), torch.ones(2, dtype=DOUBLE))
    assert found.per_sample[10] == 0


def test_class_pairs_are_softmax_masses():
    x, labels = overlapping()
    found = entanglement(x, labels)
    logits = -torch.cdist(x, x).square() / found.temperature
    mass = logits.fill_diagonal_(-math.inf).softmax(1)
    expected = torch.stack(
        [torch.stack([mass[labels == a][:, labels == b].sum(1).mean() for b in range(3)]) for a in range(3)]
    )
    torch.testing.assert_close(found.class_pairs, expected, atol=1e-8, rtol=1e-6)


def test_no_pair_has_no_score():
    found = entanglement(normal(6, 6, 2), torch.arange(6))
    assert math.isnan(found.score)
    assert found.n_valid == 0
    assert not found.by_class


def test_one_class_has_a_loss_of_0_and_no_score():
    found = entanglement(normal(6, 6, 2), torch.full((6,), 3), groups=torch.tensor([0, 0, 0, 0, 1, -1]))
    assert (found.loss, found.bound, found.n_valid) == (0, 0, 6)
    assert math.isnan(found.score)
    assert {group: own.n_valid for group, own in found.by_group.items()} == {0: 4, 1: 1}
    assert found.class_pairs.tolist() == [[1]]
    assert found.per_sample.tolist() == [0] * 6


def test_autocast_does_not_lower_the_precision():
    x, labels = overlapping()
    plain = entanglement(x.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = entanglement(x.float(), labels)
    assert cast.loss == plain.loss
    assert torch.equal(cast.class_pairs, plain.class_pairs)


def test_names_of_labels_do_not_matter():
    x, labels = overlapping()
    names = torch.tensor([-7, 2**40, 5])
    found, renamed = entanglement(x, labels), entanglement(x, names[labels])
    assert renamed.classes.tolist() == [-7, 5, 2**40]
    assert renamed.loss == pytest.approx(found.loss, rel=1e-9)
    for label, name in enumerate(names.tolist()):
        assert renamed.by_class[name].loss == pytest.approx(found.by_class[label].loss, rel=1e-9)
    order = torch.tensor([0, 2, 1])
    torch.testing.assert_close(renamed.class_pairs, found.class_pairs[order][:, order], atol=1e-6, rtol=0)


def test_a_sample_of_anchors_estimates_the_whole():
    x, labels = normal(7, 1500, 3), torch.arange(1500) % 2
    x += 0.5 * labels[:, None]
    whole = entanglement(x, labels)
    assert whole.stderr == 0
    generator = torch.Generator().manual_seed(1)
    parts = [entanglement(x, labels, anchors=300, generator=generator) for _ in range(20)]
    assert all(part.n_valid == 300 for part in parts)
    errors = torch.tensor([(part.loss - whole.loss) / part.stderr for part in parts])
    assert errors.abs().max() < 4
    assert 0.4 < errors.std() < 1.8


def test_the_standard_error_is_that_of_a_draw_without_replacement():
    x, labels = overlapping()
    found = entanglement(x, labels, anchors=60)
    drawn = found.per_sample[found.per_sample > 0]
    assert len(drawn) == 60 and found.loss == pytest.approx(drawn.mean().item(), rel=1e-9)
    assert found.stderr == pytest.approx((drawn.var() / 60 * (1 - 60 / 240)).sqrt().item(), rel=1e-9)


def test_a_draw_has_so_many_of_every_group_or_all_there_are():
    x, labels = mixed()
    groups = torch.stack([labels, torch.where(torch.arange(240) < 47, torch.arange(240) // 40, -1)])
    for seed in range(5):
        drawn = pairs.all_pairs(x, labels).draw(4, torch.Generator().manual_seed(seed), groups, each=10)
        assert drawn.tolist() == sorted(set(drawn.tolist())) and len(drawn) <= 4 + 4 * 10
        for row in groups:
            for group, size in zip(*row[row >= 0].unique(return_counts=True), strict=True):
                assert (row[drawn] == group).sum() >= min(10, size)


def test_float32_agrees_with_float64_and_order_does_not_matter():
    x, labels = overlapping()
    found = entanglement(x, labels)
    assert entanglement(x.float(), labels).loss == pytest.approx(found.loss, rel=1e-5)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    assert entanglement(x[order], labels[order]).loss == pytest.approx(found.loss, rel=1e-9)


def test_cosine_is_half_the_squared_distance_on_the_sphere():
    x, labels = overlapping()
    unit = torch.nn.functional.normalize(x, dim=1)
    cosine, plain = entanglement(3 * x, labels, distance="cosine"), entanglement(unit, labels)
    assert cosine.loss == pytest.approx(plain.loss, rel=1e-6)
    assert cosine.temperature == pytest.approx(plain.temperature / 2, rel=1e-3)


def test_more_anchors_than_are_scanned():
    x, labels = normal(8, 2600, 2), torch.arange(2600) % 2
    x += 0.7 * labels[:, None]
    groups = torch.where(torch.arange(2600) < 3, 1, 0)
    found = entanglement(x, labels, groups=groups)
    each = soft_nearest_neighbor_loss(x, labels, found.temperature, reduction="none")
    assert found.loss == pytest.approx(each.mean().item())
    assert found.by_group[1].n_valid == 3


def test_small_groups_among_many_points_are_at_their_minimum_too():
    """The sample that shows where to look has members of each, however few they are."""
    x, labels = normal(9, 3000, 3), torch.arange(3000) % 2
    x += 0.7 * labels[:, None]
    groups = torch.where(torch.arange(3000) < 60, torch.arange(3000) // 3, -1)
    found = entanglement(x, labels, groups=groups).by_group
    curves = losses_on_grid(x, labels, torch.arange(60), 150)
    for group in range(20):
        curve = curves[:, groups[:60] == group].mean(1)
        assert found[group].n_valid == 3
        if found[group].at_limit != "cold":  # where the end of the search lies depends on a sample of distances
            assert found[group].loss <= curve.min() + 1e-6
        else:
            assert curve[-1] == curve.min()


def test_the_same_anchors_are_drawn_however_the_points_are_held(monkeypatch):
    x, labels = normal(10, 300, 3), torch.arange(300) % 3
    direct = entanglement(x, labels, anchors=40)
    monkeypatch.setattr(pairs, "SMALL", 0)
    tiled = entanglement(x, labels, anchors=40)
    assert torch.equal(direct.per_sample > 0, tiled.per_sample > 0)
    assert tiled.loss == pytest.approx(direct.loss, rel=1e-8)


@pytest.mark.parametrize(
    "change, settings, words",
    [
        ({"row": math.nan}, {}, "row 3 of x is not finite"),
        ({"row": math.inf}, {}, "row 3 of x is not finite"),
        ({}, {"anchors": 0}, "at least one"),
        ({}, {"distance": "l1"}, "unknown distance"),
        ({}, {"groups": torch.zeros(3, dtype=torch.int64)}, "groups must be"),
    ],
)
def test_bad_input_is_refused(change, settings, words):
    x, labels = mixed()
    x[3, 1] = change.get("row", 0.0)
    with pytest.raises(ValueError, match=words):
        entanglement(x, labels, **settings)


def test_groups_must_be_integers():
    x, labels = mixed()
    with pytest.raises(TypeError, match="groups must be integers"):
        entanglement(x, labels, groups=labels.float())


def test_a_measurement_is_shown_in_a_line_and_in_notebooks():
    x, labels = mixed()
    found = entanglement(x, labels)
    assert repr(found).startswith(f"Entanglement(score={found.score:.4g}, loss=") and "classes=3)" in repr(found)
    assert len(repr(found)) < 200 and "\n" not in repr(found)
    shown = found._repr_html_()
    assert shown.count("<tr>") == 4 and f">{found.by_class[1].score:.2f}<" in shown and "on 2" in shown
    alone = entanglement(x[:5], torch.tensor([0, 0, 0, 0, 9]))._repr_html_()
    assert "<td>-</td>" in alone, "a class without a valid anchor"
    assert "The first 20 of 240 classes" in entanglement(x, torch.arange(240))._repr_html_()
