"""The cells that train and measure GANs."""

import shutil

import pytest

import imagesets
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.errors import UsageError
from lab.files import read_arrays
from lab.training.draws import random_generator, subset
from metrics.real_generated import entangle, joined, measure
from tasks import evaluate_gan, measure_gan, measure_references, train_gan
from tasks._faults import noisy

LOCAL = {"data": "nowhere", "download": False}


def config(**given):
    return train_gan.Config.parse({"gan": "dcgan", "kimg": 0.5, "device": "cpu", **given})


@pytest.mark.parametrize("batch, processes", [(63, 2), (64, 3), (4, 4)])
def test_a_batch_is_shared_equally_or_refused(batch, processes):
    with pytest.raises(UsageError, match=f"{batch} images cannot be shared by {processes} processes"):
        config(processes=processes, settings={"batch": batch})


def test_the_number_of_processes_decides_the_result_but_defaults_leave_no_trace(tmp_path):
    def key(**compute):
        return train_gan.cell(config(**compute), tmp_path).key

    assert key() == key(processes=1, compile=False)
    assert len({key(), key(processes=2), key(compile=True)}) == 3


@pytest.mark.parametrize(
    "gan, settings, entangles",
    [("dcgan", {}, False), ("dcgan", {"snnl_weight": 0.5}, True), ("snnl-gan", {}, True), ("wgan-gp", {}, False)],
)
def test_the_version_of_the_engine_decides_a_training_that_its_loss_is_part_of(tmp_path, gan, settings, entangles):
    found = train_gan.cell(config(gan=gan, settings=settings), tmp_path).versions
    assert {*found} == {"tasks/train-gan", f"gans/{gan}"} | ({"snnl_core"} if entangles else set())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small training, done: its cell, and the folder of the cells."""
    place = tmp_path_factory.mktemp("gan cells")
    small = {"settings": {"width": 4, "batch": 64}, "precision": "float32"}
    training = train_gan.cell(config(snapshots=train_gan.schedule(0.5, 3), **small), place)
    work(CellFolder.create(training, place, LOCAL))
    return training, place


@pytest.fixture
def drawn(trained, monkeypatch):
    """What cells of 40 images are to measure: generated ones, and by split real ones with their classes.

    The generated ones are bunched about a few held-out images, so that both sides are entangled, each in its own way.
    """
    _, place = trained
    real = {}
    for split in ("test", "train"):
        images = imagesets.load("digits", split, root=place)
        picked = subset(len(images), 40, 0, "measured", split)
        real[split] = images.pixels(picked), images.classes(picked)
    few = imagesets.load("digits", "test", root=place).images[:8].repeat(5, 1, 1, 1)
    generated = noisy(few, 0.05, random_generator(0))
    monkeypatch.setattr("gans._snapshots.generated_by", lambda snapshot, run, n: generated[:n])
    return generated, real


def told(rows, **which):
    """The values by side, class and metric of some rows."""
    chosen = [row for row in rows if all(row[name] == value for name, value in which.items())]
    return {(row["side"], row["group"], row["metric"]): row["value"] for row in chosen}


def test_rows_are_of_generated_images_against_real_ones_and_not_the_other_way_round(trained, drawn):
    (training, place), (generated, real) = trained, drawn
    folder = CellFolder.create(measure_gan.cell(training, 40), place, LOCAL)
    work(folder)
    for split, (images, labels) in real.items():
        expected = told(measure(images, generated, labels))
        assert told(folder.rows(), split=split, step=0) == pytest.approx(expected, rel=1e-5)
        assert expected["real", "", "entanglement"] > 1.1 * expected["generated", "", "entanglement"]


def test_an_evaluation_tells_and_keeps_generated_images_as_generated_and_real_ones_as_real(trained, drawn):
    (training, place), (generated, real) = trained, drawn
    folder = CellFolder.create(evaluate_gan.cell(training, 40), place, LOCAL)
    work(folder)
    measured = told(measure(real["test"][0], generated))
    found = told(folder.rows(), split="test", step=0)
    assert {key: found.get(key) for key in measured} == pytest.approx(measured, rel=1e-4)
    kept, images = read_arrays(folder.path / evaluate_gan.PAIRS), real["test"][0]
    losses = entangle(*joined(images, generated)).per_sample
    for name, shown, own in (("real", images, losses[:40]), ("generated", generated, losses[40:])):
        loss_of = {image.numpy().tobytes(): float(loss) for image, loss in zip(shown, own, strict=True)}
        least, most = ([loss_of[image.tobytes()] for image in side] for side in kept[name])
        ordered = sorted(loss_of.values())
        assert least == pytest.approx(ordered[:8], rel=1e-4) and most == pytest.approx(ordered[:-9:-1], rel=1e-4)
        assert ordered[7] < 0.9 * ordered[-8]
    copies, training_images = kept["memorized"]
    everything = {image.numpy().tobytes() for image in imagesets.load("digits", "train", root=place).images}
    assert {image.tobytes() for image in copies} <= {image.numpy().tobytes() for image in generated}
    assert {image.tobytes() for image in training_images} <= everything


def test_a_broken_attempt_to_measure_is_not_counted_twice(trained, tmp_path, monkeypatch):
    training, place = trained
    shutil.copytree(place / training.folder_name, tmp_path / training.folder_name)
    for cell in (measure_gan.cell(training, 40), measure_references.cell("digits", 40, tmp_path)):
        folder = CellFolder.create(cell, tmp_path, LOCAL)
        row, written = CellFolder.row, []

        def breaks(self, row=row, written=written, **fields):
            if len(written) == 30:
                raise KeyboardInterrupt
            written.append(fields)
            row(self, **fields)

        with monkeypatch.context() as patch:
            patch.setattr(CellFolder, "row", breaks)
            with pytest.raises(KeyboardInterrupt):
                work(folder)
        assert len(folder.rows()) == 30
        work(folder)
        found = [tuple(sorted(row.items(), key=str)) for row in folder.rows()]
        assert len(found) > 30
        assert len(set(found)) == len(found)


def test_measuring_twice_gives_the_same_rows(tmp_path):
    cell = measure_references.cell("digits", 30, tmp_path)
    one, two = (CellFolder.create(cell, tmp_path / name, LOCAL) for name in "ab")
    work(one)
    work(two)
    assert one.rows() == two.rows()
    assert {row["model"] for row in one.rows()} == {"real", "noise"}
    assert len({row["seed"] for row in one.rows()}) == cell.config.draws == 8


def test_a_longer_training_keeps_the_generators_of_a_shorter_one():
    shorter, longer = (config(kimg=kimg).kept_at for kimg in (4.0, 10.0))
    assert shorter == (0.0, 0.5, 2.0, 4.0)
    assert longer == (0.0, 0.5, 2.0, 4.5, 8.0, 10.0)
    assert set(shorter[:-1]) < set(longer)


@pytest.mark.parametrize("kimg", [float("inf"), 2e9, 0.0])
def test_a_training_has_an_end(kimg):
    with pytest.raises(UsageError, match="kimg: "):
        config(kimg=kimg)
