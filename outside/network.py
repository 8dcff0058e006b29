"""Measuring a network that was not made here: its layers' entanglement on an image set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

import imagesets
from lab.errors import UsageError, WorkbenchError, first_line
from lab.files import without_nan
from lab.machine import check_device, resolve_device
from lab.pace import paced
from lab.training.draws import subset
from metrics.layers import LayerEntanglement, measure
from outside import hooks, own
from outside import torchvision as networks
from outside.files import LABELS, write_tensors
from outside.points import check_classes
from snnl_core.distances import Distance
from snnl_core.pooling import MAX_FEATURES, pool_maps

Normalize = Literal["imagenet", "none"]
DEFAULT_N = 1000
BATCH = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in [0, 1], with which torchvision's weights were trained."""


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
    say: Callable[[str], None] = lambda text: None,
) -> NetworkEntanglement:
    """The entanglement of every layer of a network made elsewhere, in float32, on random images of a split.

    Layers are modules and nodes of the network's graph where torch.fx can trace it, else modules, by forward hooks.

    Args:
        model: `torchvision:NAME`, or `FILE.py:NAME` for a class or function that is run and builds a network.
        imageset: grey images are repeated to three channels for networks of torchvision and where they are normalised.
        data: folder of the data sets.
        weights: a file, .safetensors or a state dict of torch; None for random weights.
        layers: names of nodes or modules; None for `outside.torchvision.parts`, or `outside.hooks.parts`.
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
        say: is told, in a line, what is about to be measured.

    Raises:
        UsageError: a name is unknown, a number impossible, or the network takes no images of this size.
        WorkbenchError: files or data cannot be read or do not fit, there is no such device, or a layer is not finite.
    """
    place = resolve_device(device)
    check_device(place)
    network = own.build(model, weights, seed).to(place)
    foreign = model.startswith(networks.SCHEME)
    normalize = normalize or ("imagenet" if foreign else "none")
    if layers is not None and not layers:
        raise UsageError("--layers needs at least one name.")
    images = imagesets.load(imageset, split, root=data, download=download)
    if images.labels is None:
        raise WorkbenchError(f"{imageset} has no labels for {split}, so there are no classes to be entangled.")
    chosen = subset(len(images), min(DEFAULT_N, len(images)) if n is None else n, seed, "images")
    check_classes(images.labels[chosen], f"{imageset} ({split})")
    size, most = size or images.images.shape[-1], max_features or MAX_FEATURES
    said = f"weights of {weights}" if weights else f"random weights (seed {seed}); --weights names a file"
    say(f"{model}: {said}.")
    say(
        f"{len(chosen)} of {len(images)} images of {imageset} ({split}), {size} x {size} pixels, normalisation "
        f"{normalize}; maps averaged to at most {most} features."
    )
    channels = 3 if foreign or normalize == "imagenet" else images.images.shape[1]
    batches = (_prepare(images.batch(part), size, normalize, channels) for part in chosen.split(BATCH))
    first = _prepare(images.batch(chosen[:2]), size, normalize, channels).to(place)
    extractor = _layered(model, network, layers, first, say)
    if max_features:
        _check_channels(_forward(extractor.to(place), first), max_features)
    shown = paced(batches, -(-len(chosen) // BATCH), "batches")
    found = extract(extractor, shown, most, place)
    if out:
        write_tensors(out, {**found, LABELS: images.labels[chosen]})
    rows = measure(found, images.labels[chosen], distance=distance, anchors=anchors, seed=seed)
    try:
        done = list(paced(rows, len(found), "layers measured"))
    except ValueError as error:
        raise WorkbenchError(f"{model}: {error}") from error
    return NetworkEntanglement(model, imageset, split, len(chosen), seed, done)


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
        UsageError: the network fails on these images, or a layer gives no tensor with one row an image.
    """
    parts: dict[str, list[Tensor]] = {}
    network = network.to(device)
    for batch in batches:
        for name, layer in _forward(network, batch.to(device)).items():
            parts.setdefault(name, []).append(pool_maps(_maps(name, layer, len(batch)), max_features))
    return {name: torch.cat(layer) for name, layer in parts.items()}


def _layered(
    model: str, network: nn.Module, asked: Sequence[str] | None, images: Tensor, say: Callable[[str], None]
) -> nn.Module:
    """A network that gives the outputs of the layers asked for, by name, or by default of all that can be measured."""
    own.check_logits(model, _forward(network, images), len(images))
    reason = networks.untraceable(network, images)
    if reason:
        say(f"{model}: torch.fx cannot trace it ({reason}), so its layers are its modules, by forward hooks.")
        called = hooks.called(network, images)
        names = hooks.parts(called) if asked is None else hooks.check_layers(called, asked)
    else:
        names = networks.parts(network) if asked is None else networks.check_layers(network, asked)
    extractor = partial(hooks.Hooked if reason else networks.copying_extractor, network)
    if asked is None:
        found = _forward(extractor({name: name for name in names}), images)
        names = [name for name in names if _is_layer(found[name], len(images))]
    if not names:
        raise WorkbenchError(f"{model} has no module whose output is a tensor with one row an image; see --layers.")
    return extractor({name: name for name in names})


def _prepare(images: Tensor, size: int, normalize: Normalize, channels: int = 3) -> Tensor:
    """Images (b, c, h, w) in [-1, 1] in the asked-for number of channels, size and range."""
    x = images.add(1).div(2).expand(-1, channels, -1, -1)
    if size != x.shape[-1]:
        x = nn.functional.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
    if normalize == "none":
        return x
    return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]


@torch.inference_mode()
def _forward(network: nn.Module, batch: Tensor) -> Any:
    try:
        return network(batch)
    except Exception as error:  # code of others raises errors of every kind
        images = f"images of {batch.shape[-1]} x {batch.shape[-1]} pixels"
        raise UsageError(f"The network fails on {images} ({first_line(error)}). Try another --size, as 224.") from error


def _check_channels(layers: Mapping[str, Any], max_features: int) -> None:
    """Raise UsageError where a map has more channels than numbers are to be kept: each keeps one at least."""
    for name, layer in layers.items():
        maps = _maps(name, layer, len(layer))
        if maps.ndim == 4 and maps.shape[1] > max_features:
            channels = maps.shape[1]
            raise UsageError(
                f"Layer {name!r} keeps a number for each of its {channels} channels: --max-features {channels} or more."
            )


def _is_layer(output: Any, n: int) -> bool:
    return isinstance(output, Tensor) and output.is_floating_point() and output.shape[:1] == (n,)


def _maps(name: str, layer: Any, n: int) -> Tensor:
    """A layer's output with its channels first, where torchvision's transformers have them last."""
    if not _is_layer(layer, n):
        raise UsageError(f"Layer {name!r} gives no floating tensor with one row an image.")
    if layer.ndim == 3:  # (b, tokens, c)
        return layer.transpose(1, 2).unsqueeze(3)
    last = layer.ndim == 4 and layer.shape[1] == layer.shape[2] != layer.shape[3]  # maps are square, as images are
    return layer.permute(0, 3, 1, 2) if last else layer
