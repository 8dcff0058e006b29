"""Deep k-nearest neighbours against faiss-cpu's flat index and crepes, taken in turn in one run; and what faults cost.

`pipeline`: fit, calibrate and predict on features of the sizes that MNIST has in the small CNN, by the cosine distance.
faiss has the same rows at unit length, one IndexFlatIP a layer, and does nothing but build it and search. Each ratio
is the median over rounds in which both sides are timed one after the other. `memory` goes from images of MNIST's size
through that network to predictions, in a process of its own, and tells how far its memory rises above the images.
`p-values` takes them alone. `faults` measures, on scikit-learn's digits and a
small network, how often the true label's p-value is at most 0.01, 0.05 and 0.1 when it is calculated as often seen.
`index`, which runs on request, sets approximate indexes of faiss beside the exact search: what fitting costs, what
predicting, and which share of the nearest neighbours they find in the layer where that is least.

    python benchmarks/dknn.py
    python benchmarks/dknn.py --bank 4000 --test 500 --calibration 100 --rounds 1
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import _rounds
import click
from _rounds import row

SIZES = {"conv1": 4096, "conv2": 3200, "fc1": 256, "fc2": 128}
"""Values a row: the small CNN's hidden layers, maps averaged to at most 4,096."""
K, CLASSES = 75, 10
INDEXES = ("HNSW32", "HNSW32:efSearch=300", "IVF256,Flat:nprobe=16")


def features(n):
    """Rows by layer: a random linear view of a class's center and 32 directions within it, with noise and a ReLU."""
    import torch

    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    hidden = 2 * torch.randn(CLASSES, 32, generator=generator)[labels] + torch.randn(n, 32, generator=generator)
    layers = {}
    for name, size in SIZES.items():
        layers[name] = hidden @ torch.randn(32, size, generator=generator)
        for rows in layers[name].split(4096):
            rows.add_(torch.randn(rows.shape, generator=generator), alpha=2).relu_()
    return layers, labels


def pick(layers, labels, rows):
    """Some of the rows, by a slice or by number."""
    return {name: x[rows] for name, x in layers.items()}, labels[rows]


def pipeline(layers, labels, bank, calibration):
    """Fit on the first rows, calibrate on the next, predict the rest."""
    from snnl_core import DeepKNN

    knn = DeepKNN(K).fit(*pick(layers, labels, slice(bank)))
    knn.calibrate(*pick(layers, labels, slice(bank, bank + calibration)))
    return knn.predict(pick(layers, labels, slice(bank + calibration, None))[0])


def faiss_search(layers, bank):
    """The neighbours (q, K) of all rows but the bank's, by layer."""
    import faiss
    import torch
    from torch.nn import functional as F

    faiss.omp_set_num_threads(torch.get_num_threads())
    found = {}
    for name, x in layers.items():
        index = faiss.IndexFlatIP(x.shape[1])
        index.add(F.normalize(x[:bank], dim=1).numpy())
        found[name] = index.search(F.normalize(x[bank:], dim=1).numpy(), K)[1]
    return found


def bench_pipeline(sizes, rounds, device):
    """The whole work against faiss's search alone, which is on the processor."""
    bank, calibration, test = sizes
    layers, labels = features(bank + calibration + test)
    own, found = {name: x.to(device) for name, x in layers.items()}, {}
    works = {
        "ours": lambda: found.update(ours=pipeline(own, labels.to(device), bank, calibration).neighbors),
        "faiss": lambda: found.update(faiss=faiss_search(layers, bank)),
    }
    times = list(_rounds.in_turn(works, rounds))
    taken, ratio = _rounds.median(times, "ours"), _rounds.ratio(times, "ours", "faiss")["median"]
    work = f"fit, calibrate and predict, {bank} + {calibration} + {test} rows"
    yield row(work, taken, "faiss-cpu, search alone", ratio, at_most=0.5)
    same = [shared(ours, found["faiss"][name][calibration:]) for name, ours in found["ours"].items()]
    yield row("neighbours that faiss finds too, the least layer's share", taken, "of all", min(same))


def shared(ours, theirs):
    """The share of neighbours, a tensor and an array (q, K), that two searches have in common."""
    import torch

    ours, theirs = ours.cpu().sort(1).values, torch.from_numpy(theirs)
    place = torch.searchsorted(ours, theirs).clamp_max(K - 1)
    return float((ours.gather(1, place) == theirs).float().mean())


def bench_memory(sizes, rounds, device):
    """From images to predictions, in a process of its own: what memory holds above the images."""
    command = [sys.executable, __file__, "--measure-memory", *map(str, sizes)]
    figures = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    bank, calibration, test = sizes
    work = f"the same from images, {bank} + {calibration} + {test}"
    yield row(work, figures["seconds"], "MB above them, private", figures["private"], at_most=1536)
    yield row("the same with pages of mapped files", 0.0, "MB above them", figures["resident"])


def measure_memory(bank, calibration, test):
    """Print the peaks of private and of all resident memory above the images in MB, and the seconds.

    Images are of MNIST's size, and features those of the small CNN, untrained, which changes no size.
    """
    import torch

    from classifiers import cnn
    from classifiers._credibility import Observer
    from imagesets.mnist import SPEC
    from snnl_core import DeepKNN

    images, labels = made_images(bank + calibration + test)
    network = cnn.build(cnn.Config(), SPEC).eval()
    parts = [slice(bank), slice(bank, bank + calibration), slice(bank + calibration, None)]

    def work():
        with TemporaryDirectory() as scratch:
            observer = Observer(network, DeepKNN(K), SIZES["conv1"], Path(scratch))
            observer.fit(images[parts[0]], labels[parts[0]]).calibrate(images[parts[1]], labels[parts[1]])
            observer.see(images[parts[2]])

    with torch.no_grad():
        network(torch.zeros(250, SPEC.channels, SPEC.size, SPEC.size))  # what the libraries take is not of the work
    taken, resident, private = _rounds.peak(work)
    print(json.dumps({"resident": resident, "private": private, "seconds": taken}))


def made_images(n):
    """Images uint8 (n, 1, 28, 28), a smooth pattern of each class with another of each image's own, and labels."""
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    centers, images = torch.randn(CLASSES, 1, 7, 7, generator=generator), torch.empty(n, 1, 28, 28, dtype=torch.uint8)
    for rows, own in zip(images.split(1000), labels.split(1000), strict=True):
        coarse = 2 * centers[own] + torch.randn(len(own), 1, 7, 7, generator=generator)
        rows.copy_(F.interpolate(coarse, size=28, mode="bilinear").mul_(40).add_(64).clamp_(0, 255))
    return images, labels


def bench_p_values(sizes, rounds, device):
    """p-values alone."""
    import torch
    from crepes.base import p_values_batch

    from snnl_core.conformal import Calibration

    _, m, n = sizes
    scores, test, chance = torch.randint(300, (m,)), torch.randint(300, (n, CLASSES)), 1 - torch.rand(n).double()
    calibration = Calibration(scores, torch.randint(CLASSES, (m,)), CLASSES)
    for mode in ("valid", "smoothed"):
        works = {
            "ours": partial(calibration.p_values, test.to(device), mode, uniform=chance.to(device)),
            "crepes": partial(p_values_batch, scores.numpy(), test.numpy(), smoothing=mode == "smoothed"),
        }
        times = list(_rounds.in_turn(works, rounds))
        own = _rounds.median(times, "ours")
        yield row(f"{mode} p-values, {n} x {CLASSES} from {m}", own, "s", own, at_most=0.2)
        yield row("the same", own, "crepes", _rounds.ratio(times, "ours", "crepes")["median"])


def bench_faults(sizes, rounds, device):
    """How often the true label's p-value is at most a level, over splits; the right value is at most that level."""
    import torch
    from sklearn.datasets import load_digits

    x, labels = torch.tensor(load_digits().data / 16).float(), torch.tensor(load_digits().target)
    seen = {}
    for seed in range(10 * rounds):
        for name, p in p_values_by_fault(x, labels, torch.Generator().manual_seed(seed)).items():
            seen.setdefault(name, []).append(p)
    for name, found in seen.items():
        p = torch.cat(found)
        for level in (0.01, 0.05, 0.1):
            yield row(f"{name}: P(p <= {level})", 0.0, "of the test rows", float((p <= level).double().mean()))


def p_values_by_fault(x, labels, generator):
    """The true labels' p-values (n,) of one split: 800 rows to fit, 200 to calibrate with, 797 to test."""
    import torch

    from snnl_core import DeepKNN

    order = torch.randperm(len(x), generator=generator)
    fitted, held_out, test = order[:800], order[800:1000], order[1000:]
    layers = hidden_layers(x, labels, fitted, generator)
    knn, found = DeepKNN(20).fit(*pick(layers, labels, fitted)), {}

    def true_labels(mode, what="p_values"):
        knn.mode = mode
        values = getattr(knn.predict(pick(layers, labels, test)[0], generator=generator), what)
        return values.gather(1, labels[test][:, None])[:, 0]

    knn.calibrate(*pick(layers, labels, held_out))
    for mode in ("valid", "smoothed", "paper"):
        found[mode] = true_labels(mode)
    scores = knn.state_dict()["calibration"]["scores"]
    found["zeros trimmed"] = (scores[scores > 0] >= true_labels("paper", "nonconformity")[:, None]).double().mean(1)
    knn.calibrate(*pick(layers, labels, fitted[:200]), allow_overlap=True)
    found["calibrated on fitted rows"] = true_labels("valid")
    return found


def hidden_layers(x, labels, fitted, generator):
    """The hidden layers of a network trained on the fitted rows until it knows them."""
    import torch
    from torch.nn import functional as F

    torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
    first, second, head = torch.nn.Linear(64, 128), torch.nn.Linear(128, 64), torch.nn.Linear(64, CLASSES)
    optimizer = torch.optim.Adam([p for layer in (first, second, head) for p in layer.parameters()], 1e-2)
    for _ in range(100):
        loss = F.cross_entropy(head(second(first(x[fitted]).relu()).relu()), labels[fitted])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        hidden = first(x).relu()
        return {"first": hidden, "second": second(hidden).relu()}


def bench_index(sizes, rounds, device):
    """Exact search and approximate indexes, each once: seconds of `fit` and of `predict`, and the recall."""
    from outside.faiss import faiss_index
    from snnl_core import DeepKNN

    bank, calibration, test = sizes
    layers, labels = features(bank + calibration + test)
    for description in (None, *INDEXES):
        knn, name = DeepKNN(K, index=faiss_index(description) if description else None), description or "exact"
        rows = {"fit": slice(bank), "calibrate": slice(bank, bank + calibration)}
        fit = _rounds.seconds(partial(knn.fit, *pick(layers, labels, rows["fit"])))
        yield row(f"{name}: fit {bank} rows", fit, "s", fit)
        knn.calibrate(*pick(layers, labels, rows["calibrate"]))
        predict = _rounds.seconds(partial(knn.predict, pick(layers, labels, slice(bank + calibration, None))[0]))
        yield row(f"{name}: predict {test} rows", predict, "s", predict)
        if description:
            yield row(f"{name}: recall, the least layer's", 0.0, "of the neighbours", min(knn.recall.values()))


PARTS = {"pipeline": bench_pipeline, "memory": bench_memory, "p-values": bench_p_values, "faults": bench_faults}
ON_REQUEST = {"index": bench_index}
ON_GPUS = ("pipeline", "p-values")


@click.command(help=_rounds.help_of(__doc__))
@click.option(
    "--only", type=click.Choice([*PARTS, *ON_REQUEST]), multiple=True, help="Parts to run.  [default: all but index]"
)
@click.option("--bank", default=59000, show_default=True, help="Rows to find neighbours among.")
@click.option("--calibration", default=1000, show_default=True, help="Rows to calibrate with.")
@click.option("--test", default=10000, show_default=True, help="Rows to predict.")
@_rounds.rounds_option(3, "Rounds; `faults` takes ten splits a round.")
@_rounds.json_option
@_rounds.device_option
@click.option("--measure-memory", nargs=3, type=int, hidden=True)
def main(only, bank, calibration, test, rounds, device, out, **inside):
    """Run the parts and print the table."""
    import torch

    torch.manual_seed(0)
    if inside["measure_memory"]:
        return measure_memory(*inside["measure_memory"])
    where = f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {where}")
    sizes = (bank, calibration, test)
    parts = only or [part for part in PARTS if device == "cpu" or part in ON_GPUS]
    _rounds.table(out, (line for part in parts for line in (PARTS | ON_REQUEST)[part](sizes, rounds, device)))


if __name__ == "__main__":
    main()
