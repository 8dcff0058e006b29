"""Deep k-nearest neighbours: a case on paper, a naive oracle, ties, and what is refused or warned of."""

import io
import warnings

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from snnl_core import DeepKNN
from snnl_core.conformal import uniform

DOUBLE = torch.float64


def column(*values):
    """A layer of one feature."""
    return torch.tensor(values)[:, None]


def on_paper(mode="valid"):
    """Two layers; in `a` the classes 5 and 7 lie apart, in `b` each pair has one of both."""
    fitted = {"a": column(0.0, 1, 10, 11), "b": column(0.0, 10, 1, 11)}
    held_out = {"a": column(0.3, 10.4, 0.4), "b": column(0.4, 0.2, 10.4)}
    knn = DeepKNN(2, "sqeuclidean", mode).fit(fitted, torch.tensor([5, 5, 7, 7]))
    with pytest.warns(UserWarning, match="3 calibration rows are few: a valid p-value is at least 0.25"):
        return knn.calibrate(held_out, torch.tensor([5, 7, 7]))


def clouds(n, seed=0, classes=3, sizes=((4,), (2, 3))):
    """Overlapping classes in two layers, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    shapes = {f"layer {i}": shape for i, shape in enumerate(sizes)}
    centers = torch.Generator().manual_seed(99)
    return {
        name: torch.randn(classes, *shape, generator=centers)[labels] + torch.randn(n, *shape, generator=generator)
        for name, shape in shapes.items()
    }, labels


def fitted(k=5, **settings):
    """On 60 rows of clouds, calibrated on 40 others."""
    return DeepKNN(k, **settings).fit(*clouds(60)).calibrate(*clouds(40, seed=1))


def test_on_paper():
    # Neighbours of (0.4, 0.4): in a rows 0, 1 of class 5, in b rows 0, 2 of classes 5, 7: of four, one is no 5.
    found = on_paper().predict({"b": column(0.4, 10.6), "a": column(0.4, 10.6)})
    assert found.classes.tolist() == [5, 7]
    assert found.neighbors["a"].tolist() == [[0, 1], [3, 2]]
    assert found.neighbors["b"].tolist() == [[0, 2], [3, 1]]
    torch.testing.assert_close(found.distances["b"], torch.tensor([[0.16, 0.36], [0.16, 0.36]]))
    assert found.nonconformity.tolist() == [[1, 3], [3, 1]]
    # Calibration scores: (0.3, 0.4) as 5: 1; (10.4, 0.2) as 7: 1; (0.4, 10.4) as 7: 3.
    assert found.p_values.tolist() == [[1, 0.5], [0.5, 1]]
    assert found.labels.tolist() == [5, 7]
    assert found.credibility.tolist() == [1, 1]
    assert found.confidence.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("mode", ["paper", "smoothed"])
def test_on_paper_by_the_other_formulas(mode):
    features = {"a": column(0.4), "b": column(0.4)}
    found = on_paper(mode).predict(features, generator=torch.Generator().manual_seed(4))
    chance = float(uniform(1, torch.Generator().manual_seed(4)))
    expected = {"paper": [1, 1 / 3], "smoothed": [(1 + 3 * chance) / 4, 2 * chance / 4]}[mode]
    torch.testing.assert_close(found.p_values[0], torch.tensor(expected, dtype=DOUBLE))
    assert float(found.credibility) == pytest.approx(expected[0])
    assert float(found.confidence) == pytest.approx(1 - expected[1])


@pytest.mark.filterwarnings("ignore:.*calibration rows")
@pytest.mark.parametrize("distance", ["cosine", "sqeuclidean"])
@pytest.mark.parametrize("class_conditional", [False, True])
def test_equals_the_definition_word_by_word(distance, class_conditional):
    (bank, labels), (held_out, held_labels), (test, _) = clouds(90), clouds(70, seed=1), clouds(30, seed=2)
    knn = DeepKNN(7, distance, class_conditional=class_conditional).fit(bank, labels).calibrate(held_out, held_labels)
    found = knn.predict(test)

    def strangeness(features, label):
        total = 0
        for name, layer in features.items():
            index = NearestNeighbors(n_neighbors=7, metric=distance, algorithm="brute").fit(bank[name].flatten(1))
            near = index.kneighbors(layer.flatten(1), return_distance=False)
            total = total + (labels.numpy()[near] != label).sum(1)
        return total

    of_cal = np.choose(held_labels.numpy(), [strangeness(held_out, c) for c in range(3)])
    for c in range(3):
        own = of_cal[held_labels.numpy() == c] if class_conditional else of_cal
        scores = strangeness(test, c)
        assert found.nonconformity[:, c].tolist() == scores.tolist()
        expected = ((own >= scores[:, None]).sum(1) + 1) / (len(own) + 1)
        np.testing.assert_allclose(found.p_values[:, c].numpy(), expected)
    ordered = found.p_values.sort(1).values
    assert torch.equal(found.credibility, ordered[:, -1])
    torch.testing.assert_close(found.confidence, 1 - ordered[:, -2])


@pytest.mark.filterwarnings("ignore:no calibration row is of class 4")
def test_ties_go_to_support_then_to_logits_then_to_the_first_class():
    bank, labels = {"a": column(-1.0, -1, 1, 1, 1)}, torch.tensor([3, 4, 3, 4, 4])
    knn = DeepKNN(2, "sqeuclidean").fit(bank, labels)
    # Calibration points that are all strange make all p-values 1.
    knn.calibrate({"a": torch.linspace(50, 60, 20)[:, None]}, torch.full((20,), 3))
    knn._calibration.scores.fill_(9)
    near_both, near_four = {"a": column(-1.0)}, {"a": column(1.0)}
    assert knn.predict(near_both).labels.tolist() == [3]
    assert knn.predict(near_both, torch.tensor([[0.0, 1.0]])).labels.tolist() == [4]
    assert knn.predict(near_both, torch.tensor([[-torch.inf, -torch.inf]])).labels.tolist() == [3]
    knn = DeepKNN(3, "sqeuclidean").fit(bank, labels).calibrate({"a": column(*[0.5] * 20)}, torch.full((20,), 3))
    knn._calibration.scores.fill_(9)
    assert knn.predict(near_four, torch.tensor([[9.0, 0.0]])).labels.tolist() == [4]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_compared_in_float32(dtype):
    def cast(data, to):
        return {name: x.to(dtype).to(to) for name, x in data[0].items()}, data[1]

    found = []
    for to in (dtype, torch.float32):
        knn = DeepKNN(5).fit(*cast(clouds(60), to)).calibrate(*cast(clouds(40, seed=1), to))
        found.append(knn.predict(cast(clouds(20, seed=2), to)[0]))
    assert torch.equal(found[0].p_values, found[1].p_values)
    assert all(torch.equal(found[0].neighbors[name], found[1].neighbors[name]) for name in found[0].neighbors)


def test_a_memory_map_serves_as_bank(tmp_path):
    bank, labels = clouds(60)
    mapped = {}
    for name, x in bank.items():
        np.save(tmp_path / f"{name}.npy", x.numpy())
        mapped[name] = torch.from_numpy(np.load(tmp_path / f"{name}.npy", mmap_mode="c"))
    knn = DeepKNN(5).fit(mapped, labels).calibrate(*clouds(40, seed=1))
    test = clouds(20, seed=2)[0]
    assert torch.equal(knn.predict(test).p_values, fitted().predict(test).p_values)


def test_rows_of_zeros_are_warned_of_and_find_each_other():
    bank, labels = {"a": torch.eye(30, 4)}, torch.arange(30) % 2  # zeros from row 4 on
    knn = DeepKNN(3).fit(bank, labels)
    with pytest.warns(UserWarning, match="layer 'a': 1 of 20 rows are zero and have no direction"):
        knn.calibrate({"a": torch.cat([torch.zeros(1, 4), torch.rand(19, 4)])}, labels[:20], allow_overlap=True)
    with pytest.warns(UserWarning, match="layer 'a': 1 of 2 rows"):
        found = knn.predict({"a": torch.tensor([[0.0] * 4, [0, 2, 1, 0]])})
    assert found.neighbors["a"].tolist() == [[4, 5, 6], [1, 2, 0]]
    assert found.distances["a"][0].tolist() == [0, 0, 0]
    assert float(found.distances["a"][1, 2]) == pytest.approx(1)


def test_a_layer_of_zeros_is_warned_of_when_it_is_fitted():
    bank, labels = {"a": torch.eye(30, 4), "b": torch.rand(30, 4)}, torch.arange(30) % 2
    with pytest.warns(UserWarning, match="layer 'a': 4 of 30 fitted rows have a direction, fewer than k = 5"):
        DeepKNN(5).fit(bank, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DeepKNN(4).fit(bank, labels)
        DeepKNN(5, "sqeuclidean").fit(bank, labels)


def test_as_many_neighbours_as_fitted_rows_are_the_same_of_every_input_which_is_warned_of():
    with pytest.warns(UserWarning, match="k = 60 is every fitted row: all inputs have the same neighbours"):
        knn = DeepKNN(60).fit(*clouds(60))
    found = knn.calibrate(*clouds(40, seed=1)).predict(clouds(5, seed=2)[0])
    assert torch.equal(found.p_values, found.p_values[:1].expand_as(found.p_values))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DeepKNN(59).fit(*clouds(60))


def test_one_class_conforms_and_is_warned_of():
    with pytest.warns(UserWarning, match="all fitted rows are of one class"):
        knn = DeepKNN(2).fit(clouds(60)[0], torch.zeros(60, dtype=torch.int64))
    found = knn.calibrate(clouds(40, seed=1)[0], torch.zeros(40, dtype=torch.int64)).predict(clouds(5, seed=2)[0])
    assert found.p_values.tolist() == [[1.0]] * 5
    assert found.confidence.tolist() == [1.0] * 5


def test_a_class_without_calibration_rows_is_warned_of_and_never_predicted():
    (bank, labels), (held_out, held_labels) = clouds(60), clouds(90, seed=1)
    two = held_labels < 2
    held_out = {name: x[two] for name, x in held_out.items()}
    with pytest.warns(UserWarning, match="no calibration row is of class 2: its p-values will be 1"):
        knn = DeepKNN(5, class_conditional=True).fit(bank, labels).calibrate(held_out, held_labels[two])
    found = knn.predict(clouds(50, seed=2)[0])
    assert bool((found.p_values[:, 2] == 1).all())
    assert set(found.labels.tolist()) == {0, 1}
    assert torch.equal(found.credibility, found.p_values[:, :2].amax(1))
    assert bool((found.confidence == 0).all())  # class 2 cannot be ruled out
    with pytest.warns(UserWarning, match="no calibration row is of class 2: nothing shows"):
        knn = DeepKNN(5).fit(bank, labels).calibrate(held_out, held_labels[two])
    assert 2 in knn.predict(clouds(50, seed=2)[0]).labels


@pytest.mark.parametrize("rows, warned", [(18, True), (19, False)])
def test_too_few_calibration_rows_for_small_p_values_are_warned_of(rows, warned):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        DeepKNN(5).fit(*clouds(60)).calibrate(*clouds(rows, seed=1))
    assert [str(each.message)[:27] for each in seen] == ["18 calibration rows are few"] * warned


def test_rows_among_the_fitted_are_refused():
    knn, (held_out, labels) = DeepKNN(5).fit(*clouds(60)), clouds(40, seed=1)
    bank = clouds(60)[0]
    held_out["layer 0"][3] = bank["layer 0"][7]  # in one layer only
    knn.calibrate(held_out, labels)
    held_out["layer 1"][3] = bank["layer 1"][7]
    with pytest.raises(ValueError, match="row 3 equals a fitted row in all layers; 1 of 40 rows do"):
        knn.calibrate(held_out, labels)
    with pytest.raises(ValueError, match="row 3 equals"):
        knn.calibrate({name: x.double() for name, x in held_out.items()}, labels)
    knn.calibrate(held_out, labels, allow_overlap=True)


@pytest.mark.filterwarnings("ignore:k = 1 is every fitted row", "ignore:all fitted rows are of one class")
def test_zero_equals_minus_zero():
    knn = DeepKNN(1, "sqeuclidean").fit({"a": torch.tensor([[0.0, 1, 2]])}, torch.tensor([1]))
    with pytest.raises(ValueError, match="row 0 equals"):
        knn.calibrate({"a": torch.tensor([[-0.0, 1, 2]])}, torch.tensor([1]))


def test_calibrating_on_fitted_rows_makes_p_values_too_small():
    x, labels = torch.randn(1500, 2, generator=torch.Generator().manual_seed(0)), torch.arange(1500) % 2
    knn, test = DeepKNN(5, "sqeuclidean", "smoothed").fit({"a": x[:500]}, labels[:500]), {"a": x[1000:]}

    def at_most(level):
        found = knn.predict(test, generator=torch.Generator().manual_seed(1))
        return float((found.p_values.gather(1, labels[1000:, None]) <= level).double().mean())

    # 500 test rows against 500: a standard error of 0.019 about 0.1.
    knn.calibrate({"a": x[500:1000]}, labels[500:1000])
    assert abs(at_most(0.1) - 0.1) < 0.06
    knn.calibrate({"a": x[:500]}, labels[:500], allow_overlap=True)
    assert at_most(0.1) > 0.2


def test_the_state_comes_back_through_a_file():
    knn, test, file = fitted(), clouds(20, seed=2)[0], io.BytesIO()
    torch.save(knn.state_dict(), file)
    file.seek(0)
    other = DeepKNN(5, mode="paper")
    other.load_state_dict(torch.load(file, weights_only=True))
    other.mode = "valid"
    assert other.layers == knn.layers
    assert torch.equal(other.predict(test).p_values, knn.predict(test).p_values)
    bare = DeepKNN(5)
    bare.load_state_dict(DeepKNN(5).fit(*clouds(60)).state_dict())
    with pytest.raises(ValueError, match="call calibrate first"):
        bare.predict(test)
    with pytest.raises(TypeError, match=r"k must be a whole number, not tensor\(\[5, 5\]\)"):
        DeepKNN(5).load_state_dict({**knn.state_dict(), "k": torch.tensor([5, 5])})
    with pytest.raises(ValueError, match="made with k = 5; here it is 6"):
        DeepKNN(6).load_state_dict(knn.state_dict())
    with pytest.raises(ValueError, match="the keys are k; expected k, distance, features"):
        knn.load_state_dict({"k": 5})


def test_what_a_caller_writes_to_later_changes_nothing():
    """But for the features, which are not copied: labels, calibrations of states, classes of predictions."""
    knn, (layers, labels) = fitted(), clouds(60)
    copied = DeepKNN(5).fit(layers, labels).calibrate(*clouds(40, seed=1))
    labels.zero_()
    state = copied.state_dict()
    loaded = DeepKNN(5)
    loaded.load_state_dict(state)
    for values in state["calibration"].values():
        values.zero_()
    loaded.predict(clouds(9, seed=2)[0]).classes.zero_()
    expected, found = (vars(each.predict(clouds(9, seed=2)[0])) for each in (knn, loaded))
    assert all(torch.equal(expected[name], found[name]) for name in ("labels", "p_values", "classes"))


def test_no_rows_are_predicted_as_none():
    found = fitted().predict({name: x[:0] for name, x in clouds(1)[0].items()})
    assert found.p_values.shape == (0, 3)
    assert found.neighbors["layer 1"].shape == (0, 5)
