"""Measuring a network that was not made here: its layers' entanglement on an image set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import imagesets
from imagesets import ImageSet
from lab.errors import Say, UsageError, WorkbenchError
from lab.files import without_nan
from lab.machine import check_device, resolve_device
from lab.pace import paced
from lab.processes import part, rank, world_size
from lab.training.draws import subset
from lab.training.modes import evaluating
from lab.training.precision import set_gpu_arithmetic
from metrics.layers import LayerEntanglement, measure
from outside import own
from outside.files import LABELS, write_tensors
from outside.layered import Normalize, channels_first, extractor, run, usual
from outside.points import check_classes
from outside.same import check_same
from snnl_core.distances import Distance, check_integers, check_tensor
from snnl_core.distributed import gather
from snnl_core.pooling import MAX_FEATURES, pool_maps

DEFAULT_N = 1000
BATCH = 32


@dataclass(frozen=True)
class NetworkEntanglement:
    """The layers of one network, on n images of one split."""

    model: str
    imageset: str
    split: str
    n: int
    seed: int
    layers: Sequence[LayerEntanglement]

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values, null for what is no finite number."""
        plain: dict[str, Any] = without_nan(asdict(self))
        return plain


def measure_network(
    model: str,
    imageset: str,
    *,
    data: Path,
    weights: Path | None = None,
    layers: Sequence[str] | None = None,
    n: int | None = None,
    split: str = "test",
    anchors: int | None = None,
    distance: Distance = "sqeuclidean",
    max_features: int | None = None,
    size: int | None = None,
    normalize: Normalize | None = None,
    seed: int = 0,
    download: bool = True,
    device: str = "auto",
    out: Path | None = None,
    network: nn.Module | None = None,
    sharded: bool = False,
    say: Say = lambda text: None,
) -> NetworkEntanglement:
    """The entanglement of every layer of a network made elsewhere, in float32, on random images of a split.

    Args:
        model: `torchvision:NAME`, or `FILE.py:NAME`: the file is run, and NAME is a network or builds one.
        imageset: grey images are repeated to three channels for networks of torchvision and where they are normalised.
        data: folder of the data sets.
        weights: a file, .safetensors or a state dict of torch; None for random weights.
        layers: names of nodes or modules; None for `outside.graph.parts`, or `outside.hooks.parts`.
        n: how many images; None for 1000, or all where there are fewer.
        split: of the image set.
        anchors: estimate from this many random anchors; None for all.
        distance: `sqeuclidean`, or `cosine` for 1 - cos.
        max_features: larger maps are averaged to the largest square grid that fits, by channel; None for 4096, or a
            number a channel where there are more.
        size: side in pixels that images are resized to, bilinearly; None for the image set's own.
        normalize: `imagenet`, or `none` for values in [0, 1]; None for `imagenet` with networks of torchvision alone.
        seed: draws the images, the anchors and random weights.
        download: fetch data that are not there.
        device: `auto`, `cpu` or `cuda`.
        out: an .npz to write the layers' features and the labels to, as `outside.files.read_layers` reads them.
        network: what `outside.own.build` made of the model, the weights and the seed; None to build it.
        sharded: each of several processes, which call this at the same time, shows it its part of the images.
        say: is told, in a line, what is about to be measured.

    Raises:
        UsageError: a name is unknown, a number impossible, or the network takes no images of this size.
        WorkbenchError: files or data cannot be read or do not fit, there is no such device, the network fails
            otherwise, or a layer is not finite.
    """
    place = resolve_device(device)
    check_device(place)
    set_gpu_arithmetic()
    network = (own.build(model, weights, seed) if network is None else network).to(place)
    if sharded:
        check_same("the images", imageset)
    images, chosen = _choose(imageset, split, n, seed, data=data, download=download)
    if sharded and len(chosen) < world_size():
        raise UsageError(f"{len(chosen)} images cannot be shared by {world_size()} processes: ask for fewer.")
    shown, most = usual(model, size or images.images.shape[-1], normalize), max_features or MAX_FEATURES
    say(own.describe(model, weights, seed))
    say(
        f"{len(chosen)} of {len(images)} images of {imageset} ({split}), {shown.size} x {shown.size} pixels, "
        f"normalisation {shown.normalize}; maps averaged to at most {most} features."
    )
    own_ones = chosen[part(len(chosen))] if sharded else chosen
    first = shown(images.batch(chosen[:2])).to(place)
    layered = extractor(model, network, layers, first, say)
    if max_features:
        _check_channels(run(layered.to(place), first), max_features)
    batches = paced(map(shown, map(images.batch, own_ones.split(BATCH))), -(-len(own_ones) // BATCH), "batches")
    found, labels = extract(layered, batches, most, place), images.classes(own_ones)
    if out:
        if LABELS in found:
            raise UsageError(f"{out}: the array labels is of labels, and a layer is called so: name others.")
        _write(out, {**found, LABELS: labels.to(place)}, sharded)
    rows = measure(found, labels, distance=distance, anchors=anchors, seed=seed, sharded=sharded)
    try:
        done = list(paced(rows, len(found), "layers measured"))
    except ValueError as error:
        raise WorkbenchError(f"{model}: {error}") from error
    return NetworkEntanglement(model, imageset, split, len(chosen), seed, done)


def _choose(
    imageset: str, split: str, n: int | None, seed: int, *, data: Path, download: bool
) -> tuple[ImageSet, Tensor]:
    """The images of a split, and which n of them are looked at.

    Raises:
        UsageError: there are fewer.
        WorkbenchError: they cannot be read, or have no labels, or those chosen are of one class, or each of another.
    """
    images = imagesets.load(imageset, split, root=data, download=download)
    if images.labels is None:
        raise WorkbenchError(f"{imageset} has no labels for {split}, so there are no classes to be entangled.")
    wanted = min(DEFAULT_N, len(images)) if n is None else n
    with _telling_of_more(imageset, split, data, wanted):
        chosen = subset(len(images), wanted, seed, "images")
        check_classes(images.labels[chosen], f"{imageset} ({split})")
    return images, chosen


@contextmanager
def _telling_of_more(imageset: str, split: str, data: Path, n: int) -> Iterator[None]:
    """Where the images of a split are too few, n of them or all, the error tells which split has more.

    Raises:
        WorkbenchError: that of the block.
    """
    try:
        yield
    except WorkbenchError as error:
        held = imagesets.spec(imageset, data).n
        most = max(held, key=lambda one: held[one])
        if n < held[split] or held[most] <= held[split]:
            raise
        raise type(error)(f"{str(error).rstrip('.')}; --split {most} has {held[most]} images.") from None


def _write(out: Path, tensors: Mapping[str, Tensor], sharded: bool) -> None:
    """Write tensors (n, ...), of which each process has a part where they are sharded; the first one writes."""
    whole = {name: gather(x) for name, x in tensors.items()} if sharded else tensors
    if not sharded or rank() == 0:
        write_tensors(out, whole)


def measure_layers(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    layers: Sequence[str] | None = None,
    distance: Distance = "sqeuclidean",
    anchors: int | None = None,
    max_features: int = MAX_FEATURES,
    seed: int = 0,
    batch: int = BATCH,
    say: Say = lambda text: None,
) -> list[LayerEntanglement]:
    """The entanglement of every layer of a network in memory, in evaluation mode, where its weights are.

    Args:
        module: images -> logits (n, classes); it is left in the mode that it was in.
        images: floating (n, c, h, w), just as the module takes them.
        labels: class of each image (n,), integers.
        layers, distance, anchors, max_features, seed, say: as for `measure_network`.
        batch: images at a time.

    Raises:
        TypeError: labels are not integers, or they or the images are no tensors.
        ValueError: there are not as many labels as images, or fewer than two images, or a layer is not finite.
        UsageError: the network takes no images of this shape, or there is no such layer.
        WorkbenchError: the network fails otherwise, its output is no logits, or there is no layer.
    """
    check_tensor("images", images)
    check_integers("labels", labels)
    weight = next(module.parameters(), images)
    with evaluating(module):
        first = images[:2].to(weight.device)
        layered = extractor(type(module).__name__, module, layers, first, say)
        found = extract(layered, images.split(batch), max_features, str(weight.device))
    return list(measure(found, labels.to(weight.device), distance=distance, anchors=anchors, seed=seed))


def extract(
    network: nn.Module, batches: Iterable[Tensor], max_features: int | None, device: str = "cpu"
) -> dict[str, Tensor]:
    """The features (n, d) of all layers, from a network that gives a dict of them, with large maps averaged.

    Args:
        network: float32 images (b, c, h, w) -> tensors (b, ...) by layer.
        batches: the images.
        max_features: the limit of d for maps (b, c, h, w), (b, h, w, c) and tokens (b, tokens, c).
        device: where to compute; the features stay there.

    Raises:
        UsageError: the network takes no images of this shape, or a layer gives no tensor with one row an image.
        WorkbenchError: the network fails otherwise.
    """
    parts: dict[str, list[Tensor]] = {}
    network = network.to(device)
    for batch in batches:
        for name, layer in run(network, batch.to(device)).items():
            parts.setdefault(name, []).append(pool_maps(channels_first(name, layer, len(batch)), max_features))
    return {name: torch.cat(layer) for name, layer in parts.items()}


def _check_channels(layers: Mapping[str, Any], max_features: int) -> None:
    """Raise UsageError where a map has more channels than numbers are to be kept: each keeps one at least."""
    for name, layer in layers.items():
        maps = channels_first(name, layer, len(layer))
        if maps.ndim == 4 and maps.shape[1] > max_features:
            channels = maps.shape[1]
            raise UsageError(
                f"Layer {name!r} keeps a number for each of its {channels} channels: --max-features {channels} or more."
            )
