"""Options made from settings."""

import os
from pathlib import Path
from typing import Annotated, Literal

import click
import pytest
from pydantic import Field

from commands import _options as options
from commands import _paths as paths
from imagesets import data_root
from lab.config import HIDDEN, Config
from lab.errors import UsageError, WorkbenchError
from lab.reporting.report import Report, write_page, write_report


class Settings(Config):
    """Of every kind."""

    length: float = Field(description="how long")
    names: tuple[str, ...] = Field(("a",), description="who")
    step_size: float = Field(2e-4, description="how far")
    fast: bool = Field(False, description="whether to hurry")
    rate: float | None = Field(None, description="how often; not given, as it comes")
    kind: Literal["a", "b"] | None = Field(None, description="which")
    others: tuple[str, ...] = Field((), description="who else")
    wait: float | Literal["ever"] = Field("ever", description="how patiently")
    times: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (1, 2), description="when", json_schema_extra={"also": "--time"}
    )
    settled: int | None = Field(None, description="what is found out", json_schema_extra=HIDDEN)


SHOWN = [name for name in Settings.model_fields if name != "settled"]


@click.command()
@options.of(Settings)
def command(**values):
    assert list(values) and set(values) == set(SHOWN)
    given = options.taken(values, Settings)
    assert not values
    return given


def parsed(*arguments):
    return command.main(list(arguments), standalone_mode=False)


def test_what_was_given_can_be_told_from_what_was_not():
    assert parsed() == {}
    assert parsed("--names", "b,c", "--step-size", "1", "--no-fast") == {
        "names": ("b", "c"),
        "step_size": 1.0,
        "fast": False,
    }
    assert parsed("--fast", "--names", ",") == {"fast": True, "names": ()}


def test_two_commas_are_one_within_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    for text in ("c,folder:a,,b,d", "c , folder:a,,b,d,"):
        assert parsed("--names", text) == {"names": ("c", "folder:a,b", "d")}
    assert parsed("--names", ",,", "--names", "e,,,f,e") == {"names": (",", "e,", "f", "e")}
    for text, words in [("c,folder:a,b", "a is not there; .*: folder:a,,b"), ("zip:a,,c,b", "a,c .*: zip:a,,c,,b")]:
        with pytest.raises(UsageError, match=words):
            parsed("--names", text)
    assert parsed("--names", "folder:absent", "--names", "b") == {"names": ("folder:absent", "b")}


def test_help_has_meaning_and_default():
    helped = {option.name: option.help for option in command.params}
    assert list(helped) == SHOWN
    assert helped["length"] == "how long"
    assert helped["step_size"] == "how far  [default: 0.0002]"
    assert helped["names"] == "who  [default: a]"
    assert helped["times"] == "when  [default: 1,2]"
    assert helped["wait"] == "how patiently  [default: ever]"
    assert helped["fast"] == "whether to hurry"
    assert helped["rate"] == "how often; not given, as it comes"
    assert helped["others"] == "who else"


def test_what_may_be_left_out_has_the_type_of_what_may_be_given():
    assert parsed("--rate", "0.5", "--kind", "b") == {"rate": 0.5, "kind": "b"}
    for wrong in (["--rate", "often"], ["--kind", "c"], ["--step-size", "far"]):
        with pytest.raises(click.BadParameter):
            parsed(*wrong)


def test_what_may_be_of_several_kinds_is_left_to_the_settings():
    for text, value in (("2.5", 2.5), ("ever", "ever")):
        assert Settings.parse({"length": 1, **parsed("--wait", text)}).wait == value


def test_names_are_given_at_once_or_one_by_one_in_either_spelling():
    for arguments in (["--times", "3,5"], ["--time", "3", "--time", "5"], ["--time", "3, 5,", "--times", "3"]):
        assert Settings.parse({"length": 1, **parsed(*arguments)}).times == (3, 5)


def test_what_is_hidden_is_no_option():
    with pytest.raises(click.NoSuchOption):
        parsed("--settled", "1")


def test_a_report_is_written_anew_in_its_place_and_in_no_other_pages(tmp_path, monkeypatch):
    new = {paths.A_PAGE: [tmp_path / "page.html"], paths.A_REPORT: [tmp_path / "folder", tmp_path / "a" / "b"]}
    assert all(kind.convert(str(path), None, None) == path for kind, places in new.items() for path in places)
    report = Report("Title", "Question?", [])
    write_page(report, tmp_path / "page.html")
    write_report(report, [], [], tmp_path / "folder")
    assert all(kind.convert(str(path), None, None) == path for kind, places in new.items() for path in places)
    for page in (tmp_path / "page.html", tmp_path / "folder" / "report.html"):
        page.write_text("<title>Title</title>")
    for kind, path in ((paths.A_PAGE, tmp_path / "page.html"), (paths.A_REPORT, tmp_path / "folder")):
        with pytest.raises(WorkbenchError, match=r"\.html is not a report that was written here"):
            kind.convert(str(path), None, None)
    for kind in (paths.A_REPORT, paths.A_SITE):
        with pytest.raises(click.BadParameter, match=r"page\.html' is a file"):
            kind.convert(str(tmp_path / "page.html" / "below" / "it"), None, None)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    for kind, name in ((paths.NewFile(".npz"), "a.npz"), (paths.A_REPORT, "below/it"), (paths.A_SITE, "")):
        with pytest.raises(click.BadParameter, match="is not writable"):
            kind.convert(str(tmp_path / name), None, None)
    monkeypatch.undo()
    (tmp_path / "taken" / "report.html").mkdir(parents=True)
    with pytest.raises(WorkbenchError, match=r"taken/report\.html is not a report"):
        paths.A_REPORT.convert(str(tmp_path / "taken"), None, None)


@pytest.mark.parametrize("below", ["", "below/it"])
@pytest.mark.parametrize("leading", ["nowhere", "link"])
def test_a_dead_link_is_no_folder_to_look_into_or_to_make(tmp_path, monkeypatch, leading, below):
    """As one to a disk that is away, or one to itself: it would be told as want of room, or as a fault in here."""
    (tmp_path / "link").symlink_to(leading)
    for kind in (paths.ANY_FOLDER, paths.A_REPORT, paths.A_SITE):
        with pytest.raises(click.BadParameter, match=r"/link' is a link that leads nowhere\.$"):
            kind.convert(str(tmp_path / "link" / below), None, None)
    monkeypatch.setenv("SNNL_DATA", str(tmp_path / "link" / below))
    with pytest.raises(UsageError, match=r"leads nowhere\. Name the folder of the data with --data or SNNL_DATA\."):
        data_root(None)
    (tmp_path / "nowhere").mkdir()
    if leading == "nowhere":
        assert paths.ANY_FOLDER.convert(str(tmp_path / "link" / below), None, None) == tmp_path / "link" / below


@pytest.mark.parametrize("kind", [paths.ANY_FOLDER, paths.A_REPORT, paths.A_SITE, paths.NewFile(folders=True)])
def test_an_empty_path_is_not_the_folder_where_the_command_is(kind):
    with pytest.raises(click.BadParameter, match=r"^No place is named\.$"):
        kind.convert("", None, None)


def test_a_tilde_that_the_shell_left_is_the_users_folder(tmp_path, monkeypatch):
    """As that of `--out=~/page`, which bash hands on."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SNNL_DATA", "~/here")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    new = [paths.ANY_FOLDER, paths.A_REPORT, paths.NewFile(folders=True)]
    for kind in (*new, paths.A_FOLDER, paths.A_PATH):
        assert kind.convert("~/here", None, None) == tmp_path / "here" == data_root(None)
    assert paths.ANY_FOLDER.convert("here", None, None) == Path("here")
