"""Entanglement of classes in each layer of a network.

Protocol: the same n samples in every layer, each layer's features flattened, the soft nearest neighbor loss between
the classes at the layer's best temperature, divided by its bound (Frosst et al. 2019, equation 2): 0 is separated, 1
entangled. With anchors, the same random anchors in every layer, each against all n. Temperatures are in units of the
layer's own distances, so scores can be compared across layers and temperatures cannot. The score of one set of
features falls as n grows: compare equal n.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from torch import Tensor

from lab.training.draws import random_generator
from snnl_core import Entanglement, entanglement
from snnl_core.distances import Distance


@dataclass(frozen=True)
class LayerEntanglement:
    """One layer's row; all but the first two are those of `snnl_core.Entanglement`.

    Attributes:
        layer: its name.
        features: numbers a sample, d.
    """

    layer: str
    features: int
    score: float
    loss: float
    temperature: float
    bound: float
    at_limit: str
    n_valid: int
    stderr: float


def measure(
    features: Mapping[str, Tensor],
    labels: Tensor,
    *,
    distance: Distance = "sqeuclidean",
    anchors: int | None = None,
    seed: int = 0,
    sharded: bool = False,
) -> Iterator[LayerEntanglement]:
    """The row of each layer in turn; arguments and errors are those of `entanglements`."""
    for name, found in entanglements(features, labels, distance=distance, anchors=anchors, seed=seed, sharded=sharded):
        own = {field.name: getattr(found, field.name) for field in fields(LayerEntanglement)[2:]}
        yield LayerEntanglement(name, features[name][0:1].numel(), **own)


def entanglements(
    features: Mapping[str, Tensor],
    labels: Tensor,
    *,
    distance: Distance = "sqeuclidean",
    anchors: int | None = None,
    seed: int = 0,
    sharded: bool = False,
) -> Iterator[tuple[str, Entanglement]]:
    """Each layer in turn, by name, measured as it is asked for.

    Args:
        features: floating tensors (n, ...) by layer.
        labels: class of each sample (n,), integers.
        distance: `sqeuclidean`, or `cosine` for 1 - cos.
        anchors: estimate from this many random anchors; default all.
        seed: draws the anchors.
        sharded: every process holds a part of the samples, the same layers, and calls this at the same time.

    Raises:
        TypeError: features are not floating, or labels not integers.
        ValueError: shapes do not match, n < 2, anchors < 1, or a row is not finite; the message names the layer.
    """
    for name, layer in features.items():
        generator = random_generator(seed, "anchors")  # afresh, so that every layer has the same anchors
        try:
            found = entanglement(
                layer, labels, distance=distance, anchors=anchors, sharded=sharded, generator=generator
            )
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error
        yield name, found
