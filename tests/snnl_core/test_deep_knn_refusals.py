"""What Deep k-nearest neighbours refuses, and in which words."""

import pytest
import torch

from snnl_core import DeepKNN


def rows(n, seed=0):
    """Two layers, and labels of three classes."""
    generator = torch.Generator().manual_seed(seed)
    layers = {"layer 0": torch.randn(n, 4, generator=generator), "layer 1": torch.randn(n, 2, 3, generator=generator)}
    return layers, torch.arange(n) % 3


def fitted():
    """On 60 rows, calibrated on 40 others."""
    return DeepKNN(5).fit(*rows(60)).calibrate(*rows(40, seed=1))


def without(features, name):
    return {other: x for other, x in features.items() if other != name}


def with_first(change):
    """Change the first layer."""
    return lambda features: {**features, "layer 0": change(features["layer 0"])}


def broken(features):
    features["layer 1"][2, 1, 0] = torch.nan
    return features


@pytest.mark.parametrize(
    "kind, words, change",
    [
        (ValueError, "the layers are 'layer 0'; expected 'layer 0', 'layer 1'", lambda f: without(f, "layer 1")),
        (ValueError, "the layers are none", lambda f: {}),
        (ValueError, "'layer 0' has 3 features a row; the fitted ones have 4", with_first(lambda x: x[:, :3])),
        (ValueError, "differ in their number of rows", with_first(lambda x: x[:-1])),
        (ValueError, "layer 'layer 1': row 2 is not finite; 1 of 20 rows", broken),
        (ValueError, "layer 'layer 0' is .20, 0.: it has no features", with_first(lambda x: x[:, :0])),
        (TypeError, "layer 'layer 0' must be a floating tensor, not torch.int64", with_first(torch.Tensor.long)),
        (TypeError, "layer 'layer 0' must be a floating tensor, not list", with_first(torch.Tensor.tolist)),
        (TypeError, "features must be a mapping from layers to tensors, not Tensor", lambda f: f["layer 0"]),
    ],
)
def test_features_that_do_not_fit_are_refused(kind, words, change):
    features, labels = rows(20, seed=2)
    knn, features = fitted(), change(features)
    with pytest.raises(kind, match=words):
        knn.predict(features)
    with pytest.raises(kind, match=words):
        knn.calibrate(features, labels)


def test_labels_logits_and_settings_that_do_not_fit_are_refused():
    features, labels = rows(20, seed=2)
    knn, hole = fitted(), torch.zeros(20, 3)
    hole[4, 1] = torch.nan
    for kind, words, wrong in [
        (ValueError, r"labels \[3, 8\] were not fitted; known: \[0, 1, 2\]", torch.tensor([3, 8] * 10)),
        (ValueError, "labels are .19,. and there are 20 rows", labels[1:]),
        (TypeError, "labels must be integers", labels.float()),
    ]:
        with pytest.raises(kind, match=words):
            knn.calibrate(features, wrong)
    for kind, words, wrong in [
        (ValueError, "logits are .20, 2.; expected .20, 3.", torch.zeros(20, 2)),
        (ValueError, "row 4 of the logits is not a number", hole),
        (TypeError, "logits must be floating", torch.zeros(20, 3).long()),
    ]:
        with pytest.raises(kind, match=words):
            knn.predict(features, wrong)
    with pytest.raises(ValueError, match="there is no row to calibrate with"):
        knn.calibrate({name: x[:0] for name, x in features.items()}, labels[:0])
    with pytest.raises(ValueError, match="k = 75 neighbours of 20 fitted rows"):
        DeepKNN().fit(features, labels)
    for words, settings in [
        ("k = 0", {"k": 0}),
        ("unknown distance 'l1'", {"distance": "l1"}),
        ("unknown mode 'p'", {"mode": "p"}),
    ]:
        with pytest.raises(ValueError, match=words):
            DeepKNN(**settings)


def test_the_order_of_work_is_told():
    features, labels = rows(40)
    for act in (lambda knn: knn.predict(features), lambda knn: knn.calibrate(features, labels), DeepKNN.state_dict):
        with pytest.raises(ValueError, match="nothing is fitted: call fit first"):
            act(DeepKNN(5))
    with pytest.raises(ValueError, match="there are no calibration scores: call calibrate first"):
        DeepKNN(5).fit(features, labels).predict(features)
    knn = fitted().fit(features, labels)
    with pytest.raises(ValueError, match="call calibrate first"):
        knn.predict(features)


def damaged(part, **change):
    """A state of which the calibration, or else the whole, was changed."""
    state = fitted().state_dict()
    return (
        {**state, "calibration": {**state["calibration"], **change}} if part == "calibration" else {**state, **change}
    )


@pytest.mark.parametrize(
    "kind, words, state",
    [
        (TypeError, "the state must be a mapping, as state_dict gives, not NoneType", None),
        (ValueError, "the keys are 1; expected k, distance", {1: 2}),
        (
            TypeError,
            "the calibration must be a mapping, as state_dict gives, not list",
            damaged("", calibration=[1, 2]),
        ),
        (
            ValueError,
            "the keys are scores; expected scores, codes, as in a calibration",
            damaged("", calibration={"scores": 0}),
        ),
        (ValueError, "are scores, codes, more; expected scores, codes", damaged("calibration", more=1)),
        (TypeError, "calibration 'scores' must be a tensor, not list", damaged("calibration", scores=[0] * 40)),
        (
            TypeError,
            "calibration 'scores' must be integers, not torch.float",
            damaged("calibration", scores=rows(40)[1] / 2),
        ),
        (
            TypeError,
            "calibration 'codes' must be integers, not torch.float",
            damaged("calibration", codes=rows(40)[1] / 2),
        ),
        (
            ValueError,
            "scores of a calibration are from -3 to 2",
            damaged("calibration", scores=torch.arange(40) % 6 - 3),
        ),
        (ValueError, "from 1 to 40; .* from 0 to 10", damaged("calibration", scores=torch.arange(40) + 1)),
        (
            ValueError,
            "scores of a calibration are of no row",
            damaged("calibration", scores=torch.arange(0), codes=torch.arange(0)),
        ),
        (
            ValueError,
            "codes of a calibration are not those of 3 classes",
            damaged("calibration", codes=torch.arange(40)),
        ),
    ],
)
def test_a_state_that_is_damaged_is_refused_and_nothing_is_changed(kind, words, state):
    """p-values without a meaning came of some, and of others a network without the calibration that it had."""
    knn, (features, _) = fitted(), rows(20, seed=2)
    before = knn.predict(features).p_values
    with pytest.raises(kind, match=words):
        knn.load_state_dict(state)
    assert torch.equal(knn.predict(features).p_values, before)


def test_an_index_that_cannot_be_built_leaves_what_was_fitted():
    """Else new rows would have had the old ones' classes."""
    built = []

    def build(x, distance):
        if built:
            raise MemoryError
        built.append(x)
        return lambda queries, k: torch.arange(60).expand(len(queries), -1)

    features, _ = rows(20, seed=2)
    layer = {"layer 0": features["layer 0"]}
    knn = DeepKNN(5, index=build).fit({"layer 0": rows(60)[0]["layer 0"]}, rows(60)[1])
    knn.calibrate({"layer 0": rows(40, seed=1)[0]["layer 0"]}, rows(40)[1])
    before = knn.predict(layer).p_values
    with pytest.raises(MemoryError):
        knn.fit(layer, torch.full((20,), 7))
    assert torch.equal(knn.predict(layer).p_values, before)
