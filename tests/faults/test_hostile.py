"""Strange files of a finished study, torn or a stranger's: commands end in one line and touch nothing outside."""

import json
import os
import shutil
from pathlib import Path

import click
import pytest

import cli
from commands import cell as cell_command
from commands import report as report_command
from commands import runs as runs_command
from lab.cells import record
from lab.cells.folder import CellFolder
from lab.cells.layout import PUBLISHED
from lab.cells.runs import Runs
from lab.errors import WorkbenchError
from lab.files import remove
from lab.hashing import content_hash
from lab.reporting.report import Report
from studies import gan_entanglement

TRAINING, EMBEDDING = "gan-dcgan-digits-s0-f7441f35", "embed-gan-dcgan-digits-s0-1a8eade8"
STUDY = Path("runs/studies/gan-entanglement/hash")
CELLS = Path("runs/cells")
SECRET = '{"secret": "what is outside"}\n'
RUNS = runs_command.command.commands
DAMAGED = {
    "null": b"null",
    "a list": b"[1]",
    "an empty object": b"{}",
    "a text": b'"x"',
    "pairs": b'[["seconds", 1.0], ["rows", "x"]]',
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "fairly deep": b'{"a":' * 500 + b"1" + b"}" * 500,
    "a number too long": b'{"seconds": ' + b"9" * 5000 + b"}",
    "bytes": bytes(range(256)),
    "nothing": b"",
}
"""What a file holds in place of its own content."""


def torn(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def link(path):
    remove(path)
    path.symlink_to(Path("outside/secret").absolute())


def loop(path):
    remove(path)
    path.symlink_to(path.name)


def pipe(path):
    remove(path)
    os.mkfifo(path)


def folder(path):
    remove(path)
    path.mkdir()


STRANGE = [torn, link, loop, pipe, folder, remove]
"""What becomes of a file."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished study of two cells below `runs`, and with what is `outside`."""
    home = tmp_path_factory.mktemp("home")
    for name in (TRAINING, EMBEDDING):
        folder = CellFolder(shutil.copytree(PUBLISHED / "cells" / name, home / CELLS / name))
        for picture in sorted(folder.path.glob("samples/*"))[2:]:
            picture.unlink()
        folder.keep_rows(folder.rows()[:5])
        folder.mark_done(1.0)
        folder.event("progress", done=1, total=1, text="all")
    (home / STUDY).mkdir(parents=True)
    settings = {**gan_entanglement.PRESETS["laptop"], "seeds": 1, "gans": ["dcgan"]}
    (home / STUDY / "config.json").write_text(json.dumps(settings))
    (home / STUDY / "plan.json").write_text(json.dumps({"study": "gan-entanglement", "cells": [TRAINING, EMBEDDING]}))
    (home / STUDY / "DONE").write_text("{}")
    (home / "outside").mkdir()
    (home / "outside" / "secret").write_text(SECRET)
    return home


@pytest.fixture
def home(finished, tmp_path, monkeypatch):
    """The same, to be harmed, as the current folder; a report is an empty page."""
    shutil.copytree(finished, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr(gan_entanglement, "report", lambda *_: Report("Title", "Question?", []))
    return tmp_path / "home"


@pytest.fixture
def end(capsys):
    """A function that gives a command's exit code and what it said on stderr, in which nothing is unforeseen."""

    def run(command, *arguments):
        try:
            code = command.main([*map(str, arguments)], "snnl", standalone_mode=False) or 0
        except SystemExit as error:
            code = error.code
        except Exception as error:
            message, code = cli._told(error)
            click.echo(f"Error: {message}", err=True)
        out, err = capsys.readouterr()
        assert code in {0, 1, 2, 3} and "should not happen" not in err, (command.name, arguments, err)
        assert "Traceback" not in err and "tells where" not in err, (command.name, arguments, err)
        assert code not in {1, 2} or (not out and err.count("\n") == 1), (command.name, arguments, err)
        return code, err

    return run


def look(end, cell):
    """Every command that reads a study; their exit codes by name."""
    commands = {
        "list": (RUNS["list"],),
        "show the study": (RUNS["show"], STUDY),
        "show the cell": (RUNS["show"], cell),
        "export": (RUNS["export"], STUDY, "kept"),
        "report": (report_command.command, STUDY),
        "cell": (cell_command.command, cell),
        "remove": (RUNS["remove"], STUDY, "--dry-run"),
    }
    if not (cell / "DONE").exists():
        del commands["cell"]  # which would begin to train
    found = {name: end(*command)[0] for name, command in commands.items()}
    exported = [path for path in Path("kept").rglob("*") if path.is_file()]
    assert not [path for path in exported if b"secret" in path.read_bytes()]
    assert not [path for path in exported if path.is_symlink()]
    assert b"what is outside" not in (STUDY / "report.html").read_bytes() if (STUDY / "report.html").exists() else True
    remove(Path("kept"))
    return found


def harmed(path):
    """Put everything strange in the place of a file, one after the other."""
    kept = path.read_bytes()
    for name, data in DAMAGED.items():
        path.write_bytes(data)
        yield name
    for change in STRANGE:
        remove(path)
        path.write_bytes(kept)
        change(path)
        yield change.__name__
    remove(path)
    path.write_bytes(kept)


@pytest.mark.parametrize("name", ["plan.json", "config.json", "DONE"])
def test_a_strange_file_of_a_study(home, end, name):
    for what in harmed(STUDY / name):
        found = look(end, CELLS / TRAINING)
        assert found["list"] == 0, what
        assert found["report"] in ({2} if name != "DONE" and what not in {"link", "loop", "pipe"} else {0, 1}), what
    assert set(look(end, CELLS / TRAINING).values()) == {0}
    assert Path("outside/secret").read_text() == SECRET


@pytest.mark.parametrize(
    "name",
    [
        f"{TRAINING}/config.json",
        f"{TRAINING}/DONE",
        f"{TRAINING}/environment.json",
        f"{TRAINING}/rows.jsonl",
        f"{TRAINING}/events.jsonl",
        f"{TRAINING}/samples/kimg-0000000.000.png",
        f"{EMBEDDING}/embedding.npz",
    ],
)
def test_a_strange_file_of_a_cell_costs_that_cell(home, end, name):
    for what in harmed(CELLS / name):
        found = look(end, (CELLS / name).parents[0 if name.count("/") == 1 else 1])
        assert found["list"] == 0, what
        assert found["report"] in {0, 3}, "the other cell is drawn"
    assert set(look(end, CELLS / TRAINING).values()) == {0}
    assert Path("outside/secret").read_text() == SECRET


# Records of strangers, whose seals are right.

STRANGE_VALUES = (None, [], [1], {}, "x", "", "..", "../x", -1, 1e308, True, [None], ["../../x"], {"x": [1]})


def sealed(found):
    """A record with the key and the seal that follow from its parts."""
    found = {**found, "key": content_hash(found.get("identity"))}
    return {**found, "seal": content_hash([found.get(name) for name in record.SEALED])}


def variants(found):
    """Records with one part of another kind, or gone."""
    for part in (*record.SEALED, "local", "format"):
        yield sealed({name: value for name, value in found.items() if name != part})
        yield from (sealed({**found, part: value}) for value in STRANGE_VALUES)
    for part in ("identity", "local"):
        for name in found[part]:
            less = {key: value for key, value in found[part].items() if key != name}
            yield sealed({**found, part: less})
            yield from (sealed({**found, part: {**found[part], name: value}}) for value in STRANGE_VALUES)


def test_a_record_is_refused_or_all_that_is_asked_of_it_can_be_had(home):
    """Whatever a stranger's record says, under the name that it asks for."""
    mark = CELLS / EMBEDDING / "config.json"
    local = {"data": "data", "download": False, "checkpoint_minutes": 5.0, "trackers": []}
    good, whole = sealed({**json.loads(mark.read_text()), "local": local}), 0
    for found in variants(good):
        place = mark.parent
        if isinstance(found.get("label"), str) and record.PLAIN.fullmatch(found["label"]):
            place = place.with_name(f"{found['label']}-{found['key'][:8]}")
        mark.parent.rename(place)
        (place / "config.json").write_text(json.dumps(found))
        try:
            folder = CellFolder(place)
            assert isinstance(folder.task, str) and isinstance(folder.config, dict) and folder.processes >= 1
            assert isinstance(folder.versions, dict) and folder.checkpoint_seconds >= 0
            assert all("/" not in name for name in folder.record["needs_folders"])
            assert folder.data["root"] or "data" not in folder.record["local"]
            whole += 1
        except WorkbenchError as error:
            assert "\n" not in str(error)
        place.rename(mark.parent)
    assert whole > 10


@pytest.mark.parametrize("task", ["os", "..os", "embed.os", ".embed", "", "embed_", "../tasks/embed", "_images"])
def test_a_record_runs_tasks_alone(home, end, task):
    found = json.loads((CELLS / TRAINING / "config.json").read_text())
    found = sealed({**found, "identity": {**found["identity"], "task": task}})
    place = CELLS / f"{found['label']}-{found['key'][:8]}"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(found))
    code, err = end(cell_command.command, place)
    assert code in {1, 2} and "Unknown task" in err


def test_a_plan_leads_nowhere_else(home, end):
    """Nor does it name a cell twice."""
    shutil.copytree(CELLS / EMBEDDING, home / "outside" / "cells" / EMBEDDING)
    plan = json.loads((STUDY / "plan.json").read_text())
    for cells in (
        [f"../../outside/cells/{EMBEDDING}"],
        [str(home / "outside" / "cells" / EMBEDDING)],
        [TRAINING, TRAINING],
        [None],
        [1],
        [""],
        [".."],
        ["x" * 300],
        ["\0"],
        ["\ud800"],
        {TRAINING: 1},
        None,
        TRAINING,
    ):
        (STUDY / "plan.json").write_text(json.dumps({**plan, "cells": cells}))
        found = look(end, CELLS / TRAINING)
        assert (found["report"], found["export"], found["remove"]) == (2, 2, 0), cells


def test_linked_cells_and_folders_are_not_followed(home, end):
    """Neither where a plan names them, nor in the place of the folder of all cells, nor deeper."""
    away = shutil.move(home / CELLS / EMBEDDING, home / "outside" / EMBEDDING)
    (CELLS / EMBEDDING).symlink_to(away)
    assert look(end, CELLS / TRAINING)["report"] == 3
    assert end(RUNS["export"], STUDY, "kept")[0] == 1 and not Path("kept", "cells", EMBEDDING).exists()
    (CELLS / EMBEDDING).unlink()
    shutil.move(away, CELLS / EMBEDDING)
    shutil.move(CELLS, home / "outside" / "cells")
    CELLS.symlink_to(home / "outside" / "cells")
    assert end(report_command.command, STUDY)[0] == 3
    assert end(RUNS["export"], STUDY, "kept")[0] == end(RUNS["remove"], STUDY, "--yes")[0] == end(RUNS["list"])[0] == 1
    assert {path.name for path in (home / "outside" / "cells").iterdir()} == {TRAINING, EMBEDDING}


def test_a_link_among_the_samples_is_not_exported(home, end):
    samples = CELLS / TRAINING / "samples"
    (samples / "stolen.png").symlink_to(home / "outside" / "secret")
    assert end(RUNS["export"], STUDY, "kept")[0] == end(RUNS["export"], CELLS / TRAINING, "kept")[0] == 1
    assert not Path("kept/cells", TRAINING).exists()
    assert Runs(Path("runs")).get(CELLS / TRAINING).record == {}
    assert end(RUNS["remove"], STUDY, CELLS / TRAINING, "--yes")[0] == 0
    assert (home / "outside" / "secret").read_text() == SECRET and not samples.exists()
