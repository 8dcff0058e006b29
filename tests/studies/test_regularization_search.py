"""The search of the study's settings: what it varies, how it scores, and that it sees no test images."""

from pathlib import Path

import pytest

from imagesets import digits
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.errors import UsageError, WorkbenchError
from lab.running.executors import here, slots
from lab.running.place import Place
from lab.studying.plan import study_config
from lab.studying.preset import read_preset
from lab.studying.search import plan_search
from lab.studying.search import search as run_search
from studies import classifier_regularization as study
from studies.classifier_regularization import search
from studies.classifier_regularization.search import Search
from tasks import evaluate_classifier

LOCAL = {"data": "nowhere", "download": False}
TINY = ("width=2", "batch=100")


def trials(config, values):
    """The settings of the trainings that try values."""
    cells = search.cells(config, values, Path("nowhere"))
    assert {cell.task for cell in cells} == {"train-classifier"}
    return [cell.config for cell in cells]


def test_a_trial_trains_on_seeds_of_its_own():
    values = {"alpha": -0.02, "temperature": "learn", "learning_rate": 0.003, "snnl_layers": "upper"}
    found = trials(Search.parse({"seeds": 3}), values)
    assert [one.seed for one in found] == [1000, 1001, 1002]
    one = found[0]
    assert (one.alpha, one.temperature, one.snnl_layers) == (-0.02, "learn", ("fc1", "fc2"))
    assert one.settings.learning_rate == 0.003 and one.validation == 0.1
    with_seeds = study_config("classifier-regularization", "laptop", {"seeds": 900})
    assert with_seeds.seeds <= search.FIRST_SEED, "the study would share its seeds"


def test_what_is_not_searched_is_as_given():
    config = Search.parse({"search": ("alpha",), "learning_rate": 0.01, "temperature": "5", "snnl_layers": ("conv1",)})
    assert set(search.space(config)) == {"alpha"}
    (one, *_) = trials(config, {"alpha": -0.001})
    assert one.temperature == 5.0 and one.snnl_layers == ("conv1",)
    assert one.settings.learning_rate == 0.01
    (baseline, *_) = trials(Search.parse({"search": ("learning_rate",)}), {"learning_rate": 0.01})
    assert baseline.alpha == 0


def test_the_space_is_around_the_classifiers_own_rate_and_negative_in_alpha():
    space = search.space(Search.parse({"classifier": "resnet"}))
    assert set(space) == {"alpha", "temperature", "learning_rate", "snnl_layers"}
    assert (space["learning_rate"].low, space["learning_rate"].high) == pytest.approx((0.02, 0.5))
    assert (space["alpha"].value(0.0123456), space["alpha"].value(0.1)) == (-0.0123, -0.1)
    assert space["snnl_layers"].words == ("all", "lower", "upper")
    (lower, *_) = trials(Search.parse({"search": ("snnl_layers",), "alpha": -0.01}), {"snnl_layers": "lower"})
    assert lower.snnl_layers == ("conv1", "conv2")


def test_layers_are_no_setting_to_search_where_there_is_one_group():
    for given in ({"classifier": "torchvision"}, {"classifier": "mlp", "settings": ("depth=1",)}):
        config = Search.parse(given)
        assert set(search.space(config)) == {"alpha", "temperature", "learning_rate"}
        values = {name: part.example for name, part in search.space(config).items()}
        assert trials(config, values)[0].alpha < 0
        with pytest.raises(UsageError, match="search: there is one choice of snnl_layers only"):
            search.space(Search.parse({**given, "search": ("snnl_layers",)}))


@pytest.mark.parametrize(
    "given, words",
    [
        ({"search": ("alhpa",)}, "Unknown setting to search 'alhpa'; did you mean 'alpha'"),
        ({"search": ()}, "search: at least 1"),
        ({"learning_rate": 0.1}, "search: learning_rate is given, too: leave it out of one"),
        ({"snnl_layers": ("fc1",)}, "search: snnl_layers is given, too: leave it out of one"),
        ({"alpha": -0.1}, "search: alpha is given, too: leave it out of one"),
        ({"validation": 0.0}, "validation: .*greater than 0"),
        ({"imageset": "digit"}, "did you mean 'digits'"),
    ],
)
def test_impossible_searches_are_named(given, words):
    with pytest.raises(UsageError, match=words) as error:
        Search.parse(given)
    assert "\n" not in str(error.value)


def test_the_score_is_the_mean_accuracy_on_validation_at_the_end(tmp_path):
    trained = []
    for seed, last in enumerate((0.7, 0.9)):
        config = Search.parse({"seeds": 1, "search": ("alpha",), "settings": (f"width={seed + 1}",)})
        folder = CellFolder.create(search.cells(config, {"alpha": -0.01}, tmp_path)[0], tmp_path, LOCAL)
        about = {"kind": "classifier", "metric": "accuracy"}
        folder.row(**about, split="validation", step=10, value=last)
        folder.row(**about, split="validation", step=5, value=0.99)
        folder.row(**about, split="test", step=10, value=0.1)
        folder.row(kind="classifier", metric="nll", split="validation", step=10, value=3.0)
        trained.append(folder)
    assert search.score(trained) == pytest.approx(0.8)


@pytest.fixture
def no_test_images(monkeypatch):
    """Reading the test split fails; cells are done in this process, so that it fails in them, too."""
    load = digits.load

    def only_train(root, split, download):
        if split != "train":
            raise WorkbenchError(f"the split {split} was read")
        return load(root, split, download)

    monkeypatch.setattr(digits, "load", only_train)
    monkeypatch.setattr(slots, "Executor", here.Executor)


@pytest.mark.usefixtures("no_test_images")
def test_tuning_reads_no_test_images_and_its_preset_is_a_study(tmp_path):
    config = Search.parse({"seeds": 2, "epochs": 1, "settings": TINY, "precision": "float32", "device": "cpu"})
    places = {"runs": tmp_path, "data": tmp_path, "place": Place(jobs=1)}
    planned = plan_search("classifier-regularization", study.SEARCH, config, **places)
    found = run_search(planned, trials=2, local=LOCAL)
    assert all(0 < trial.score < 1 for trial in found.trials)
    trained = [CellFolder(path) for path in (tmp_path / "cells").iterdir()]
    assert len(trained) == 4
    assert {row["split"] for cell in trained for row in cell.rows()} == {"train", "validation"}

    read_preset(found.preset, "classifier-regularization", study.Config)
    tuned = study_config("classifier-regularization", "smoke", {}, found.preset)
    values = found.best.values
    assert tuned.alphas == (values["alpha"],) and tuned.learning_rate == values["learning_rate"]
    assert (tuned.epochs, tuned.settings, tuned.imagesets, tuned.seeds) == (1, TINY, ("digits",), 2)
    planned = [need.config for cell in study.plan(tuned, tmp_path) for need in cell.needs]
    assert {one.temperature for one in planned if one.alpha} == {values["temperature"]}

    (first, _) = search.cells(config, values, tmp_path)
    evaluated = CellFolder.create(evaluate_classifier.cell(first, tmp_path), tmp_path / "cells", LOCAL)
    with pytest.raises(WorkbenchError, match="the split test was read"):  # so would a search that read it
        work(evaluated)


def test_a_baselines_learning_rate_is_a_preset_without_alphas():
    config = Search.parse({"search": ("learning_rate",)})
    found = search.preset(config, {"learning_rate": 0.01})
    assert found == {"classifier": "cnn", "epochs": 10, "imagesets": ["digits"], "learning_rate": 0.01}
