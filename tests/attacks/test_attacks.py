"""Attacks in closed form, against naive computations, and where gradients say nothing."""

import math

import pytest
import torch
from targets import CLASSES, Net, Scored, images_of, trained

from attacks import bim, fgsm, neighbor, noise, pgd, square
from attacks._ascent import climb, slope
from attacks._ball import Ball, lengths, unit
from attacks._draws import Draws
from attacks._frame import attacked
from attacks._gradients import vanishing, vanishing_gradients
from attacks._neighbors import Neighbors
from attacks._squares import Window, hills, side_of, tiled
from attacks._target import Target, margin
from lab.errors import UsageError

WEIGHTS = torch.tensor([[3.0, -1.0], [0.5, 2.0]], dtype=torch.float64)


def linear(scale=1.0):
    """Two classes of images of 2 x 2: the second has the logit sum of WEIGHTS x, the first 0."""
    return Target(Scored(lambda x: scale * torch.stack([0 * x.sum((1, 2, 3)), (WEIGHTS * x).sum((1, 2, 3))], 1)))


def inside(n=6, size=2):
    generator = torch.Generator().manual_seed(0)
    return 0.4 + 0.2 * torch.rand(n, 1, size, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name, module", [("fgsm", fgsm), ("bim", bim), ("pgd", pgd)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_on_a_linear_network_the_gradient_gives_the_best_point_of_the_ball(name, module, norm, loss):
    x, labels = inside(), torch.tensor([0, 1] * 3)
    steps = {} if name == "fgsm" else {"steps": 200}
    found = attacked(name, linear(), x, labels, module.Config.parse({"norm": norm, "eps": 0.1, "loss": loss, **steps}))
    direction = WEIGHTS.sign() if norm == "linf" else WEIGHTS / WEIGHTS.norm()
    expected = x + 0.1 * (1 - 2 * labels.double()).view(-1, 1, 1, 1) * direction
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 if name == "pgd" else 1e-12)


def test_pgd_keeps_the_best_point_of_all_and_restarts_only_help():
    x, labels = images_of(60, 2)
    target, won = trained(), []
    for settings in ({"steps": 1}, {"steps": 6}, {"steps": 6, "restarts": 4}):
        config = pgd.Config.parse({"eps": 0.2, **settings})
        made = attacked("pgd", target, x, labels, config)
        target.network.eval()
        with torch.no_grad():
            won.append(margin(target.logits(made), labels))
        target.network.train()
    assert (won[2] >= won[1] - 1e-9).all() and won[1].mean() > won[0].mean()


def test_the_last_step_counts_and_so_does_the_first_point():
    """An objective whose best point is where it ends, or where it begins."""
    x = inside(3)
    ball = Ball(x, "linf", 0.1)
    for sign, expected in ((1, x + 0.1), (-1, x)):
        found = climb(lambda y, s=sign: (y.sum((1, 2, 3)), s * y.detach().sum((1, 2, 3))), ball, x, 10, 0.1)
        torch.testing.assert_close(found.x, expected, rtol=0, atol=1e-12)


def test_a_slope_that_is_no_number_moves_nothing():
    x = inside(2)
    gradient, _ = slope(lambda y: ((y - y).sqrt().sum((1, 2, 3)) + y[:, 0, 0, 0], y.detach().sum((1, 2, 3))), x)
    assert (gradient == 0).all()
    assert torch.equal(Ball(x, "l2", 0.3).step(x, gradient, 1), x)
    for sign in (1, -1):
        gradient, _ = slope(
            lambda y, s=sign: (s * (y - y.detach()).sqrt().sum((1, 2, 3)), y.detach().sum((1, 2, 3))), x
        )
        assert (gradient == 0).all(), "nor does an infinite one"


def test_noise_has_the_size_of_fgsm():
    x, labels = inside(400), torch.zeros(400, dtype=torch.int64)
    for norm, size in (("linf", lambda change: change.abs()), ("l2", lambda change: lengths(change))):
        change = attacked("noise", linear(), x, labels, noise.Config.parse({"norm": norm, "eps": 0.1})) - x
        torch.testing.assert_close(size(change), torch.full_like(size(change), 0.1), rtol=1e-6, atol=0)
        assert change.mean((0, 1)).abs().max() < 0.1 * 4 / math.sqrt(400)


def test_lengths_do_not_vanish_or_overflow():
    x = torch.tensor([[3e-30, 4e-30], [3e30, 4e30], [0, 0]])
    torch.testing.assert_close(lengths(x), torch.tensor([5e-30, 5e30, 0]))
    torch.testing.assert_close(unit(x), torch.tensor([[0.6, 0.8], [0.6, 0.8], [0, 0]]))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_points_are_uniform_in_the_ball(norm):
    """In d dimensions the share within half of the ball is 2 to the -d."""
    x = torch.full((4000, 1, 1, 2), 0.5, dtype=torch.float64)
    change = Ball(x, norm, 0.25).anywhere(Draws.by(0, range(4000))) - x
    size = change.flatten(1).abs().amax(1) if norm == "linf" else lengths(change)
    assert size.max() <= 0.25 + 1e-12
    assert abs((size < 0.125).double().mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)
    assert change.flatten(1).mean(0).abs().max() < 0.01


def test_draws_of_an_image_are_its_own():
    whole, alone = Draws.by(7, range(5)), Draws.by(7, [3])
    assert torch.equal(whole.normal(2, 3)[3:4], alone.normal(2, 3))
    some = whole.of(torch.tensor([3, 1]))
    assert torch.equal(some.uniform(4)[:1], alone.uniform(4))
    assert set(Draws.by(0, range(50)).signs(4).unique().tolist()) == {-1.0, 1.0}


def test_squares_shrink_as_the_paper_has_it():
    """The share 0.8 is halved after 10, 50, 200, ... of 10,000 queries."""
    for query, halvings in ((0, 0), (10, 0), (11, 1), (50, 1), (51, 2), (201, 3), (8001, 9)):
        assert side_of(0.8, query, 10_000, 1000) == round(math.sqrt(0.8 / 2**halvings) * 1000)
    for halvings, after in enumerate((10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)):
        for query in (after, after + 1):
            shrunk = 0.8 / 2 ** (halvings + (query > after))
            assert side_of(0.8, query, 10_000, 1000) == round(math.sqrt(shrunk) * 1000)
    assert side_of(0.8, 21, 1000, 28) == side_of(0.8, 201, 10_000, 28)
    assert side_of(0.01, 999, 1000, 8) == 1 and side_of(0.01, 999, 1000, 8, 3) == 3 and side_of(1, 0, 10, 2, 3) == 2


@pytest.mark.parametrize("side", [1, 2, 3, 5, 8])
def test_a_hill_stands_beside_a_valley(side):
    found = hills(side, torch.zeros((), dtype=torch.float64))
    half = side // 2
    assert found.shape == (side, side) and found.norm() == pytest.approx(1)
    assert (found[:half] > 0).all() and (found[half:] < 0).all()
    if side == 5:  # equation 2 by hand: the terms 1, 1/4, 1/9 of the rings around the middle
        one, two, three = 1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9
        upper = torch.tensor([[three, two, two, two, three], [three, two, one, two, three]])
        torch.testing.assert_close(found[:2] / found[1, 2], (upper / one).double())


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 28, 28), (1, 3, 3), (2, 7, 11)])
def test_tiles_lie_in_the_middle(shape):
    x = torch.zeros(2, *shape, dtype=torch.float64)
    found = tiled(x, Draws.by(0, range(2)))
    assert found.shape == x.shape and (lengths(found) > 0).all()
    side = max(1, min(shape[1:]) // 5)
    assert lengths(found).square() == pytest.approx(
        [shape[0] * min(5, shape[1] // side) * min(5, shape[2] // side)] * 2
    )


def test_windows_are_anywhere_and_are_read_and_written():
    x = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    corners = set()
    for seed in range(60):
        window = Window.anywhere(x, 2, Draws.by(seed, range(2)))
        top, left = divmod(int(window.places[1, 0]), 5)
        corners.add((top, left))
        assert torch.equal(window.read(x)[1].view(3, 2, 2), x[1, :, top : top + 2, left : left + 2])
        assert torch.equal(window.written(x, window.read(x)), x)
        assert (window.written(x, torch.zeros(1)) == 0).sum() >= 2 * 3 * 4
    assert corners == {(top, left) for top in range(3) for left in range(4)}


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_queries_never_hurt_and_an_image_is_left_when_it_is_won(norm):
    x, labels = images_of(30, 2)
    asked = []

    class Counting(Net):
        def forward(self, images):
            asked.append(len(images))
            return super().forward(images)

    network = Counting().double()
    network.load_state_dict(trained().network.state_dict())
    target, won = Target(network), []
    for queries in (1, 30, 200):
        asked.clear()
        eps = {"linf": 0.25, "l2": 1.4}[norm]
        made = attacked(
            "square", target, x, labels, square.Config.parse({"norm": norm, "eps": eps, "queries": queries})
        )
        assert asked == sorted(asked, reverse=True) and len(asked) <= queries
        fewest = asked[-1]
        with torch.no_grad():
            won.append(margin(target.network.eval()(2 * made - 1)[0], labels))
        network.train()
    assert fewest < len(x), "an image that was won was asked about again"
    assert (won[0] <= 0).all() or norm == "linf"
    assert (won[2] > 0).double().mean() >= (won[1] > 0).double().mean()
    assert won[2].clamp(max=0).mean() > won[0].clamp(max=0).mean()


@pytest.mark.parametrize("eps", [0.5, 2.0])
def test_square_stays_at_the_bound_where_values_have_room(eps):
    """Of images in the middle of the range: in `l2` the length is eps again after every move."""
    x = torch.full((4, 2, 9, 9), 0.5, dtype=torch.float64)
    target = Target(Scored(lambda x: torch.stack([x.mean((1, 2, 3)), x.new_full((len(x),), -1e9)], 1)))
    labels = torch.zeros(4, dtype=torch.int64)
    made = attacked("square", target, x, labels, square.Config.parse({"norm": "l2", "eps": eps, "queries": 40}))
    assert lengths(made - x) == pytest.approx([eps] * 4)


def test_it_begins_with_stripes_from_top_to_bottom():
    x = torch.full((3, 2, 5, 7), 0.5, dtype=torch.float64)
    change = square._stripes(Ball(x, "linf", 0.25), Draws.by(0, range(3))) - x
    assert torch.equal(change, change[:, :, :1].expand_as(change)) and set(change.unique().tolist()) == {-0.25, 0.25}
    assert (change[:, :, 0].diff(dim=2) != 0).any(2).all(), "columns differ"


def test_a_square_moves_as_algorithm_3_has_it():
    """Pixel by pixel, of changes that are shorter than eps: what is unused of it goes into the square, too."""
    generator, side, eps, n, channels, size = torch.Generator().manual_seed(0), 3, 0.6, 12, 2, 9
    x = torch.full((n, channels, size, size), 0.5, dtype=torch.float64)
    change = 0.02 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    found = square._moved(Ball(x, "l2", eps), x + change, Draws.by(5, range(n)), side) - x
    draws = Draws.by(5, range(n))
    corners = [(draws.uniform(2) * (size - side + 1)).long().tolist() for _ in range(2)]
    turned, signs = draws.uniform(1, 1, 1).flatten() >= 0.5, draws.signs(channels, 1)[:, :, 0].double()
    hill = hills(side, x)
    assert turned.any() and not turned.all()
    for i in range(n):
        into, out_of = (
            [(row, column) for row in range(top, top + side) for column in range(left, left + side)]
            for top, left in (corner[i] for corner in corners)
        )
        expected = change[i].clone()
        for c in range(channels):
            held = sum(float(change[i, c][pixel]) ** 2 for pixel in {*into, *out_of})
            available = math.sqrt(held + (eps**2 - float(change[i].square().sum())) / channels)
            inside = torch.stack([change[i, c][pixel] for pixel in into])
            moved = signs[i, c] * (hill.T if turned[i] else hill).flatten() + inside / inside.norm()
            for pixel in out_of:
                expected[c][pixel] = 0
            for pixel, value in zip(into, available * moved / moved.norm(), strict=True):
                expected[c][pixel] = value
        torch.testing.assert_close(found[i], eps * expected / expected.norm(), rtol=0, atol=1e-9)


def test_gradients_that_vanish_are_counted_and_masking_is_found_out():
    """A network that is too sure: the cross-entropy has no slope in float32, the margin and square still win."""
    x, labels = inside(40).float(), torch.ones(40, dtype=torch.int64)
    sure = Target(Scored(lambda x: 4000 * torch.stack([x.mean((1, 2, 3)) * 0, x.mean((1, 2, 3)) - 0.35], 1)))
    plain = Target(Scored(lambda x: sure.network.of(x) / 4000))
    assert vanishing_gradients(sure, x, labels) == {"zero": 1, "vanishing": 1, "values": 1}
    assert vanishing_gradients(sure, x, labels, loss="margin")["vanishing"] == 0
    assert vanishing_gradients(plain, x, labels) == {"zero": 0, "vanishing": 0, "values": 0}
    some = torch.tensor([0, 1] * 20)
    assert vanishing_gradients(sure, x, some)["zero"] == 0.5
    tiny = Target(Scored(lambda x: 1e-9 * plain.network.of(x)))
    assert vanishing_gradients(tiny, x, labels) == {"zero": 0, "vanishing": 1, "values": 0}
    assert vanishing(torch.full((2, 1, 2, 2), 2.0**-24))["vanishing"] == 0, "what counts is the sum"
    assert vanishing(torch.full((2, 1, 2, 2), -(2.0**-26)))["vanishing"] == 1
    assert vanishing(torch.tensor([0.0, 1]).view(1, 1, 1, 2)) == {"zero": 0, "vanishing": 0, "values": 0.5}

    def success(name, **settings):
        config = {"fgsm": fgsm, "bim": bim, "square": square}[name].Config.parse({"eps": 0.3, **settings})
        return (sure.logits(attacked(name, sure, x, labels, config)).argmax(1) != labels).float().mean()

    assert success("fgsm") == success("bim") == 0
    assert success("fgsm", loss="margin") == success("bim", loss="margin") == success("square") == 1


def test_there_must_be_images_for_gradients():
    with pytest.raises(ValueError, match="no image"):
        vanishing_gradients(linear(), inside(0), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("distance", ["cosine", "sqeuclidean"])
def test_votes_are_those_of_deep_knn_and_soft_ones_are_the_naive_sum(distance):
    from snnl_core import DeepKNN

    target = trained()
    x, labels = images_of(70, 3)
    target.network.eval()
    with torch.no_grad():
        knn = DeepKNN(5, distance).fit(target.features(x), labels).calibrate(target.features(x + 1e-3), labels)
        queries = 0.5 * images_of(20, 4)[0] + 0.5 * images_of(20, 5)[0].flip(0)
        features = target.features(queries)
        target.network.train()
        fitted = Target(target.network, knn).neighbors
        distances = fitted.distances(features)
        found = knn.predict(features)
    assert torch.equal(fitted.votes(distances).long(), 2 * 5 - found.nonconformity)
    total = torch.zeros(20, CLASSES, dtype=torch.float64)
    order = labels.argsort(stable=True)
    for one, (name, exact) in zip(distances, found.distances.items(), strict=True):
        torch.testing.assert_close(one.sort(1).values[:, :5], exact, rtol=1e-9, atol=1e-12, msg=name)
        weights = (-one / (0.7 * one.sort(1).values[:, :5].mean(1, keepdim=True))).exp()
        shares = weights / weights.sum(1, keepdim=True)
        for c in range(CLASSES):
            total[:, c] += shares[:, labels[order] == c].sum(1)
    torch.testing.assert_close(fitted.soft_votes(distances, 0.7), total.log())


def test_the_attack_on_neighbours_beats_the_transfer_of_pgd_on_every_seed():
    x, labels = images_of(60, 2)
    target = trained()

    def right(made):
        target.network.eval()
        with torch.no_grad():
            predicted = target.knn.predict(target.features(made), target.logits(made)).labels
        target.network.train()
        return predicted == labels

    for seed in range(3):
        own = right(attacked("neighbor", target, x, labels, neighbor.Config(eps=0.22, restarts=1), seed=seed))
        transfer = right(attacked("pgd", target, x, labels, pgd.Config(eps=0.22), seed=seed))
        assert not (own & ~transfer).any() and own.sum() < transfer.sum()
    target.network.eval()
    found = climb(neighbor.soft_vote(target, labels, 0.5), Ball(x, "linf", 0.26), x, 40, 0.2)
    transfer = right(attacked("pgd", target, x, labels, pgd.Config(eps=0.26)))
    assert right(found.x).sum() < transfer.sum(), "the soft vote by itself is no better than the logits"


def test_the_attack_on_neighbours_begins_at_the_image_at_what_pgd_finds_and_anywhere(monkeypatch):
    x, labels = images_of(6, 2)
    ball, starts = Ball(x, "linf", 0.2), []
    monkeypatch.setattr(neighbor, "climb", lambda *given: starts.append(given[2]) or climb(*given))
    attacked("neighbor", trained(), x, labels, neighbor.Config(eps=0.2, restarts=4, steps=1), seed=2)
    by_logits = attacked("pgd", trained(), x, labels, pgd.Config(eps=0.2), seed=2)
    assert torch.equal(starts[0], x) and torch.equal(starts[1], by_logits) and len(starts) == 4
    assert all(torch.equal(ball.project(start), start) for start in starts[2:])
    assert len({start.numpy().tobytes() for start in starts}) == 4


def test_neighbours_see_large_maps_averaged():
    x, _ = images_of(5, 2)
    network = trained().network
    maps = network.eval()(2 * x - 1)[1]["conv"]
    found = Target(network, max_features=6 * 4).features(x)
    network.train()
    torch.testing.assert_close(found["conv"], maps.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((3, 5)).flatten(1))


def test_without_neighbours_there_is_nothing_to_attack():
    x, labels = images_of(3, 2)
    with pytest.raises(UsageError, match="and there are none: fit them first"):
        attacked("neighbor", Target(trained().network), x, labels, neighbor.Config())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_goes_by_the_order_of_logits_and_not_by_their_size(norm):
    """Nobody is done with an image that is still right, however close it is."""
    x, labels = 0.2 + 0.6 * inside(40, 6), torch.tensor([0, 1] * 20)
    across = torch.linspace(-1, 1, 36, dtype=torch.float64).view(6, 6)

    def made(scale):
        network = Scored(lambda x: scale * torch.stack([0 * x.sum((1, 2, 3)), (across * x).sum((1, 2, 3))], 1))
        config = square.Config.parse({"norm": norm, "eps": {"linf": 0.03, "l2": 0.1}[norm], "queries": 30})
        return attacked("square", Target(network), x, labels, config)

    large = made(1024.0)
    assert torch.equal(made(2.0**-10), large) and not torch.equal(large, x)


def test_every_value_stays_at_the_bound_under_squares():
    """In `linf`, of images with room on either side, which are wider than high: a square goes to +eps or -eps."""
    x = torch.full((4, 2, 5, 9), 0.5, dtype=torch.float64)
    target = Target(Scored(lambda x: torch.stack([x.mean((1, 2, 3)), x.new_full((len(x),), -1e3)], 1)))
    settings = square.Config.parse({"eps": 0.25, "queries": 40})
    change = attacked("square", target, x, torch.zeros(4, dtype=torch.int64), settings) - x
    assert change.unique().tolist() == [-0.25, 0.25]
    assert change.mean() < -0.06, "squares that helped were kept"


@pytest.mark.parametrize("distance", ["cosine", "sqeuclidean"])
def test_no_row_is_nearer_to_itself_than_at_0(distance):
    """Differences of rounded products can be negative, and so would temperatures be that are made of them."""
    from snnl_core import DeepKNN

    x = 30 + torch.randn(40, 7, generator=torch.Generator().manual_seed(0))
    (found,) = Neighbors.of(DeepKNN(3, distance).fit({"a": x}, torch.arange(40) % 2)).distances({"a": x})
    assert found.min() == 0
