"""GANs side by side: each as if it were compared alone, under names that tell them apart."""

import json
from dataclasses import replace

import pytest

from evaluation.measured import measure_each, measure_images
from evaluation.side_by_side import SideBySide, named
from evaluation.sources import Images, generated
from evaluation.spaces import pixels
from gans._trained import open_gan
from lab.errors import UsageError
from lab.reporting.report import write_page

PIXELS = pixels()


@pytest.fixture(scope="module")
def gans(gan, folder_of):
    """The first and the last generator of a training."""
    path = folder_of(gan).path
    return [open_gan(path, kimg=kimg) for kimg in (0.0, 0.2)]


@pytest.fixture(scope="module")
def real(digits):
    return Images("digits", digits.images[:160], digits.labels[:160])


@pytest.fixture(scope="module")
def found(gans, real, tmp_path_factory):
    known, data = named(gans), tmp_path_factory.mktemp("data")
    sides = [generated(one, 80, seed=0, data=data, download=False, name=name) for name, one in known.items()]
    said = []
    both = SideBySide(known, dict(zip(known, measure_each(real, sides, PIXELS, say=said.append), strict=True)))
    return both, sides, said


def test_each_is_measured_as_if_it_were_alone(found, real):
    both, sides, said = found
    for side, one in zip(sides, both.found.values(), strict=True):
        assert one.plain() == measure_images(real, side, PIXELS).plain()
    assert said == [
        "80 of 160 real and 80 of 80 generated images, in the space pixels.",
        *(f"Measuring dcgan-{i} ({i} of 2)" for i in (1, 2)),
    ]


def test_the_table_has_every_measure_of_each_and_the_floor(found):
    both, *_ = found
    assert {(*row,) for row in both.rows} == {("measure", "side", "dcgan-1", "dcgan-2", "floor")}
    rows = {(row["measure"], row["side"]): row for row in both.rows}
    for name, one in both.found.items():
        for row in one.rows:
            mine = rows[row["measure"], row["side"]]
            assert (mine[name], mine["floor"]) == (row["value"], row["floor"])
        told = {(row["measure"], row["side"]): row[name] for row in both.entries}
        assert told["fid", "joint"] == one.found.value("fid"), "every digit"


def test_a_measure_that_one_of_them_lacks_is_a_dash(found):
    both, *_ = found
    first, second = both.found.items()
    lacking = replace(second[1].found, rows=[row for row in second[1].found.rows if row["metric"] != "fid"])
    rows = SideBySide(both.trained, dict([first, (second[0], replace(second[1], found=lacking))])).rows
    (fid,) = (row for row in rows if row["measure"] == "fid")
    assert fid["dcgan-2"] == "-" != fid["dcgan-1"]


def test_the_object_has_the_floor_once_and_of_each_all_that_was_measured(found, real):
    both, sides, _ = found
    plain = json.loads(json.dumps(both.plain()))
    assert (plain["n"], plain["real"], plain["space"]) == (80, "digits", "pixels")
    for one, side in zip(plain["gans"], sides, strict=True):
        alone = measure_images(real, side, PIXELS).plain()
        assert plain["floor"] == alone["floor"] and one["rows"] == alone["rows"] and one["score"] == alone["score"]
    assert [(one["gan"], one["kimg"], one["seed"]) for one in plain["gans"]] == [("dcgan", 0.0, 0), ("dcgan", 0.2, 0)]


def test_the_page_is_one_file_with_grids_next_to_each_other(found, tmp_path):
    both, *_ = found
    write_page(both.report(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    (kid,) = (row for row in both.rows if row["measure"] == "kid")
    assert all(f">{kid[name]}</td>" in page for name in ("dcgan-1", "dcgan-2", "floor")), "as the command prints them"
    assert page.count("data:image/png") == 3 and "tables/" not in page
    assert "nearest training image than that is" in page and ">snnl-workbench</td>" in page, "what, by what"
    assert [*tmp_path.iterdir()] == [tmp_path / "page.html"]


def test_names_are_the_shortest_that_tell_them_apart(gans):
    one = gans[0]

    def like(gan="dcgan", seed=0, imageset="digits"):
        return replace(one, run=one.run.replaced(gan=gan, settings={}, imageset=imageset), seed=seed)

    assert [*named([like(), like("sngan")])] == ["dcgan", "sngan"]
    assert [*named([like(seed=1), like(seed=2), like("sngan", 1)])] == ["dcgan-s1", "dcgan-s2", "sngan-s1"]
    assert [*named([like(), like(), like("sngan")])] == ["dcgan-1", "dcgan-2", "sngan-3"]
    with pytest.raises(UsageError, match="name two GANs or more"):
        named([like()])
    with pytest.raises(UsageError, match="other images than one another: digits, mnist"):
        named([like(), like(imageset="mnist")])
