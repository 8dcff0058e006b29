"""Networks of torchvision: made by name, with weights of a file."""

import warnings
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from lab.errors import check_known
from lab.training.draws import derive_seed
from outside.weights import fit_weights, weights_for

SCHEME = "torchvision:"


def construct(name: str, **settings: Any) -> nn.Module:
    """The classifier `name` with torchvision's `settings`, its weights drawn from torch's global generator.

    Raises:
        UsageError: the name is unknown.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    check_known("network of torchvision", [name], known)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # two networks announce other random weights
        network: nn.Module = torchvision.models.get_model(name, weights=None, **settings)
    return network


def build(reference: str, weights: Path | None, seed: int) -> nn.Module:
    """The classifier `torchvision:NAME` in evaluation mode, with the weights of a file or random ones by seed.

    The number of classes is that of the file's weights.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: the file is not of weights, or they do not fit.
    """
    name = reference.removeprefix(SCHEME)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        return (_loaded(name, weights) if weights else construct(name)).eval()


def _loaded(name: str, weights: Path) -> nn.Module:
    network = _unfilled(name)
    found, own = weights_for(network, weights), network.state_dict()
    head = next(reversed(own))  # every classifier of torchvision ends in its head
    if head in found and found[head].shape[:1] != own[head].shape[:1]:
        network = _unfilled(name, num_classes=len(found[head]))
    fit_weights(network, found, f"{weights} does not fit {name}")
    return network


def _unfilled(name: str, **settings: int) -> nn.Module:
    """The classifier with parameters of any numbers: to draw them takes longer than to load them."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        network = construct(name, **settings)
    for module in network.modules():
        for key, parameter in module.named_parameters(recurse=False):
            setattr(module, key, nn.Parameter(torch.empty_like(parameter, device="cpu"), parameter.requires_grad))
    return network
