"""Files of features, weights, and images for foreign networks."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import get_model

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


@situation("a pipe in place of a file")
def _(place):
    os.mkfifo("my.npz")


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


@situation("with labels beyond integers")
def _(place):
    place.points(labels=1e19 * (1 + np.arange(40) % 2))


@situation("with names as labels")
def _(place):
    place.points(labels=np.array(["cat", "dog"] * 20))


@situation("with a column of names of pandas as labels")
def _(place):
    place.points(labels=np.array(["cat", "dog"] * 20, dtype=object))


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


# Three files of features, by layer.


@situation("three good files")
def _(place):
    place.three()


@situation("other layers in one of three files")
def _(place):
    place.three(x=None, hidden=np.ones((20, 3)))


@situation("layers of another size in one of three files")
def _(place):
    place.three(x=np.ones((20, 4)))


@situation("a NaN in one of three files")
def _(place):
    place.three("calibrate", x=np.where(np.arange(90).reshape(30, 3) == 7, np.nan, 1.0))


@situation("labels that were not fitted in one of three files")
def _(place):
    place.three("calibrate", labels=np.arange(30) % 3)


@situation("foreign labels to look at in one of three files")
def _(place):
    place.three(labels=np.arange(20) + 5)


@situation("no labels to calibrate with in one of three files")
def _(place):
    place.three("calibrate", labels=None)


@situation("labels alone in one of three files")
def _(place):
    place.three("train", x=None)


@situation("no points in one of three files")
def _(place):
    place.three(x=np.ones((0, 3)), labels=None)


# Weights and images of foreign networks.


def network(body):
    """The file my.py, which builds a network by `Net`."""
    Path("my.py").write_text(f"from torch import nn\n\n\ndef Net():\n    {body}\n")


@situation("a network of one's own")
def _(place):
    network("return nn.Sequential(nn.Flatten(), nn.Linear(256, 10))")


@situation("a network of one's own that takes colour")
def _(place):
    network("return nn.Conv2d(3, 10, 16)")


@situation("a network of one's own whose code fails")
def _(place):
    forward = "    def forward(self, x):\n        return self.layer(x)\n"
    Path("my.py").write_text(f"from torch import nn\n\n\nclass Net(nn.Module):\n{forward}")


@situation("a network of one's own that is written anew as it is run")
def _(place):
    Path("my.py").write_text("from pathlib import Path\nPath(__file__).write_text('')\nNet = None\n")


@situation("a network of one's own that gives no logits")
def _(place):
    network("return nn.Conv2d(1, 10, 3)")


@situation("an image and a network of one's own")
def _(place):
    network("return nn.Sequential(nn.Flatten(), nn.Linear(256, 10))")
    Image.new("L", (16, 16)).save("image.png")


@situation("an image and a network that gives no logits")
def _(place):
    network("return nn.Conv2d(1, 10, 3)")
    Image.new("L", (16, 16)).save("image.png")


@situation("an image and a network of other classes")
def _(place):
    network("return nn.Sequential(nn.Flatten(), nn.Linear(256, 7))")
    Image.new("L", (16, 16)).save("image.png")


@situation("a network that lets no gradient through")
def _(place):
    """Its gradient is lost on the way, as that of numbers that are taken out of torch."""
    network("return nn.Sequential(nn.Flatten(), nn.Linear(256, 20), nn.ReLU(), Detached(), nn.Linear(20, 10))")
    text = Path("my.py").read_text()
    detached = "class Detached(nn.Module):\n    def forward(self, x):\n        return x.detach()\n"
    Path("my.py").write_text(text.replace("def Net", f"{detached}\n\ndef Net"))


@situation("a function that builds no network")
def _(place):
    network("return {}")


@situation("a function that fails")
def _(place):
    network("return nn.Linear()")


@situation("a file that cannot be imported")
def _(place):
    Path("my.py").write_text("import a_module_that_is_not_there")


@situation("weights that are none")
def _(place):
    Path("my.pth").write_bytes(b"no weights")


@situation("weights of another network")
def _(place):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "head": torch.zeros(3)}, "my.pth")


@situation("weights beside their average")
def _(place):
    state = get_model("resnet18", weights=None, num_classes=3).state_dict()
    torch.save({"model": state, "ema": {name: value + 1 for name, value in state.items()}}, "my.pth")


@situation("a whole network instead of its weights")
def _(place):
    torch.save(torch.nn.Linear(2, 2), "my.pth")


@situation("images without labels")
def _(place):
    load = digits.load
    place.patch.setattr(digits, "load", lambda *arguments: ImageSet(load(*arguments).images))
