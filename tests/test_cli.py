"""The command line as a whole: help, lists, and an interrupt."""

import errno
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import click
import forks
import pytest

import cli
from lab.cells.folder import CellFolder
from lab.interrupts import SAVING
from lab.training import checkpoint

ROOT = Path(__file__).resolve().parent.parent


def commands(command=cli.cli, path=()):
    """Every command and group, with its path."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


@pytest.mark.parametrize(
    "path, command", list(commands()), ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_and_option_has_help(path, command):
    assert command.help and command.get_help(click.Context(command, info_name="snnl"))
    for option in command.params:
        assert isinstance(option, click.Argument) or option.help, f"{path}: {option.name}"


def test_help_is_light():
    code = (
        "import sys; sys.argv = ['snnl', '--help']; import cli\n"
        "try: cli.main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'pydantic', 'scipy', 'commands.gan'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


def test_no_command_hides_what_another_uses():
    """A file `list.py` of a package hides the built-in `list` in it, once it is imported."""
    context = click.Context(cli.cli)
    for name in cli.cli.list_commands(context):
        cli.cli.get_command(context, name)
    assert "Commands:" in cli.cli.get_help(context) and "list" in cli.cli.list_commands(context)


def test_the_list_says_what_the_commands_say(snnl):
    context = click.Context(cli.cli)
    listed = " ".join(snnl("--help").stdout.partition("Commands:")[2].split())
    told = {name: cli.cli.get_command(context, name).help.split("\n")[0] for name in cli.cli.list_commands(context)}
    assert listed == " ".join(f"{name} {help}" for name, help in told.items())
    assert list(told) == [path.stem for path in sorted((ROOT / "commands").glob("[a-z]*.py"))]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["study"], "gan-entanglement"),
        (["list", "gans"], "wgan-gp"),
        (["list", "classifiers"], "resnet"),
        (["classifier", "list"], "mlp"),
        (["list", "imagesets"], "fashion-mnist"),
    ],
)
def test_entries_are_listed(snnl, arguments, words):
    done = snnl(*arguments)
    assert done.returncode == 0 and words in done.stdout and not done.stderr


def test_a_group_alone_tells_its_commands(snnl):
    done = snnl("measure")
    assert done.returncode == 2 and "features" in done.stderr and not done.stdout


@pytest.mark.parametrize("at", ["click", "lab.machine"])
def test_ctrl_c_while_a_command_is_imported_is_told_in_one_line(monkeypatch, capsys, at):
    known = __import__

    def imports(name, *arguments, **settings):
        if name == at:
            raise KeyboardInterrupt
        return known(name, *arguments, **settings)

    monkeypatch.setattr("builtins.__import__", imports)
    with pytest.raises(SystemExit, match="130"):
        runpy.run_path(str(ROOT / "cli.py"), run_name="__main__")
    monkeypatch.undo()
    assert capsys.readouterr().err == f"{cli.INTERRUPTED}\n"


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.usefixtures("heeded")
def test_ctrl_c_keeps_what_a_training_has_done(tmp_path):
    """Long before a checkpoint is due."""
    train = ["gan", "train", "dcgan", "--kimg", "9000", "--width", "4", "--precision", "float32"]
    running = forks.Running(ROOT / "cli.py", [*train, "--checkpoint-minutes", "99"], tmp_path, os.environ)
    deadline = time.monotonic() + 120
    while not (cells := list(tmp_path.glob("runs/cells/*/snapshots"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    done = running.finished(60)
    out, err = done.stdout, done.stderr
    cell = CellFolder(cells[0].parent)
    (point,) = checkpoint.newest_first(cell.path / "checkpoints")
    assert done.returncode == 130 and not out and not cell.done, err
    assert checkpoint.read(point, cell.key).step > 0
    told = [line for line in err.splitlines() if "left" not in line or "Interrupted" in line]
    assert told[0] == SAVING and told[1].startswith(f"{cell.label}: saved at ") and " of 9000 kimg." in told[1]
    ended = "Interrupted. The same command goes on with what is left; one that does no cells begins anew."
    assert told[2:] == ["", ended]


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.usefixtures("heeded")
def test_an_interrupt_is_130_and_the_same_command_goes_on(snnl, tmp_path):
    arguments = ["study", "toy", "--preset", "smoke", "--seeds", "3", "--jobs", "1", "--svg-only", "--json"]
    running = forks.Running(ROOT / "cli.py", arguments, tmp_path, os.environ)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/cells/*/DONE")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    broken = running.finished(60)
    out, err = broken.stdout, broken.stderr
    assert broken.returncode == 130, err
    assert "Interrupted" in err and "Traceback" not in err and not out
    done = snnl(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout.splitlines()[-1])["cells"]
    assert cells["cached"] >= 1 and cells["cached"] + cells["run"] == cells["total"] == 3


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGUSR1", "SIGTERM"])
def test_each_signal_that_ends_a_command_has_its_code_which_is_told_wherever_codes_are(name, monkeypatch, capsys):
    from lab import registry

    number = getattr(signal, name)
    code = 128 + number

    def interrupted(kind):
        signal.raise_signal(number)
        time.sleep(0)
        pytest.fail("it went on")

    monkeypatch.setattr(registry, "entries", interrupted)
    monkeypatch.setattr(sys, "argv", ["snnl", "list", "gans"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code and "Interrupted." in capsys.readouterr().err
    for text in (cli.main.__doc__, *((ROOT / page).read_text("utf-8") for page in ("README.md", "docs/runs.md"))):
        assert re.search(rf"\b{code}\b", text)
    assert re.search(rf"^\| {code} \| interrupted by .*\|$", (ROOT / "docs" / "errors.md").read_text("utf-8"), re.M)


def test_outside_an_environment_one_line_says_how_to_make_one():
    """Without what pip installs."""
    done = subprocess.run([sys.executable, "-S", ROOT / "cli.py", "list", "gans"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: click is not installed for ") and done.stderr.count("\n") == 1
    assert "make .venv/installed" in done.stderr and "pip install -e ." in done.stderr


def test_windows_itself_is_refused_and_told_of_wsl(monkeypatch):
    """There, looking whether the process that started one is alive would interrupt that."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit, match=r"^Error: .* within WSL\.$"):
        cli.main()


def test_figures_need_nothing_of_the_notebook_that_a_command_is_started_from(monkeypatch, capsys):
    """Whose kernel names a package of its own environment to those that it starts."""
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setattr(sys, "argv", ["snnl", "--version"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code and os.environ["MPLBACKEND"] == "agg"


def test_a_warning_is_one_line_without_its_place_in_the_code(monkeypatch, capsys):
    from lab import registry

    def warned(kind):
        warnings.warn("part of the loss\nis rounding", stacklevel=1)
        return []

    monkeypatch.setattr(registry, "entries", warned)
    monkeypatch.setattr(sys, "argv", ["snnl", "list", "gans"])
    with pytest.raises(SystemExit), warnings.catch_warnings():
        warnings.simplefilter("always")
        cli.main()
    assert capsys.readouterr().err == "Warning: part of the loss is rounding\n"


def test_a_package_that_is_missing_later_is_told_in_the_same_way(monkeypatch, capsys):
    from lab import registry

    def lacking(kind):
        import a_package_that_is_not_there  # noqa: F401

    monkeypatch.setattr(registry, "entries", lacking)
    monkeypatch.setattr(sys, "argv", ["snnl", "list", "gans"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Error: a_package_that_is_not_there is not installed for " in capsys.readouterr().err


def test_a_name_that_is_too_long_and_a_place_that_is_closed_are_not_told_as_want_of_room():
    with pytest.raises(OSError, match="too long") as error:
        Path("a" * 300).stat()
    message, code = cli._told(error.value)
    assert code == 1 and message.endswith(". Give a shorter name.") and "room" not in message
    assert cli._told(OSError(errno.ELOOP, "Too many links", "a"))[0].endswith("where none is followed: remove it.")
    message, _ = cli._told(PermissionError(errno.EACCES, "Permission denied", "a"))
    assert message == "[Errno 13] Permission denied: 'a'. May this user read and write there?"


@pytest.mark.skipif(os.name != "posix", reason="names errors of POSIX systems")
@pytest.mark.parametrize(
    "name, to_do",
    [
        ("ESTALE", "The disk did not answer; the same command goes on once it does."),
        ("EIO", "The disk did not answer; the same command goes on once it does."),
        ("EEXIST", "That is in the way: move it, or name another place."),
        ("EISDIR", "That is in the way: move it, or name another place."),
        ("ENOTEMPTY", "That is in the way: move it, or name another place."),
        ("ENOLCK", "This disk has no locks: name a folder on another one. snnl doctor --runs FOLDER tries one."),
    ],
)
def test_a_disk_that_is_away_or_has_no_locks_is_not_told_as_want_of_room(name, to_do):
    number = getattr(errno, name)
    message, code = cli._told(OSError(number, os.strerror(number), "a"))
    assert code == 1 and message == f"[Errno {number}] {os.strerror(number)}: 'a'. {to_do}"


@pytest.mark.parametrize("name", ["classifier", "gan", "measure", "runs"])
def test_the_help_of_a_group_says_what_each_command_does_to_the_end(name):
    group = cli.cli.get_command(click.Context(cli.cli), name)
    context = click.Context(group, info_name=name)
    shown = " ".join(group.get_help(context).partition("Commands:")[2].split())
    assert group.list_commands(context)
    for word in group.list_commands(context):
        told = group.get_command(context, word).help.partition("\n\n")[0]
        assert f"{word} {' '.join(told.split())}" in shown
