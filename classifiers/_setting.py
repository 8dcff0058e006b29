"""The settings of equation (3): which hidden layers, and how rows name what differs. Free of torch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab import registry
from lab.errors import unknown_name

DEFAULTS = {"temperature": "minimize", "distance": "sqeuclidean"}


def chosen_layers(asked: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """The hidden layers that are asked for, each once, in the network's order; None for all.

    Raises:
        UsageError: one is not known; the message lists those that are.
    """
    layers = tuple(known)
    for layer in asked or ():
        if layer not in layers:
            raise unknown_name("hidden layer", layer, layers)
    return layers if asked is None else tuple(layer for layer in layers if layer in asked)


def setting(config: Mapping[str, Any]) -> str:
    """What the rows of a training say of its objective: alpha, and what else is not as usual.

    For example `alpha=0`, `alpha=-0.01` or `alpha=-0.01;layers=fc1,fc2;temperature=learn`.
    """
    parts = {"alpha": f"{config['alpha']:g}"}
    if config["alpha"]:
        recipe = registry.config_class("classifiers", config["classifier"]).parse(config["settings"])
        every = getattr(recipe, "hidden_layers", None)
        if config["layers"] is not None and list(config["layers"]) != list(every or ()):
            parts["layers"] = ",".join(config["layers"])
        for name, default in DEFAULTS.items():
            if config.get(name, default) != default:
                value = config[name]
                parts[name] = f"{value:g}" if isinstance(value, float) else value
    return ";".join(f"{name}={value}" for name, value in parts.items())
