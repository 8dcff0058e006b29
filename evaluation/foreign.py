"""Feature spaces of networks made elsewhere: torchvision's, a user's own, and the Inception network of FID."""

import io
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import imagesets
from evaluation.spaces import Seen, Space, of_network, points
from lab.errors import UsageError, WorkbenchError, first_line
from lab.files import check_plain, expanded, unchanged
from lab.training.tensors import packed
from outside import graph, own, torchvision
from outside.layered import COLOURS, Normalize, Shown, running, usual
from outside.weights import read_weights

INCEPTION = "inception"
POOLED = "2048"
"""Torch-fidelity's name of the features that FID is defined on."""
SCRIPT = ".pt"


def torchvision_space(reference: str, weights: Path | None, size: int | None, normalize: Normalize | None) -> Space:
    """What comes before the head of `torchvision:NAME`; its weights are random ones without a file.

    Images are repeated to three channels, resized to `size` where it is given, and normalised by ImageNet's colours
    unless told otherwise.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: the file is not of weights, or they do not fit.
    """
    network = torchvision.build(reference, weights, 0)
    layer = graph.parts(network)[-2]
    extractor = graph.copying_extractor(network, {layer: layer})
    shown, code = usual(reference, size, normalize), version("torchvision")
    return _space(reference, extractor, lambda x: extractor(x)[layer], shown, layer=layer, code=code)


def own_space(reference: str, weights: Path | None, size: int | None, normalize: Normalize | None) -> Space:
    """The output of a network of one's own: `FILE.py:NAME` or what that builds, or a TorchScript file `.pt`.

    It is shown images in [0, 1], resized to `size` where it is given, in their own channels; in three, and by
    ImageNet's colours, where that is asked for. The file is part of the name; what it makes of images is kept of
    TorchScript alone, since a `.py` may import and read what it likes.

    Raises:
        UsageError: the reference is neither, or weights are given for a file that has its own.
        WorkbenchError: the file cannot be run or read, or the weights do not fit.
    """
    script = reference.endswith(SCRIPT)
    file, code = expanded(reference if script else reference.rpartition(":")[0]), "" if script else None
    with unchanged(file):
        network = _script(file, weights) if script else own.build(reference, weights, 0)
        made_from = file.read_bytes()
    shown, name = usual(reference, size, normalize), Path(reference).name
    return _space(name, network, network, shown, file=made_from, code=code)


def inception_space(weights: Path | None, data: Path, download: bool) -> Space:
    """The 2048 features of the Inception network that FID is defined on, as torch-fidelity computes them.

    Args:
        weights: torch-fidelity's file of them; None for the one below `data`, or in torch.hub's cache.
        data: folder of the data sets; weights that are nowhere are brought there.
        download: whether they may be.

    Raises:
        WorkbenchError: the weights are neither given nor there nor to be had, or do not fit.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = weights or _found(data, download)
    tensors = io.BytesIO(packed(read_weights(path)))  # torch-fidelity would unpickle anything
    try:
        with torch.random.fork_rng(devices=[]):
            network = FeatureExtractorInceptionV3(INCEPTION, [POOLED], feature_extractor_weights_path=tensors)
    except RuntimeError as error:
        raise WorkbenchError(f"{path} does not fit torch-fidelity's Inception: {first_line(error)}") from error
    code = version("torch-fidelity")
    return of_network(INCEPTION, network, lambda x: Seen(network(_in_colours(x))[0]), layer=POOLED, code=code)


def _space(
    kind: str,
    network: nn.Module,
    output: Callable[[Tensor], Any],
    shown: Shown,
    *,
    layer: str = "",
    file: bytes = b"",
    code: str | None = "",
) -> Space:
    """The space of what a network gives for images as they are shown to it; the rest is as `of_network` takes it."""

    def read(images: Tensor) -> Seen:
        with running(f"{kind} fails on images of {' x '.join(map(str, images.shape[1:]))}"):
            found = output(shown(imagesets.to_float(images)))
        if not isinstance(found, Tensor) or not found.is_floating_point() or found.shape[:1] != images.shape[:1]:
            raise WorkbenchError(f"{kind} gives no floating tensor with one row an image, so there are no features.")
        return Seen(points(found))

    how = f"{'' if shown.size is None else f'@{shown.size}'}{'' if shown.normalize == 'none' else ',imagenet'}"
    return of_network(kind, network, read, layer=layer, how=how, file=file, code=code)


def _script(path: Path, weights: Path | None) -> nn.Module:
    if weights is not None:
        raise UsageError(f"{path} holds its own weights: leave --weights out.")
    try:
        check_plain(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is going out of use is not the user's to mend
            network: nn.Module = torch.jit.load(path, map_location="cpu").float().eval()
    except (RuntimeError, ValueError, OSError) as error:
        advice = "for a state dict, name its network: FILE.py:NAME with --weights"
        raise WorkbenchError(f"{path} is no TorchScript file ({first_line(error)}); {advice}.") from error
    return network


def _found(data: Path, download: bool) -> Path:
    """Inception's weights, brought below the folder of the data if need be."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    name = Path(URL_INCEPTION_V3).name
    path, cached = data / INCEPTION / name, Path(torch.hub.get_dir(), "checkpoints", name)
    if path.exists() or cached.exists():
        return path if path.exists() else cached
    problem = f"Inception's weights are not below {data}"
    advice = f"name the file with --weights ({URL_INCEPTION_V3}), or take another space with --features"
    if not download:
        raise WorkbenchError(f"{problem}, and --no-download forbids fetching them: {advice}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except Exception as error:  # broken connections raise errors of every kind
        raise WorkbenchError(f"{problem} and cannot be fetched ({first_line(error)}): {advice}.") from error
    return path


def _in_colours(images: Tensor) -> Tensor:
    return images.expand(-1, COLOURS, -1, -1) if images.shape[1] == 1 else images
