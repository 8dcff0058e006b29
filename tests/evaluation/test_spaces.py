"""Feature spaces: what they are called, what they give, and what they leave alone."""

import os
import re
import sys
from contextlib import nullcontext

import pytest
import torch
from pages import examples
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import imagesets
import snnl_core
from classifiers._config import TrainingConfig
from classifiers._snapshots import load_classifier
from evaluation import foreign, spaces
from evaluation.named import space_called
from evaluation.spaces import Seen, of_network, pixels, points
from evaluation.trained import classifier_space, discriminator_space, open_classifier
from lab.errors import UsageError, WorkbenchError
from lab.training.snapshots import snapshots


class Mixed(nn.Module):
    """A network with dropout and BatchNorm, some of it frozen."""

    def __init__(self):
        super().__init__()
        self.norm, self.frozen, self.drop = nn.BatchNorm2d(1), nn.BatchNorm2d(1).eval(), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.frozen(self.norm(x))).flatten(1)


def space_of(network):
    return of_network("mixed", network, lambda images: Seen(network(imagesets.to_float(images))))


def called(reference, tmp_path, **settings):
    usual = {"weights": None, "size": None, "normalize": None, "data": tmp_path, "download": False}
    return space_called(str(reference), **{**usual, **settings})


def test_a_trained_classifier_shows_its_layers_in_python_as_is_told(classifier, gan, folder_of, capsys):
    (example,) = examples("docs", "classifiers.md")
    exec(re.sub(r'"runs/.*?"', repr(str(folder_of(classifier).path)), example), {})
    assert re.fullmatch(r"\{('\w+': [\d.]+(, )?){4}\}\n", capsys.readouterr().out)
    before = torch.get_rng_state()
    open_classifier(folder_of(classifier).path)
    assert torch.get_rng_state().equal(before), "the random numbers of a script are left alone"
    with pytest.raises(WorkbenchError, match="is not the folder of a classifier's training"):
        open_classifier(folder_of(gan).path)


def test_pixels_are_themselves(random_images):
    images = random_images(3, 3)
    seen = pixels().see(images)
    assert torch.equal(seen.features, (images.float() / 127.5 - 1).flatten(1)) and seen.predicted is None


def test_looking_leaves_random_state_modes_and_buffers_as_they_were(random_images):
    network, images = Mixed(), random_images(300)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    space = space_of(network)
    first, second = (space.see(images).features for _ in range(2))
    assert torch.equal(torch.rand(2), expected)
    assert network.training and network.drop.training and not network.frozen.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(first, second)


def test_the_random_state_is_left_alone_though_a_network_draws(random_images):
    class Drawing(nn.Module):
        def forward(self, x):
            return x.flatten(1) + torch.rand(1)

    before = torch.get_rng_state()
    space_of(Drawing()).see(random_images(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_that_is_watched_takes_the_same_steps(random_images):
    def trained(watched):
        torch.manual_seed(0)
        network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 2))
        optimizer, x = torch.optim.SGD(network.parameters(), 0.1), imagesets.to_float(random_images(20))
        for _ in range(3):
            loss = F.cross_entropy(network(x), torch.arange(20) % 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if watched:
                space_of(network).see(random_images(7, seed=1))
        return network.state_dict()

    alone, watched = trained(False), trained(True)
    assert all(torch.equal(alone[name], watched[name]) for name in alone)


def test_other_weights_are_another_space():
    one, other = Mixed(), Mixed()
    other.norm.running_mean += 1
    assert space_of(one).name == space_of(Mixed()).name != space_of(other).name


def test_what_was_seen_is_found_again_by_its_content(random_images, tmp_path):
    looked = []

    def look(images):
        looked.append(len(images))
        return Seen(imagesets.to_float(images).flatten(1), images[:, 0, 0, 0].long())

    space = of_network("mixed", Mixed(), look, classes=256)
    images = random_images(300)
    first, again = space.see_once(images, tmp_path), space.see_once(images.clone(), tmp_path)
    assert looked == [250, 50]
    assert torch.equal(first.features, again.features) and torch.equal(first.predicted, again.predicted)
    space.see_once(images.flip(0), tmp_path)
    assert len(looked) == 4
    (kept, *_) = (tmp_path / "features").iterdir()
    assert set(load_file(kept)) == {"features", "predicted"}
    for path in (tmp_path / "features").iterdir():
        path.write_bytes(b"damaged")
    assert torch.equal(space.see_once(images, tmp_path).features, first.features) and len(looked) == 6
    for path in (tmp_path / "features").iterdir():
        path.unlink()
        os.mkfifo(path)  # who opens it waits for ever
    assert torch.equal(space.see_once(images, tmp_path).features, first.features) and len(looked) == 8
    assert [path.is_file() for path in sorted((tmp_path / "features").iterdir())].count(True) == 1


def test_a_link_below_the_runs_is_not_followed_to_keep_what_was_seen(random_images, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "features").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorkbenchError, match="features is a link, and is not followed"):
        space_of(Mixed()).see_once(random_images(3), tmp_path)
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_a_classifier_gives_its_last_hidden_layer_and_its_choices(classifier, folder_of, digits):
    folder = folder_of(classifier)
    space = classifier_space(folder)
    assert space.name.startswith("cnn-") and (space.layer, space.classes, space.takes) == ("fc2", 10, (1, 16, 16))
    seen = space.see(digits.images)
    network = load_classifier(snapshots(folder.path, "classifier")[-1], TrainingConfig.parse(folder.config))
    with torch.no_grad():
        logits, features = network(imagesets.to_float(digits.images))
    torch.testing.assert_close(seen.features, features["fc2"])
    assert torch.equal(seen.predicted, logits.argmax(1))


def test_a_discriminator_gives_its_last_maps_averaged(gan, folder_of, digits, tmp_path):
    space = discriminator_space(folder_of(gan))
    assert space.name.startswith("dcgan-discriminator-") and (space.layer, space.classes) == ("conv2", 0)
    seen = space.see(digits.images[:300])
    torch.testing.assert_close(seen.features[250:], space.see(digits.images[250:300]).features)
    assert seen.features.shape == (300, 8 * 4 * 4) and seen.predicted is None
    assert called(folder_of(gan).path, tmp_path).name == space.name


def test_large_maps_are_averaged_to_512_numbers_or_their_channels():
    maps = torch.rand(2, 8, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(points(maps), F.avg_pool2d(maps, 2).flatten(1).float())
    assert points(torch.rand(2, 600, 4, 4)).shape == (2, 600) and points(torch.rand(2, 900)).shape == (2, 900)


def test_torchvision_gives_what_comes_before_the_head(digits, tmp_path):
    space = called("torchvision:resnet18", tmp_path, size=32)
    assert space.layer == "avgpool" and space.name.endswith("@32,imagenet")
    seen = space.see(digits.images[:3])
    assert seen.features.shape == (3, 512)
    assert space.name != called("torchvision:resnet18", tmp_path, size=48).name


NETWORK = """
import torch

class Halves(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :4] / 2
"""


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_output_of_a_network_of_ones_own_is_the_features(random_images, tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    images = random_images(5)
    space = called(f"{tmp_path / 'net.py'}:Halves", tmp_path)
    torch.testing.assert_close(space.see(images).features, images.flatten(1)[:, :4] / 510)
    wide = random_images(5)[:, :, :6]
    torch.testing.assert_close(space.see(wide).features, wide.flatten(1)[:, :4] / 510)
    traced = tmp_path / "net.pt"
    torch.jit.trace(nn.Flatten(), torch.zeros(2, 1, 16, 16)).save(traced)
    torch.testing.assert_close(called(traced, tmp_path).see(images).features, images.flatten(1) / 255)


@pytest.mark.parametrize("name, words", [("Halves", ""), ("Leaves", r"net.py:Leaves fails on .*: SystemExit: enough")])
def test_what_a_network_of_ones_own_prints_as_it_looks_is_no_result(random_images, tmp_path, capsys, name, words):
    leaves = "\n\nclass Leaves(Halves):\n    def forward(self, x):\n        raise SystemExit('enough')\n"
    (tmp_path / "net.py").write_text(NETWORK.replace("return", "print('no result'); return") + leaves)
    space = called(f"{tmp_path / 'net.py'}:{name}", tmp_path)
    with pytest.raises(WorkbenchError, match=words) if words else nullcontext():
        space.see(random_images(5))
    assert not capsys.readouterr().out


@pytest.mark.parametrize("edited", ["net.py", "beside.py"])
def test_what_a_network_of_ones_own_made_of_images_is_not_kept_since_its_code_may_change(
    random_images, tmp_path, edited
):
    (tmp_path / "net.py").write_text(NETWORK.replace("/ 2", "/ beside.divisor()").replace("import", "import beside,"))
    (tmp_path / "beside.py").write_text("def divisor():\n    return 2\n")
    images, reference = random_images(5), f"{tmp_path / 'net.py'}:Halves"
    before = called(reference, tmp_path)
    torch.testing.assert_close(before.see_once(images, tmp_path).features, images.flatten(1)[:, :4] / 510)
    sys.modules.pop("beside")
    path = tmp_path / edited
    path.write_text(path.read_text().replace("return 2", "return 4.25").replace("/ beside.divisor()", "/ 4.25"))
    after = called(reference, tmp_path)
    sys.modules.pop("beside")
    torch.testing.assert_close(after.see_once(images, tmp_path).features, images.flatten(1)[:, :4] / (255 * 4.25))
    assert not (tmp_path / "features").exists()
    assert (after.name == before.name) == (edited == "beside.py"), "the file itself is part of the name"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_scripts_without_weights_are_told_apart_by_their_files(random_images, tmp_path):
    images, seen = random_images(5), []
    for folder, network in (("flat", nn.Flatten()), ("pooled", nn.Sequential(nn.AvgPool2d(4), nn.Flatten()))):
        path = tmp_path / folder / "net.pt"
        path.parent.mkdir()
        torch.jit.trace(network, torch.zeros(2, 1, 16, 16)).save(path)
        both = [called(path, tmp_path) for _ in range(2)]
        assert both[0].name == both[1].name and both[0].name.startswith("net.pt-")
        seen.append((both[0].name, *(space.see_once(images, tmp_path).features.shape[1] for space in both)))
    assert seen[0][0] != seen[1][0] and [widths for _, *widths in seen] == [[256, 256], [16, 16]]
    assert len([*(tmp_path / "features").iterdir()]) == 2


def test_features_are_not_found_again_by_other_code(random_images, tmp_path, monkeypatch):
    images, looked = random_images(5), []

    def seen(code=""):
        def look(images):
            looked.append(len(images))
            return Seen(imagesets.to_float(images).flatten(1))

        of_network("mixed", Mixed(), look, code=code).see_once(images, tmp_path)
        return len(looked)

    assert (seen(), seen()) == (1, 1)
    assert (seen("2"), seen("2")) == (2, 2)
    monkeypatch.setattr(spaces, "VERSION", spaces.VERSION + 1)
    assert (seen(), seen("2")) == (3, 4)
    monkeypatch.setattr(snnl_core, "VERSION", snnl_core.VERSION + 1)
    assert (seen(), seen("2")) == (5, 6)
    assert (seen(), seen(None), seen(None)) == (6, 7, 8)


def test_inception_is_torch_fidelitys_with_the_weights_of_a_file(random_images, tmp_path, monkeypatch):
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    with monkeypatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        network = theirs.FeatureExtractorInceptionV3("random", ["2048"])
    weights = tmp_path / "weights.pth"
    torch.save(network.state_dict(), weights)
    before = torch.get_rng_state()
    space, images = called("inception", tmp_path, weights=weights), random_images(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(space.see(images).features, network(images.expand(-1, 3, -1, -1))[0])


def test_colours_come_to_inception_in_their_order(random_images):
    colour, grey = random_images(2, 3), random_images(2)
    assert torch.equal(foreign._in_colours(colour), colour)
    assert torch.equal(foreign._in_colours(grey), grey.repeat(1, 3, 1, 1))


def test_layers_and_names_of_weights_tell_what_is_kept_apart(random_images, tmp_path):
    images, seen = random_images(3), [torch.zeros(3, 1), torch.ones(3, 1)]
    for layer, found in zip("ab", seen, strict=True):
        space = of_network("one", nn.Identity(), lambda _, found=found: Seen(found), layer=layer)
        assert torch.equal(space.see_once(images, tmp_path / "runs").features, found)
    one, other = nn.ModuleDict({"a": nn.ReLU(), "b": nn.PReLU()}), nn.ModuleDict({"a": nn.PReLU(), "b": nn.ReLU()})
    assert spaces.digest(one) != spaces.digest(other)


def test_inception_without_weights_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WorkbenchError, match=r"--no-download forbids.*name the file with --weights"):
        called("inception", tmp_path)

    def broken(url, path, hash_prefix):
        assert hash_prefix == "6726825d"
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", broken)
    with pytest.raises(WorkbenchError, match=r"cannot be fetched \(no network\).*take another space with --features"):
        called("inception", tmp_path, download=True)
    torch.save({"one": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WorkbenchError, match="does not fit torch-fidelity's Inception"):
        called("inception", tmp_path, weights=tmp_path / "other.pth")


@pytest.mark.parametrize(
    "reference, settings, error, message",
    [
        ("nonsense", {}, UsageError, "is no feature space: name pixels, inception"),
        ("pixels", {"weights": "some.pth"}, UsageError, "--weights is for a network made elsewhere"),
        ("torchvision:resnt18", {}, UsageError, "did you mean 'resnet18'"),
        ("missing.pt", {}, WorkbenchError, "is no TorchScript file"),
        ("missing.pt", {"weights": "some.pth"}, UsageError, "holds its own weights"),
    ],
)
def test_what_is_no_space_is_refused(reference, settings, error, message, tmp_path):
    with pytest.raises(error, match=message):
        called(reference, tmp_path, **settings)


def test_a_network_that_gives_no_features_is_refused(random_images, tmp_path):
    (tmp_path / "net.py").write_text(NETWORK.replace("x.flatten(1)[:, :4] / 2", "[x]"))
    with pytest.raises(WorkbenchError, match="no floating tensor with one row an image"):
        called(f"{tmp_path / 'net.py'}:Halves", tmp_path).see(random_images(2))
    (tmp_path / "net.py").write_text(NETWORK.replace("x.flatten(1)[:, :4] / 2", "x @ torch.zeros(3, 3)"))
    with pytest.raises(UsageError, match="Try another --size"):
        called(f"{tmp_path / 'net.py'}:Halves", tmp_path).see(random_images(2))
