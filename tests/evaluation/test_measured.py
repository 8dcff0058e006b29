"""Comparisons of images: the floor, what is warned of, and what is left out."""

import csv
import json
import math
from dataclasses import replace

import pytest
import torch

import imagesets
from evaluation import measured
from evaluation.meanings import MEANINGS
from evaluation.measured import KEYS, measure_images, usual_size
from evaluation.page import report
from evaluation.sources import Images
from evaluation.spaces import pixels
from evaluation.trained import classifier_space
from lab.errors import UsageError, WorkbenchError
from lab.reporting.pictures import png
from lab.reporting.report import write_report
from lab.training.draws import subset
from metrics.comparison import Predictions, compare
from metrics.memorization import TrainingNeighbors

PIXELS = pixels()


@pytest.fixture(scope="module")
def real(digits):
    return Images("digits", digits.images[:160], digits.labels[:160], tuple("0123456789"))


@pytest.fixture(scope="module")
def others(digits):
    return Images("others", digits.images[160:260])


@pytest.fixture(scope="module")
def whole(real, others, classifier, folder_of, digits):
    space = classifier_space(folder_of(classifier))
    real = Images(real.name, real.images, real.labels, real.classes, trained=digits.images[260:])
    return measure_images(real, others, space)


def test_the_floor_is_of_disjoint_halves_of_equal_n(whole, real, others):
    assert whole.n == 80
    plain = whole.plain()
    assert {"score", "loss", "temperature", "bound", "n", *KEYS} <= set(plain)
    assert set(plain["floor"]) == {"score", "loss", "temperature", "bound", *KEYS}
    assert plain["floor"]["score"] > 0.8 and plain["score"] > 0.8
    once, again, otherwise = (measure_images(real, others, PIXELS, seed=seed).found.rows for seed in (1, 1, 2))
    assert once == again != otherwise


def test_both_comparisons_are_of_the_images_that_were_drawn_and_the_floor_of_two_halves(real, others):
    """All real images are drawn, the first half is compared, with its classes, and the other half is the floor."""
    picked, drawn = subset(160, 160, 3, "real"), subset(100, 80, 3, "generated")
    first, second, made = (
        imagesets.to_float(images).flatten(1)
        for images in (real.images[picked[:80]], real.images[picked[80:]], others.images[drawn])
    )
    found, labels = measure_images(real, others, PIXELS, seed=3), real.labels[picked[:80]]
    for one, other in ((found.floor, second), (found.found, made)):
        rows = compare(first, other, real_labels=labels).rows
        assert [row | {"value": 0} for row in one.rows] == [row | {"value": 0} for row in rows]
        values = [[row["value"] for row in each] for each in (one.rows, rows)]
        assert values[0] == pytest.approx(values[1], rel=1e-5, abs=1e-7)
    assert torch.equal(found.real.images, real.images[picked[:80]])
    assert torch.equal(found.generated.images, others.images[drawn])


def test_measures_are_told_of_the_side_that_they_are_of(real, others):
    """Five images, each sixteen times: the generated side is tight, and like little of the real one."""
    plain = measure_images(real, Images("five", others.images[:5].repeat(16, 1, 1, 1)), PIXELS).plain()
    assert plain["generated_side"] < 0.1 < plain["real_side"]
    assert plain["vendi_generated"] < 5.001 and plain["vendi_generated"] < plain["vendi_real"]
    by_side = {(row["metric"], row["side"]): row["value"] for row in plain["rows"] if not row["group"]}
    assert plain["coverage"] == by_side["ball_coverage", "real"] != by_side["coverage", "real"]
    own = {
        key: value
        for key, value in by_side.items()
        if key[0] in plain and key[0] not in ("coverage", "one_nn_accuracy")
    }
    assert {metric: plain[metric] for metric, _ in own} == {metric: value for (metric, _), value in own.items()}
    assert {"fid", "kid", "kid_stderr", "precision", "recall", "density", "mind"} <= {metric for metric, _ in own}


def test_of_many_images_no_more_are_taken_than_there_is_time_for(real, others, monkeypatch):
    monkeypatch.setattr(measured, "MOST", 20)
    assert measure_images(real, others, PIXELS).n == 20 and measure_images(real, others, PIXELS, n=30).n == 30


def test_memorised_images_are_looked_for_among_those_that_the_generator_learned(real, digits):
    """Whatever the real ones are held out from; the floor is the share of real ones that are as near to them."""
    learned, elsewhere = digits.images[260:400], digits.images[400:]
    held_out = replace(real, trained=elsewhere)
    found = measure_images(held_out, Images("copies", learned[:80], trained=learned), PIXELS)
    assert found.trained is learned
    assert found.plain()["memorized"] == 1 > 0.9 > found.plain()["floor"]["memorized"]
    assert measure_images(held_out, Images("copies", learned[:80]), PIXELS).trained is elsewhere


def test_every_measure_has_a_floor(whole):
    plain = whole.plain()
    assert plain["fid_infinity"] is not None and plain["memorized"] is not None
    lacking = {key for key, value in plain["floor"].items() if value is None}
    assert lacking <= {"temperature"}  # infinite where sets cannot be told apart
    assert json.loads(json.dumps(plain)) == plain
    rows = {(row["measure"], row["side"]): row for row in whole.rows}
    assert len(rows) == len(whole.rows) and ("memorized", "real") not in rows
    assert rows["coverage", "real"]["gap"] != "-" and rows["memorized", "generated"]["floor"] != "-"
    assert rows["coverage_of_classes", "real"]["floor"] != "-"


def test_the_page_says_what_every_measure_is_and_where_it_is_best(whole):
    metrics = {str(row["metric"]) for row in whole.found.rows if not row["group"]}
    described = {name for name in metrics if not name.endswith(("_gap", "_low", "_high", "_stderr"))}
    assert described | {"fid_infinity"} == {*MEANINGS}, "which wants two points a feature"
    (section,) = (one for one in report(whole).sections if one.title == "Measures")
    shown, meanings = section.items
    ours = {row[0] for row in shown.rows if not str(row[0]).endswith(("_low", "_high", "_stderr"))}
    assert {row[0] for row in meanings.rows} == ours and all(len(row) == 3 for row in meanings.rows)


def test_the_page_shows_figures_and_the_images_that_say_most(whole, tmp_path):
    page = write_report(report(whole), [], whole.left_out, tmp_path).read_text()
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"losses", "classes"}
    assert page.count("most entangled") >= 2 and page.count("least entangled") >= 2
    assert "nearest training image" in page
    assert page.count("data:image/png") == 2 * 2 * 10 + 2 * 10
    table = (tmp_path / "tables" / "measures.csv").read_text().splitlines()
    assert table[0] == "measure,side,value,floor,gap" and len(table) == len(whole.rows) + 1
    ours = {(row["metric"], row["side"]): row["value"] for row in whole.found.rows if not row["group"]}
    told = {(measure, side): float(value) for measure, side, value, *_ in csv.reader(table[1:])}
    assert told["fid", "joint"] == ours["fid", "joint"] and told["kid", "joint"] == ours["kid", "joint"], "every digit"
    shown = (tmp_path / "tables" / "measures.md").read_text().splitlines()
    assert shown[2:] == [f"| {' | '.join(row.values())} |" for row in whole.rows], "as the command prints them"


def test_copies_are_called_so_and_nothing_else_is(whole):
    """A training image that is there twice is at distance 0 from its nearest other one, however far a sample is."""
    distance, own = torch.tensor([0.0, 5.0, 0.0, 3.0]), torch.tensor([1.0, 0.0, 0.0, 2.0])
    near = TrainingNeighbors(torch.arange(4), distance, own)
    found = replace(whole, found=replace(whole.found, nearest=near))
    (section,) = (one for one in report(found).sections if one.title == "Nearest training images")
    assert [picture.caption for picture in section.items[0].rows[0].images] == ["copy", "copy", "1.50", "-"]


def test_the_most_entangled_images_come_first(whole):
    losses = whole.found.entanglement.per_sample
    assert len(losses) == 2 * whole.n
    (section,) = (one for one in report(whole).sections if one.title == "Entanglement of single images")
    gallery = section.items[1]
    most, least = ([float(picture.caption) for picture in row.images] for row in gallery.rows)
    assert most == sorted(most, reverse=True) and least == sorted(least) and most[0] >= least[-1]
    assert most[0] == pytest.approx(float(losses[: whole.n].max()), abs=0.006)


def section(found, title):
    """What is in a section of the page."""
    (only,) = (one for one in report(found).sections if one.title == title)
    return only.items


def test_each_side_shows_its_own_images_each_with_its_loss(whole):
    """Of losses that differ for every image and between the sides."""
    draw = torch.Generator().manual_seed(0)
    real, generated = (torch.randperm(80, generator=draw) / 100 + start for start in (0, 2))
    entangled = replace(whole.found.entanglement, per_sample=torch.cat([real, generated]))
    figure, *galleries = section(
        replace(whole, found=replace(whole.found, entanglement=entangled)), "Entanglement of single images"
    )
    sides = ((real, whole.real.images), (generated, whole.generated.images))
    for gallery, (losses, images) in zip(galleries, sides, strict=True):
        for row, order in zip(gallery.rows, (losses.argsort(descending=True), losses.argsort()), strict=True):
            shown = [(picture.caption, picture.png) for picture in row.images]
            assert shown == [(f"{losses[i]:.2f}", png(images[i].numpy())) for i in order[:10]]
    counts = figure.data
    for side, losses in (("real", real), ("generated", generated)):
        own = counts[counts["side"] == side]
        assert own["images"].sum() == 80 == own[own["to"] > float(losses.min())]["images"].sum()
        assert own[own["from"] > float(losses.max())]["images"].sum() == 0


def test_the_shares_of_classes_are_of_their_own_side(whole):
    seen = Predictions(torch.tensor([1] * 20 + [2] * 60), torch.tensor([3] * 80), 10)
    (figure,) = section(replace(whole, predicted=seen), "Classes")
    shares = {(row["side"], row["class"]): row["share"] for _, row in figure.data.iterrows() if row["share"]}
    assert shares == {("real", 1): 0.25, ("real", 2): 0.75, ("generated", 3): 1.0}


def test_a_generated_image_is_shown_above_the_training_image_that_is_nearest_to_it(whole):
    near = TrainingNeighbors(torch.tensor([9, 4, 7]), torch.tensor([3.0, 1.0, 2.0]), torch.ones(3))
    (gallery,) = section(replace(whole, found=replace(whole.found, nearest=near)), "Nearest training images")
    made, known = ([picture.png for picture in row.images] for row in gallery.rows)
    assert made == [png(whole.generated.images[i].numpy()) for i in (1, 2, 0)]
    assert known == [png(whole.trained[i].numpy()) for i in (4, 7, 9)]
    assert [picture.caption for picture in gallery.rows[1].images] == ["number 4", "number 7", "number 9"]


def test_with_fewer_real_images_the_floor_is_left_out_by_name(real, others):
    found = measure_images(real, others, PIXELS, n=100)
    assert found.floor is None and found.plain()["floor"]["fid"] is None
    assert "floor of real against real: needs 200 real images; there are 160." in found.left_out
    assert all(row["floor"] == "-" for row in found.rows)


@pytest.mark.parametrize("real, n", [(2, 2), (5, 2), (250, 125), (20_000, 10_000), (60_000, 10_000)])
def test_as_many_are_compared_unasked_as_leave_a_floor_up_to_a_bound(real, n):
    assert usual_size(real) == n


def test_few_images_leave_measures_out_and_the_others_go_on(real, others):
    few = Images("few", others.images[:3])
    found = measure_images(real, few, PIXELS)
    assert found.n == 3 and found.plain()["score"] is not None and found.plain()["precision"] is None
    assert "precision, recall, density, coverage: needs 6 points a side" in " ".join(found.left_out)
    with pytest.raises(WorkbenchError, match="2 images a side are needed; digits has 160 and one 1"):
        measure_images(real, Images("one", others.images[:1]), PIXELS)
    with pytest.raises(UsageError, match="--n 4 is more than the 3 images"):
        measure_images(real, few, PIXELS, n=4)


def test_identical_and_shared_images_are_warned_of(real, others):
    same = measure_images(real, Images("copy", real.images.flip(0)), PIXELS, n=160)
    assert same.remarks[0] == "digits and copy are the same images: every score is at its ceiling."
    assert same.plain()["score"] > 0.999 and same.plain()["precision"] == 1
    halves = measure_images(real, Images("copy", real.images.flip(0)), PIXELS)
    meaning = "scores tell how alike random draws of them are, and nothing of a generator."
    text = f"digits and copy are the same images: {meaning}"
    assert halves.n == 80 and halves.remarks[0] == text
    more = Images("more", torch.cat([real.images, real.images[:1].expand(40, -1, -1, -1)]))
    assert measure_images(real, more, PIXELS, n=160).remarks[0] == text.replace("copy", "more"), "one is there oftener"
    mixed = Images("mixed", torch.cat([real.images[:7], others.images]))
    assert "7 of 107 images of mixed are in digits, too." in measure_images(real, mixed, PIXELS).remarks
    assert not measure_images(real, others, PIXELS).remarks


def test_a_collapsed_generator_is_finite_and_told(real, others):
    found = measure_images(real, Images("stuck", others.images[:1].repeat(100, 1, 1, 1)), PIXELS)
    assert any("collapsed" in text for text in found.remarks)
    assert all(math.isfinite(row["value"]) for row in found.found.rows)


def test_other_sizes_and_channels_are_brought_together_and_it_is_said(real, others, classifier, folder_of):
    said = []
    large = Images("large", others.images.repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1))
    found = measure_images(real, large, PIXELS, say=said.append)
    assert "large: colour images of 32 x 32 brought to grey images of 16 x 16, those of digits." in said
    assert found.plain()["score"] > 0.8
    space = classifier_space(folder_of(classifier))
    measure_images(large, large, space, n=20, say=said.append)
    assert sum(f"those of {space.name}" in text for text in said) == 1
