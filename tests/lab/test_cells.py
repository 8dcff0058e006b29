"""A cell's identity is all that decides its result, and nothing else."""

import dataclasses
import importlib
import sys
from pathlib import Path

import pytest
from making import Free, made
from pydantic import Field

from lab import registry
from lab.cells.cell import Cell, with_needs
from lab.hashing import content_hash
from tasks import train_classifier, train_gan

DATA = Path("data")
BASE = made("train", "label", {"seed": 0, "kimg": 1.5}, versions={"gans/x": 1}, data="x")
TRAININGS = {
    "gans": lambda name: train_gan.cell(train_gan.Config.parse({"gan": name}), DATA),
    "classifiers": lambda name: train_classifier.cell(train_classifier.Config.parse({"classifier": name}), DATA),
}
NAMES = [(kind, entry.name) for kind in TRAININGS for entry in registry.entries(kind)]


def test_what_decides_the_result_decides_the_key():
    changes = [
        {"task": "measure"},
        {"config": Free(seed=1, kimg=1.5)},
        {"versions": {"gans/x": 2}},
        {"versions": {"gans/y": 1}},
        {"data": "y"},
        {"needs": (BASE,)},
        {"processes": 2},
    ]
    keys = {dataclasses.replace(BASE, **change).key for change in changes}
    assert len(keys | {BASE.key}) == len(changes) + 1


def test_what_does_not_decide_it_does_not():
    same = dataclasses.replace(BASE, label="other", cost=99.0, config=Free(kimg=1.5, seed=0))
    assert same.key == BASE.key
    assert same.folder_name == f"other-{BASE.key[:8]}"


def test_a_need_changes_the_key_all_the_way_up():
    other = dataclasses.replace(BASE, config=Free(seed=9))
    upper = [made("m", "m", needs=(need,)) for need in (BASE, other)]
    top = [made("n", "n", needs=(cell,)) for cell in upper]
    assert top[0].key != top[1].key


def test_needs_come_first_and_once():
    one, two = (made("m", name, {"name": name}, needs=(BASE,)) for name in "12")
    assert [cell.label for cell in with_needs([one, two])] == ["label", "1", "2"]


def test_hash_is_stable():
    assert content_hash({"b": 1, "a": [1.5, None, "ä"]}) == content_hash({"a": [1.5, None, "ä"], "b": 1})
    assert content_hash({"a": 1}) == "015abd7f5cc57a2d"


@pytest.mark.parametrize("kind, name", NAMES)
def test_a_new_setting_with_a_default_changes_no_key(monkeypatch, kind, name):
    """Of the recipe, and of the run."""
    before, own = TRAININGS[kind](name), registry.config_class(kind, name)

    class Grown(own):
        """The recipe with one setting more."""

        dropout: float = Field(0.0, description="share of units that are left out")

    monkeypatch.setattr(registry, "config_class", lambda kind, name: Grown)
    after = TRAININGS[kind](name)
    assert "dropout" in after.config.plain()["settings"] and "dropout" not in before.config.plain()["settings"]
    assert after.key == before.key
    grown = type("Config", (type(before.config),), {"__annotations__": {"more": int}, "more": 3})
    assert Cell("t", "l", grown.parse(dict(before.config))).key == Cell("t", "l", before.config).key


@pytest.mark.parametrize("kind, name", NAMES)
def test_a_setting_that_is_not_at_its_default_changes_the_key(kind, name):
    task = {"gans": train_gan, "classifiers": train_classifier}[kind]
    before = TRAININGS[kind](name).config
    other = {"settings": {"batch": 2 * before.settings.batch}}
    for change in (other, {"seed": 1}, {"precision": "float32"}, {"compile": True}):
        assert task.cell(before.replaced(**change), DATA).key != TRAININGS[kind](name).key


@pytest.mark.parametrize("entry", ["gans/dcgan", "classifiers/cnn"])
def test_moving_a_file_changes_no_key(monkeypatch, tmp_path, entry):
    """An entry may become a folder, and what it shares with others may lie elsewhere."""
    kind, name = entry.split("/")
    before = TRAININGS[kind](name).key
    for folder in registry.KINDS:
        (tmp_path / folder).symlink_to(registry.ROOT / folder) if folder != kind else (tmp_path / folder).mkdir()
    for path in (registry.ROOT / kind).glob("*.py"):
        target = tmp_path / kind / (path.name if path.stem != name else f"{name}/__init__.py")
        target.parent.mkdir(exist_ok=True)
        target.write_text(path.read_text())
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    registry.config_class.cache_clear()
    assert registry.source(entry) == tmp_path / kind / name / "__init__.py"
    assert TRAININGS[kind](name).key == before
    registry.config_class.cache_clear()


def test_keys_name_no_module():
    for kind, name in NAMES:
        identity = str(TRAININGS[kind](name).identity())
        assert not [
            module
            for module in sys.modules
            if "." in module and module.split(".")[0] in registry.KINDS and module in identity
        ]


def test_a_task_elsewhere_on_the_path_is_a_task(tmp_path, monkeypatch):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "extra.py").write_text("def run(folder): return 7")
    monkeypatch.syspath_prepend(tmp_path)
    import tasks

    importlib.reload(tasks)
    assert registry.load("tasks", "extra").run(None) == 7
