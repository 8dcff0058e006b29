"""Every measure of real against generated images at once, and the packages that have some of them, side by side.

Points are MNIST's images in the features of the workbench's own classifier, which is trained once (below `--runs`):
held-out images against as many training images, whose pixels are blurred a little, as generated ones. Without MNIST
below `--data` they are random points of as many features. Ratios are medians over rounds in which both sides are timed
one after the other; peaks of memory, above the points, are each of a process of its own.

    python benchmarks/measures.py
    python benchmarks/measures.py --n 1000 --rounds 1
"""

import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import _rounds
import click
from _rounds import row

FEATURES, CLASSES = 128, 10
SECONDS, MEGABYTES = 40, 1024
TRAINING = 6
"""Times as many training points as are compared, where they are random."""


def random_points(n):
    """Real, generated and training points, and the classes of the first two."""
    import torch

    generator = torch.Generator().manual_seed(0)
    centers, mixing = (torch.randn(rows, FEATURES, generator=generator) for rows in (CLASSES, FEATURES))

    def draw(count, spread):
        labels = torch.randint(CLASSES, (count,), generator=generator)
        noise = torch.randn(count, FEATURES, generator=generator) @ mixing / FEATURES**0.5
        return (2 * centers[labels] + spread * noise).relu_(), labels

    (real, own), (generated, others), (training, _) = draw(n, 1.0), draw(n, 1.1), draw(TRAINING * n, 1.0)
    return {"real": real, "generated": generated, "training": training, "own": own, "others": others}


def images_as_points(n, data, runs):
    """The same of MNIST, in the features of a classifier."""
    import torch

    import imagesets
    from evaluation.trained import classifier_space
    from lab.running.one import do_cell
    from tasks._spaces import evaluator

    local = {"data": str(data), "download": False}
    space = classifier_space(do_cell(evaluator("mnist", data), runs, local))
    held, trained = (imagesets.load("mnist", split, root=data, download=False).images for split in ("test", "train"))
    kernel = torch.tensor([1.0, 8.0, 1.0])[:, None] * torch.tensor([1.0, 8.0, 1.0]) / 100
    blurred = torch.nn.functional.conv2d(trained[-n:].float(), kernel[None, None], padding=1).round().byte()
    real, generated, training = (space.see(images) for images in (held[:n], blurred, trained))
    return {
        "real": real.features,
        "generated": generated.features,
        "training": training.features,
        "own": real.predicted,
        "others": generated.predicted,
    }


def every_measure(points):
    """All of them, the gaps and the memorised shares among them."""
    from metrics.comparison import Predictions, compare
    from metrics.memorization import TrainingSet

    predicted = Predictions(points["own"], points["others"], CLASSES)
    training = TrainingSet.of(points["training"])
    return compare(points["real"], points["generated"], predicted=predicted, training=training)


def manifolds(points):
    """Precision, recall, density and coverage, by name."""
    from metrics.manifolds import measure
    from metrics.neighborhoods import Neighborhoods

    rows = measure(Neighborhoods.of(points["real"], points["generated"]))
    return {line["metric"].removeprefix("ball_"): line["value"] for line in rows}


def by_prdc(points):
    """The same by prdc, all with the fifth neighbour."""
    from prdc import compute_prdc

    with redirect_stdout(StringIO()):
        return compute_prdc(points["real"].numpy(), points["generated"].numpy(), 5)


def by_torch_fidelity(points):
    """Precision and recall by torch-fidelity, with the third."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    return prc_features_to_metric(points["generated"], points["real"], verbose=False)


def beside(theirs, points, rounds, names):
    """Our manifolds and theirs in turn: our seconds, of their time, and the largest difference of the named values."""
    found = {}
    works = {
        "ours": lambda: found.update(ours=manifolds(points)),
        "theirs": lambda: found.update(theirs=theirs(points)),
    }
    times = list(_rounds.in_turn(works, rounds))
    apart = max(abs(found["ours"][name] - found["theirs"][name]) for name in names)
    return _rounds.median(times, "ours"), _rounds.ratio(times, "ours", "theirs")["median"], apart


def bench_all(points, rounds, peaks):
    """Everything at once."""
    n, d = points["real"].shape
    taken = _rounds.seconds(lambda: every_measure(points))
    yield row(f"every measure, {n} against {n}, {d} features", taken, "seconds", taken, at_most=SECONDS)
    yield row("the same", taken, "MB above the points", peaks("every_measure"), at_most=MEGABYTES)


def bench_prdc(points, rounds, peaks):
    """Density and coverage."""
    own, ratio, apart = beside(by_prdc, points, rounds, ("density", "coverage"))
    yield row("precision, recall, density and coverage", own, "of prdc's time", ratio, at_most=0.2)
    share = peaks("manifolds") / peaks("by_prdc")
    yield row("the same", own, "of prdc's peak memory", share, at_most=0.1)
    yield row("density and coverage, the larger difference", own, "to prdc's", apart, at_most=1e-6)


def bench_torch_fidelity(points, rounds, peaks):
    """Precision and recall, and FID."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    from metrics.frechet import fid

    own, ratio, apart = beside(by_torch_fidelity, points, rounds, ("precision", "recall"))
    yield row("precision, recall, density and coverage", own, "of torch-fidelity's two", ratio, at_most=0.5)
    yield row("precision and recall, the larger difference", own, "to torch-fidelity's", apart, at_most=1e-6)
    statistics = [fid_features_to_statistics(points[side].double()) for side in ("generated", "real")]
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    apart = abs(fid(points["real"], points["generated"]) / theirs - 1)
    yield row("FID, the relative difference", 0, "to torch-fidelity's", apart, at_most=1e-6)


def bench_vendi(points, rounds, peaks):
    """The Vendi score, once: the package takes minutes for 10,000 points."""
    from vendi_score.vendi import score_X

    from metrics.diversity import vendi_score

    found = {}
    own = _rounds.seconds(lambda: found.update(ours=vendi_score(points["real"])))
    theirs = _rounds.seconds(lambda: found.update(theirs=score_X(points["real"].double().numpy())))
    yield row("Vendi score", own, "of vendi-score's time", own / theirs, at_most=0.01)
    yield row(
        "the same, the relative difference",
        own,
        "to vendi-score's",
        abs(found["ours"] / found["theirs"] - 1),
        at_most=1e-6,
    )


PARTS = {"all": bench_all, "prdc": bench_prdc, "torch-fidelity": bench_torch_fidelity, "vendi": bench_vendi}
WORKS = {"every_measure": every_measure, "manifolds": manifolds, "by_prdc": by_prdc}


def peak_of(file, work):
    """How far the memory of a process of its own rises above the points in a work, in MB."""
    command = [sys.executable, __file__, "--measure-memory", str(file), work]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measure_memory(file, work):
    """Print that."""
    from safetensors.torch import load_file

    points = {name: tensor.clone() for name, tensor in load_file(file).items()}
    every_measure({name: tensor[:50] for name, tensor in points.items()})  # what is imported is no measure's
    print(_rounds.peak(lambda: WORKS[work](points))[1])


@click.command(help=_rounds.help_of(__doc__))
@click.option("--n", default=10000, show_default=True, help="Points a side.")
@click.option("--data", type=click.Path(path_type=Path), default=Path("data"), help="Folder with MNIST.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), help="Where the classifier is trained.")
@_rounds.rounds_option(3)
@click.option("--only", type=click.Choice([*PARTS]), multiple=True, help="Parts to run.")
@_rounds.json_option
def main(n, data, runs, rounds, only, out):
    """Run the parts that are asked for."""
    from safetensors.torch import save_file

    known = (data / "MNIST").is_dir()
    points = images_as_points(n, data.resolve(), runs) if known else random_points(n)
    print(f"{'MNIST in the features of a classifier' if known else 'Random points: there is no MNIST'}.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "points.safetensors")
        save_file(points, file)
        peaks = partial(peak_of, file)
        lines = (line for part in only or PARTS for line in PARTS[part](points, rounds, peaks))
        _rounds.table(out, lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure-memory"]:
        measure_memory(*sys.argv[2:])
    else:
        main()
