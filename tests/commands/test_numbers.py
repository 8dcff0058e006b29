"""Odd values of every option: each is refused in one line, before any work."""

import click
import numpy as np
import pytest

import cli
from commands import cli as commands
from lab.errors import WorkbenchError

HOSTILE = ("nan", "inf", "-inf", "1e300", "1" + "0" * 40)
"""No option takes one of these, whatever it is for: a number, several, or a name."""
ODD = ("0", "-1", "-1e9")
"""Some options take some of these."""
TEXTS = {
    "features",
    "imageset",
    "index",
    "label",
    "layers",
    "model",
    "nodes",
    "slurm",
    "snnl_layers",
    "split",
    "storage",
}
"""Options that take names, of which some are known only when a network is built."""


def leaves(group=commands, path=()):
    """Every command, with its words."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield from leaves(command, (*path, name)) if isinstance(command, click.Group) else [((*path, name), command)]


def valued():
    """Every option that takes a value which is no path and no word of a list: its command, by the words of both.

    One that several commands share, with its limits and its help, is there once.
    """
    found = {}
    for words, command in leaves():
        for one in command.params:
            word = isinstance(one, click.Option) and not one.is_flag and one.name not in TEXTS
            if word and not isinstance(one.type, click.Path | click.Choice):
                found.setdefault((one.opts[0], str(one.type), one.help), (words, command, one))
    return {" ".join([*words, option.opts[0]]): (command, option) for words, command, option in found.values()}


VALUED = valued()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a file of points."""
    folder = tmp_path_factory.mktemp("place")
    np.savez(folder / "x.npz", x=np.random.default_rng(0).normal(size=(8, 2)), labels=np.arange(8) % 2)
    return folder


@pytest.fixture
def end(place, monkeypatch):
    """A function that gives the message and the exit code of a command with an option; no work is ever begun."""
    import gans._trained
    import outside.credibility
    import outside.network
    import outside.points
    from commands import _train, classifier, doctor, study, tune

    def begin(*arguments, **settings):
        raise WorkbenchError("the work begins")

    work = {_train: "do_cell", classifier: "do_folder", doctor: "findings", study: "run_study", tune: "search"}
    work |= {gans._trained: "open_gan", outside.network: "extract", outside.points: "measure_file"}
    for module, name in (work | {outside.credibility: "measure_credibility"}).items():
        monkeypatch.setattr(module, name, begin)
    monkeypatch.chdir(place)

    def needed(one):
        """A value of what a command cannot do without."""
        folder = isinstance(one.type, click.Path) and not one.type.file_okay
        return {"model": "torchvision:resnet18", "imageset": "digits"}.get(one.name, "." if folder else "x.npz")

    def run(command, option, value):
        given = [option.opts[0], value]
        for one in command.params:
            if one.required and one is not option:
                given += [needed(one)] if isinstance(one, click.Argument) else [one.opts[0], needed(one)]
        with pytest.raises((click.ClickException, WorkbenchError)) as error:
            command.main(given, "snnl", standalone_mode=False)
        return cli._told(error.value)

    return run


@pytest.mark.parametrize("command, option", VALUED.values(), ids=VALUED)
def test_odd_values_are_refused_in_one_line(command, option, end, capsys):
    for value in HOSTILE:
        message, code = end(command, option, value)
        assert code == 2 and "\n" not in message, (value, message)
        assert any(word in message for word in (option.name, option.opts[0], value))
        assert capsys.readouterr() == ("", "")
    for value in ODD:
        message, code = end(command, option, value)
        assert code in (1, 2) and "\n" not in message, (value, message)


def test_there_are_options_of_every_kind():
    names = {option.name for _, option in VALUED.values()}
    assert names >= {"kimg", "checkpoint_minutes", "alphas", "temperature", "snapshots", "seed", "jobs", "size", "k"}
