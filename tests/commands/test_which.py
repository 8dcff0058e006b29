"""Which network, images, file and place options name; and how much work there is, in words."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.exceptions import BadParameter
from click.testing import CliRunner

from commands import _options as options
from commands import _paths as paths
from commands import classifier, study, tune
from imagesets import Spec
from lab.errors import UsageError
from lab.running import slurm
from lab.running.place import Place
from lab.running.sbatch import Asked


@pytest.mark.parametrize("stretch, asked", [(None, False), ((10, 200), (10, 200))])
def test_own_images_are_decoded_as_those_that_a_classifier_learned(monkeypatch, tmp_path, stretch, asked):
    settled, spec = [], Spec(1, 24, ("a", "b"), ("train", "test"), {"train": 9, "test": 3}, stretch)
    monkeypatch.setattr(classifier, "settle", lambda name, data, **how: settled.append((name, how)) or name)
    training = SimpleNamespace(config=SimpleNamespace(spec_of_images=spec))
    for name in ("folder:photos", "digits"):
        classifier._settled(name, training, tmp_path, True, False)
    beside = {"skip_bad": True, "follow_links": False, "say": options.say}
    assert settled == [("folder:photos", {"size": 24, "channels": 1, "stretch": asked, **beside}), ("digits", beside)]


@pytest.mark.parametrize(
    "words, told",
    [
        (["credibility", ".", __file__, "--layers", "1"], "--layers is for --model."),
        (["attack", ".", "--imageset", "digits"], "--imageset is for --model."),
        (["attack", ".", "--model", "x.py:Net"], "FOLDER and --model are two networks: give one."),
        (["attack"], "Missing argument 'FOLDER'."),
        (["credibility", "--model", "x.py:Net"], "Missing argument 'IMAGES...'."),
    ],
)
def test_a_network_is_of_a_folder_or_made_elsewhere(words, told):
    done = CliRunner().invoke(classifier.command, words)
    assert done.exit_code == 2 and f"Error: {told}" in done.stderr


@pytest.mark.parametrize(
    "given, name",
    [({"slurm": ("nodes=2",)}, "--slurm"), ({"slurm_profile": Path("x")}, "--slurm-profile"), ({}, "--detach")],
)
def test_options_of_slurm_are_for_it_alone(given, name):
    values = {"executor": "slots", "slurm": (), "slurm_profile": None, "jobs": 2, **given}
    with pytest.raises(UsageError, match=rf"^{name} is for --executor slurm\.$"):
        options.place_of(values, detach=name == "--detach")


def test_a_profile_of_slurm_is_that_of_the_option_else_of_the_variable(monkeypatch):
    monkeypatch.setattr(slurm, "check", lambda: None)
    monkeypatch.setattr(Asked, "of", lambda given, file: file)
    monkeypatch.setenv("SNNL_SLURM", "/site.toml")
    for given, taken in ((None, Path("/site.toml")), (Path("own.toml"), Path("own.toml"))):
        place = options.place_of({"executor": "slurm", "slurm": (), "slurm_profile": given})
        assert place == Place("slurm", None, taken)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for kind in (paths.A_FILE, paths.NewFile()):
        with pytest.raises(BadParameter, match="is a pipe or a device"):
            kind.convert(str(tmp_path / "pipe"), None, None)


def test_no_more_is_side_by_side_than_there_is_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "takes", lambda cells, slots, runs: f"{len(cells)} in {slots}")
    plan = SimpleNamespace(slots_at=lambda place: 8, to_do=[1, 2, 3], cells=range(5), published=(), runs=tmp_path)
    assert study._outlook(plan, Place("slots")) == "3 of 5 cells to do, 3 side by side, 3 in 8."
    assert study._outlook(plan, Place("slurm")) == "3 of 5 cells to do, by slurm; one after the other, 3 in 1."


def test_a_search_that_has_told_more_trials_has_none_left(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tune, "takes", lambda cells, slots, runs: f"{len(cells)} in {slots}")
    for told, left in ((3, 2), (9, 0)):
        about = {"study": "layers", "runs": tmp_path, "folder": Path("search")}
        searching = SimpleNamespace(space={}, told=told, example=[1, 2], slots=4, **about)
        tune._print_plan(searching, 5, as_json=False)
        assert f"{left} of 5 trials to do in search, of 2 trainings each, {2 * left} in 4." in capsys.readouterr().out
