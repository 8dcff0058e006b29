"""What nobody asked for gives way to the images there are, aloud; what was asked for is refused."""

import numpy as np
import pytest

import imagesets
from lab import registry
from lab.errors import UsageError
from lab.studying.plan import study_config
from studies.classifier_regularization import search
from tasks import train_classifier

CLASSES, SIDE = 3, 16


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A function that makes a set of so many images a class; gives its name and the folder of the data."""
    from PIL import Image

    made = {}

    def make(n):
        if n not in made:
            place = tmp_path_factory.mktemp("own")
            for label in range(CLASSES):
                (place / "images" / f"c{label}").mkdir(parents=True)
                for i in range(n):
                    pixels = np.full((SIDE, SIDE), 20 * label + i % 7, np.uint8)
                    Image.fromarray(pixels).save(place / "images" / f"c{label}" / f"{i}.bmp")
            made[n] = imagesets.settle(f"folder:{place / 'images'}", place / "data"), place / "data"
        return made[n]

    return make


def fitted(study, name, data, given=None, preset="smoke"):
    """The settings of a study on an image set, and what was said."""
    field = "imagesets" if study == "classifier-regularization" else "imageset"
    said = []
    config = study_config(study, preset, {field: (name,) if field.endswith("s") else name, **(given or {})})
    return config.fitted(data, said.append), said


def plan(study, config, data):
    return registry.load("studies", study).plan(config, data)


@pytest.mark.parametrize("preset", ["smoke", "laptop"])
@pytest.mark.parametrize(
    "study, changed",
    [
        ("gan-entanglement", {"n": 6}),
        ("layers", {"n": 6, "batch": 27}),
        ("calibration", {"n": 6, "k": {"smoke": 20, "laptop": 25}, "settings": ("batch=26",), "validation": 4 / 30}),
        ("classifier-regularization", {"settings": ("batch=27",)}),
    ],
)
def test_presets_take_what_a_small_set_has_and_say_so(own, study, changed, preset):
    name, data = own(12)  # 30 to train on, 6 held out
    config, said = fitted(study, name, data, preset=preset)
    for field, value in changed.items():
        assert getattr(config, field) == (value[preset] if isinstance(value, dict) else value), field
    told = {line.partition(":")[0] for line in said}
    assert told == {{"settings": "batch"}.get(field, field) for field in changed} - {"k"}
    assert all(name in line and "\n" not in line for line in said)
    assert plan(study, config, data)


def test_neighbours_are_as_many_as_there_are_to_search(own):
    name, data = own(8)  # 21 to train on, of which 4 validate
    config, said = fitted("calibration", name, data, preset="laptop")
    assert config.k == 17 and "k: 17, since there are no more images to search" in "\n".join(said)
    assert plan("calibration", config, data)
    config, _ = fitted("calibration", name, data, {"bank": 5})
    assert config.k == 5


@pytest.mark.parametrize(
    "study, given, words",
    [
        ("gan-entanglement", {"n": 7}, r"has 6 images in its smaller split; --n 7 is more than that"),
        ("layers", {"n": 7}, r"has 6 images in its test split; --n 7 is more"),
        ("layers", {"batch": 30}, "batch: 30 is more than the 27 images"),
        ("calibration", {"n": 7}, r"has 6 images in its test split; --n 7 is more"),
        ("calibration", {"k": 40}, "k = 40 neighbours of 26 images"),
        ("calibration", {"validation": 0.1}, "Of 3 images kept apart to validate on"),
        ("classifier-regularization", {"settings": ("batch=128",)}, "batch: 128 is more than the 27 images"),
        ("classifier-regularization", {"validation": 0.01}, "a share of 0.01 of 30 images keeps none apart"),
    ],
)
def test_what_was_asked_for_is_refused(own, study, given, words):
    name, data = own(12)
    config, said = fitted(study, name, data, given)
    assert not {line.partition(":")[0] for line in said} & set(given)
    with pytest.raises(UsageError, match=words):
        plan(study, config, data)


def test_what_a_file_of_settings_says_was_asked_for(own, tmp_path):
    name, data = own(12)
    file = tmp_path / "mine.json"
    file.write_text('{"study": "gan-entanglement", "config": {"n": 100}}')
    config = study_config("gan-entanglement", "smoke", {"imageset": name}, file).fitted(data, print)
    with pytest.raises(UsageError, match="--n 100 is more than that"):
        plan("gan-entanglement", config, data)


def test_where_there_are_enough_nothing_is_changed_or_said(own):
    for study in ("gan-entanglement", "layers", "calibration", "classifier-regularization"):
        config, said = fitted(study, "digits", own(12)[1])
        assert not said and config == study_config(study, "smoke", {})


def test_processes_share_what_there_is(own):
    name, data = own(12)
    config, _ = fitted("layers", name, data, {"processes": 2})
    assert config.batch == 26 and plan("layers", config, data)


def test_one_training_takes_what_there_is_and_says_so(own):
    name, data = own(12)
    said = []
    config = train_classifier.Config.parse({"classifier": "cnn", "imageset": name})
    found = train_classifier.fitted(config, data, said.append)
    assert found.settings.batch == 27 and said == [f"batch: 27, since {name} has no more images to train on."]
    assert train_classifier.cell(found, data).config.settings.batch == 27
    asked = train_classifier.Config.parse({"classifier": "cnn", "imageset": name, "settings": {"batch": 128}})
    assert train_classifier.fitted(asked.replaced(imageset=name), data, said.append) == asked and len(said) == 1
    with pytest.raises(UsageError, match="batch: 128 is more than the 27 images"):
        train_classifier.cell(asked, data)


def test_a_search_takes_what_there_is(own):
    name, data = own(12)
    said = []
    config = search.Search.parse({"imageset": name}).fitted(data, said.append)
    assert config.settings == ("batch=27",) and "batch: 27" in said[0]
    assert search.cells(config, {}, data)


def test_one_held_out_image_a_class_leaves_nothing_to_measure(own):
    name, data = own(6)
    config, _ = fitted("layers", name, data)
    with pytest.raises(UsageError, match="holds out one image of a class at most, so there is nothing to measure"):
        plan("layers", config, data)
