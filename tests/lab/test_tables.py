"""One table, four formats."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd

from lab.reporting.statistics import SHARE, Estimate, mean_interval
from lab.reporting.tables import (
    Column,
    Table,
    aligned,
    columns,
    mean_entry,
    seed_rows,
    seed_table,
    sort_key,
    text,
    write_csv,
)

TABLE = Table(
    "final",
    "A caption.",
    [Column("measure & more"), Column("dcgan", "higher"), Column("n")],
    [["50% of_it", Estimate(0.51234, 0.4, 0.6, 5), 3], ["a|b", Estimate(0.2, math.nan, math.nan, 1), 10]],
)


def test_csv_keeps_every_digit_and_the_interval():
    header, first, second = csv.reader(io.StringIO(TABLE.to_csv()))
    assert header == ["measure & more", "dcgan", "dcgan low", "dcgan high", "dcgan n", "n"]
    assert first == ["50% of_it", "0.51234", "0.4", "0.6", "5", "3"]
    assert second[1:3] == ["0.2", "nan"]


def test_markdown():
    lines = TABLE.to_markdown().splitlines()
    assert lines[0] == "| measure & more | dcgan ↑ | n |"
    assert lines[2] == "| 50% of_it | 0.512 [0.400, 0.600] (n = 5) | 3 |"
    assert Table("t", "", [Column("a|b")], [["two\nlines"]]).to_markdown() == "| a\\|b |\n| --- |\n| two lines |\n"
    assert lines[3] == r"| a\|b | 0.200 (n = 1) | 10 |"


def test_latex_escapes_its_special_characters():
    found = TABLE.to_latex()
    assert r"measure \& more & dcgan & n \\" in found
    assert r"50\% of\_it & 0.512 {\small [0.400, 0.600] ($n=5$)} & 3 \\" in found
    assert found.count(r"\toprule") == found.count(r"\bottomrule") == 1


def test_latex_has_no_sign_that_its_usual_fonts_lack():
    """Arrows end its run, and of <, > and | it shows others."""
    every = Table("t", "", [Column("a")], [["$5 & #1 {x} ~ ^ \\"]]).to_latex()
    assert r"\$5 \& \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \\" in every
    found = Table("t", "", [Column("P(p <= 0.01)", "lower")], [["FID ↓"], ["a > b | c"], ["entanglement ↑"]]).to_latex()
    assert r"P(p \textless{}= 0.01) \\" in found and r"FID $\downarrow$ \\" in found
    assert r"a \textgreater{} b \textbar{} c \\" in found and r"entanglement $\uparrow$ \\" in found


def test_in_csv_a_column_of_numbers_holds_no_dash():
    """Else whoever reads it has a column of texts; a column of texts keeps it."""
    rows = [[0.5, Estimate(1.5, 1, 2, 3), 3, "x", "-"], ["-", "-", "-", "-", "blind"]]
    found = Table("t", "", columns("share", "mean", "n", "name", "seen"), rows)
    read = pd.read_csv(io.StringIO(found.to_csv()), keep_default_na=False, na_values=["nan"])
    assert [read[name].dtype.kind for name in ("share", "mean", "mean low", "mean n", "n")] == [*"fffff"]
    assert read.loc[1, ["share", "mean", "mean low", "mean n", "n"]].isna().all()
    assert [*read["name"]] == ["x", "-"] and [*read["seen"]] == ["-", "blind"]
    assert found.to_markdown().splitlines()[-1] == "| - | - | - | - | blind |"


def test_no_name_is_a_formula_where_a_spreadsheet_opens_the_csv(tmp_path):
    names = ["=1+1", "@a", "\t=a", "+a", "-1+cmd|' /C calc'!A0"]
    numbers = ["-0.003, 0.0", "-1e-05", "+inf", "-1.5E+3, -nan", "-0.19 to -0.18"]
    rows = [[name, -0.5] for name in names] + [["-0.003, 0.0", "-"], ["a-b", math.nan]]
    (header, *_), *found = csv.reader(io.StringIO(Table("t", "", columns("=a", "n"), rows).to_csv()))
    assert header == "'=a" and [name for name, _ in found] == [*(f"'{name}" for name in names), "-0.003, 0.0", "a-b"]
    assert [value for _, value in found] == ["-0.5"] * 5 + ["nan"] * 2
    _, *found = csv.reader(io.StringIO(Table("t", "", columns("a"), [[one] for one in numbers]).to_csv()))
    assert found == [[one] for one in numbers]
    assert Table("t", "", columns("a"), [["-e1"], ["-info"], ["-1 to(2)"]]).to_csv() == "a\n'-e1\n'-info\n'-1 to(2)\n"
    frame = pd.DataFrame({"group": ["=a", "\udcff", ""], "n": [-1, 2, 3]})
    write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text("utf-8") == "group,n\n'=a,-1\n\\udcff,2\n,3\n" and frame["group"][0] == "=a"


def test_a_name_at_the_beginning_of_a_row_is_no_option_of_the_line_before():
    found = Table("t", "", [Column("a")], [["[b]"], ["*c"], ["two\n\nlines"]]).to_latex()
    assert r"{[}b] \\" in found and r"{*}c \\" in found and r"two lines \\" in found
    assert Table("t", "", [Column("a")], [["<b> [c](d)"]]).to_markdown().endswith("| &lt;b> [c]\\(d) |\n")


def test_where_small_numbers_count_four_digits_are_shown():
    rows = [["kid", 0.00143, 0.0006], ["fid", 1234.5678, "-"]]
    found = Table("t", "", columns("measure", "value", "floor"), rows, four_digits=True)
    assert found.to_markdown().splitlines()[2:] == ["| kid | 0.00143 | 0.0006 |", "| fid | 1235 | - |"]
    assert r"kid & 0.00143 & 0.0006 \\" in found.to_latex() and "fid,1234.5678,nan" in found.to_csv()


def test_sorting_is_by_the_number():
    assert sort_key(Estimate(0.51234, 0.4, 0.6, 5)) == "0.51234"
    assert sort_key(np.float64(0.5)) == "0.5"
    assert sort_key(-math.inf) == "-Infinity"
    assert sort_key(3) == "3"
    assert sort_key("name") == "name"


def test_what_is_no_number_is_a_dash():
    assert text(math.nan) == "-"
    assert text(0.12345) == "0.123"


def test_what_three_decimals_would_hide_keeps_two_digits():
    assert [text(value) for value in (3e-4, -4.61e-5, 5e-4)] == ["0.0003", "-4.6e-05", "0.001"]
    assert text(Estimate(0.00123, 2.8e-4, 0.00218, 3)) == "0.001 [0.00028, 0.002] (n = 3)"
    assert "0.00028" in Table("t", "", [Column("a")], [[Estimate(0.1, 2.8e-4, 0.2, 3)]]).to_latex()
    assert [text(value) for value in (0.0, -0.0, 1.2e-18, -1e-7)] == ["0.000"] * 4, "rounding in sums is 0"


def test_plain_rows_are_aligned():
    assert aligned([["layer", "n"], ["fc", "10"], ["layer12", "5"]]) == "layer     n\nfc       10\nlayer12   5"


def test_the_entry_of_a_mean_rests_on_what_is_known():
    assert mean_entry(pd.Series([1.0, math.nan, 3.0, 4.0])) == mean_interval([1.0, 3.0, 4.0])
    within = mean_entry(pd.Series([0.5, 1.0, 1.0]), SHARE)
    assert within == mean_interval([0.5, 1.0, 1.0], within=SHARE) and within.high == 1
    assert mean_entry(pd.Series([math.nan])) == mean_entry(pd.Series([], dtype=float)) == "-"


ONE, OTHER = pd.Series({0: 0.5, 2: 0.7}), pd.Series({2: 7.0, 3: 9.0})


def test_a_row_for_each_seed_of_the_first_measure():
    first, second = seed_rows([ONE, OTHER])
    assert first[:2] == [0, 0.5] and math.isnan(first[2])
    assert second == [2, 0.7, 7.0]
    assert [type(entry) for entry in second] == [int, float, float]
    assert seed_rows([OTHER[:0], ONE]) == []


def test_a_column_for_each_seed_that_any_has():
    found = seed_table("t", "T.", ["layer"], {("a",): ONE, ("b",): OTHER})
    assert [column.header for column in found.columns] == ["layer", "seed 0", "seed 2", "seed 3"]
    assert found.to_csv().splitlines()[1:] == ["a,0.5,0.7,nan", "b,nan,7.0,9.0"]


def test_a_folder_that_is_called_as_the_users_own_is_not_that(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for folder in ("~", "home"):
        Path(folder).mkdir()
    write_csv(pd.DataFrame({"a": ["\udcff", "=b"]}), Path("~/t.csv"))
    assert Path("./~/t.csv").read_bytes() == b"a\n\\udcff\n'=b\n" and not [*Path("home").iterdir()]
