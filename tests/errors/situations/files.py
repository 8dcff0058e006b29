"""Files of features, weights, and images for foreign networks."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from imagesets import ImageSet, digits
from situations import cut, situation


@situation("a good file")
def _(place):
    place.points()


@situation("a file of another kind")
def _(place):
    Path("my.csv").write_text("1, 2")


@situation("a file that is no archive")
def _(place):
    Path("my.npz").write_bytes(b"no archive")


@situation("a file that was cut off")
def _(place):
    place.points()
    cut(Path("my.npz"))


@situation("tensors that were cut off")
def _(place):
    save_file({"x": torch.zeros(40, 3), "labels": torch.zeros(40)}, "my.safetensors")
    cut(Path("my.safetensors"))


@situation("without labels")
def _(place):
    place.points(labels=None, y=np.arange(40))


@situation("with more labels than points")
def _(place):
    place.points(labels=np.arange(41))


@situation("with labels of two columns")
def _(place):
    place.points(labels=np.zeros((40, 2), int))


@situation("with broken numbers as labels")
def _(place):
    place.points(labels=np.arange(40) / 2)


@situation("with names as labels")
def _(place):
    place.points(labels=np.array(["cat", "dog"] * 20))


@situation("with Python objects in it")
def _(place):
    place.points(x=np.array([{}] * 40, dtype=object))


@situation("with complex numbers")
def _(place):
    place.points(x=np.ones((40, 3), complex))


@situation("with a NaN in it")
def _(place):
    place.points(x=np.where(np.arange(120).reshape(40, 3) == 7, np.nan, 1.0))


@situation("with a single point")
def _(place):
    place.points(x=np.ones((1, 3)), labels=np.array([0]))


@situation("with one class")
def _(place):
    place.points(labels=np.zeros(40, int))


@situation("with a class of its own for each point")
def _(place):
    place.points(labels=np.arange(40))


# Weights and images of foreign networks.


@situation("weights that are none")
def _(place):
    Path("my.pth").write_bytes(b"no weights")


@situation("weights of another network")
def _(place):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "head": torch.zeros(3)}, "my.pth")


@situation("a whole network instead of its weights")
def _(place):
    torch.save(torch.nn.Linear(2, 2), "my.pth")


@situation("images without labels")
def _(place):
    load = digits.load
    place.patch.setattr(digits, "load", lambda *arguments: ImageSet(load(*arguments).images))
