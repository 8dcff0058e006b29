"""Images of one's own, and data sets."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision import datasets

import imagesets
from situations import cut, situation


def photos(folder, n=18):
    """n images below the folder `photos`."""
    (Path("photos") / folder).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8)).save(
            Path("photos") / folder / f"{i}.png"
        )


@situation("a folder of images")
def _(place):
    photos("")


@situation("an empty folder")
def _(place):
    photos("", 0)


@situation("a folder of one image")
def _(place):
    photos("", 1)


@situation("an image that was cut off")
def _(place):
    photos("")
    cut(Path("photos/0.png"))


@situation("a text that is called an image")
def _(place):
    photos("")
    Path("photos/text.png").write_text("no image")


@situation("a decompression bomb")
def _(place):
    photos("")
    Image.new("1", (20000, 10000)).save("photos/bomb.png")


@situation("an image that Git LFS did not fetch")
def _(place):
    photos("")
    Path("photos/17.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


@situation("images beside class folders")
def _(place):
    photos("", 1)
    photos("cats")


@situation("a folder train without test")
def _(place):
    photos("train")


@situation("an archive of the folder train alone")
def _(place):
    photos("train/cat")
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for file in Path("photos").rglob("*.png"):
            archive.write(file, file.relative_to("photos"))


@situation("two folders that are called like the split to train on")
def _(place):
    for folder in ("Train", "training", "Test"):
        photos(folder, 1)


@situation("splits within class folders")
def _(place):
    for folder in ("cat/train", "cat/test", "dog/train"):
        photos(folder, 1)


@situation("a held-out class that is spelled like two others")
def _(place):
    for folder in ("train/Cat", "train/CAT", "test/cat"):
        photos(folder, 1)


@situation("links to images elsewhere")
def _(place):
    photos("")
    Path("photos").rename("elsewhere")
    Path("photos").mkdir()
    for file in Path("elsewhere").iterdir():
        (Path("photos") / file.name).symlink_to(file.resolve())


@situation("one held-out image a class")
def _(place):
    photos("cat", 6)
    photos("dog", 6)


@situation("images that an earlier version decoded")
def _(place):
    decoded = Path("data/.decoded/0123")
    decoded.mkdir(parents=True)
    (decoded / "set.json").write_text('{"spec": {}}')


@situation("a byte of the decoded images changed")
def _(place):
    photos("cat", 6)
    photos("dog", 6)
    name = imagesets.settle("folder:photos", Path("data"))
    decoded = Path("data/.decoded") / name.partition(":")[2]
    data = bytearray((decoded / "images.npy").read_bytes())
    data[-1] ^= 1
    (decoded / "images.npy").write_bytes(data)
    decoded.rename("data/.decoded/0123")


@situation("an encrypted archive")
def _(place):
    photos("", 1)
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write("photos/0.png", "0.png")
    data = bytearray(Path("photos.zip").read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    Path("photos.zip").write_bytes(data)


# Data sets.


@situation("without a network")
def _(place):
    place.patch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])


@situation("a file of MNIST cut off")
def _(place):
    cut(place.mnist() / "t10k-images-idx3-ubyte")


@situation("other bytes in MNIST's files")
def _(place):
    place.mnist()


@situation("fewer labels than images")
def _(place):
    place.mnist("notMNIST")
    place.idx("t10k-labels-idx1-ubyte", np.arange(19))


@situation("a file of notMNIST cut off")
def _(place):
    cut(place.mnist("notMNIST") / "t10k-images-idx3-ubyte")


@situation("a packed file that is damaged")
def _(place):
    file = place.mnist("notMNIST") / "t10k-images-idx3-ubyte"
    file.with_name(f"{file.name}.gz").write_bytes(b"\x1f\x8bdamaged")
    file.unlink()
