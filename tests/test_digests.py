"""Code that decides results has not changed without a word: a new version, or a digest that somebody accepted."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import digests

CODE = digests.sources()
EQUATION_3 = "loss = loss + self.alpha * value"


def changed(module, old, new):
    assert CODE[module].count(old) == 1
    return {**CODE, module: CODE[module].replace(old, new)}


@pytest.mark.parametrize("entry", digests.entries(CODE))
def test_the_code_of_an_entry_is_the_one_that_was_accepted(entry):
    known = json.loads(digests.FILE.read_text()).get(entry, {})
    assert known, f"{entry} is new: python tests/digests.py accept"
    here = digests.state(entry, CODE)
    assert not digests.other_defaults(known, here), f"raise VERSION in {entry}: cells of the old default would be taken"
    assert here == known, (
        f"The code behind {entry} is not that of version {known.get('version')}. If results change, raise VERSION in "
        "it; then, or if they do not, run: python tests/digests.py accept"
    )


def test_another_equation_3_is_another_training_and_no_other_gan():
    other = changed("classifiers._objective", EQUATION_3, EQUATION_3.replace("+", "-"))
    differ = {name for name in digests.entries(CODE) if digests.digest(name, CODE) != digests.digest(name, other)}
    assert "tasks.train_classifier" in differ
    assert not {"tasks.train_gan", "gans.dcgan", "snnl_core", "tasks.descend"} & differ


def test_another_engine_is_another_engine_alone():
    other = changed("snnl_core.temperature", "import math", "import math\nCHANGED = 1")
    differ = {name for name in digests.entries(CODE) if digests.digest(name, CODE) != digests.digest(name, other)}
    assert differ == {"snnl_core"}


def test_words_and_places_change_nothing():
    words = changed("classifiers._objective", EQUATION_3, f'{EQUATION_3}  # a comment\n            """A text."""')
    assert digests.digest("tasks.train_classifier", words) == digests.digest("tasks.train_classifier", CODE)
    moved = {name.replace("classifiers._objective", "classifiers._loss"): text for name, text in CODE.items()}
    moved = {name: text.replace("classifiers._objective", "classifiers._loss") for name, text in moved.items()}
    assert digests.digest("tasks.train_classifier", moved) == digests.digest("tasks.train_classifier", CODE)


def test_what_is_imported_inside_functions_counts_too():
    assert "gans._loop" in digests.closure("tasks.train_gan", CODE)
    assert "classifiers._objective" in digests.closure("tasks.train_classifier", CODE)
    assert "metrics.real_generated" in digests.closure("tasks.measure_gan", CODE)
    assert "lab.training.draws" in digests.closure("tasks.measure_gan", CODE)


def test_all_that_makes_features_that_are_kept_counts_for_them():
    assert {"evaluation.trained", "evaluation.foreign", "outside.layered"} <= digests.closure(digests.SPACES, CODE)


def test_every_version_of_python_gives_the_same_digest():
    code = {"tasks.made": "@f\ndef g(x: int = 1, *, y=None):\n    return f'{x:0{y}}' + f'' + x[:, ...]\n"}
    assert digests.digest("tasks.made", code) == "3392b93ad62815f8"


def test_another_default_is_accepted_with_another_version_alone(monkeypatch, capsys, tmp_path):
    known = json.loads(digests.FILE.read_text())
    other = {**known["gans.dcgan"], "defaults": {**known["gans.dcgan"]["defaults"], "latent": "64", "added": "1"}}
    monkeypatch.setattr(digests, "FILE", tmp_path / "digests.json")
    monkeypatch.setattr(sys, "argv", ["digests.py", "accept"])
    digests.FILE.write_text(json.dumps({**known, "gans.dcgan": other}))
    with pytest.raises(SystemExit, match=r"gans\.dcgan has another default of latent: raise VERSION"):
        digests.main()
    assert json.loads(digests.FILE.read_text())["gans.dcgan"] == other
    digests.FILE.write_text(json.dumps({**known, "gans.dcgan": {**other, "version": 0}}))
    digests.main()
    assert json.loads(digests.FILE.read_text()) == known
    assert not digests.other_defaults(known["gans.dcgan"], {**other, "defaults": {}}), "a setting may go"
