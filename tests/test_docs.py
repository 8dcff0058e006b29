"""What the documents say is true: commands exist, options exist, the example runs, published results are there."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from pages import examples

import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PUBLISHED = sorted(path.name for path in (ROOT / "results" / "studies").glob("*/*"))


def command_lines():
    for page in PAGES:
        for line in re.findall(
            r"^\s*\$?\s*((?:snnl|python cli\.py) .+)$", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            yield page.name, line.partition("#")[0].strip()


@pytest.mark.parametrize("page, line", sorted(set(command_lines())))
def test_commands_and_options_exist(page, line):
    words = shlex.split(line.removeprefix("python cli.py").removeprefix("snnl"))
    command: click.Command = cli.cli
    while words and isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    assert not isinstance(command, click.Group) or not words
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= known


def test_the_example_runs(capsys):
    (example,) = examples("README.md")
    exec(compile(example, "README.md", "exec"), {})
    assert re.fullmatch(r"\d\.\d{3} of at most \d\.\d{3}: score \d\.\d{3}\n", capsys.readouterr().out)


def test_the_monitor_in_a_training_loop_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
    found = examples("docs", "layers.md")
    assert max(example.count("\n") for example in found) <= 14
    exec(compile("\n".join(found), "layers.md", "exec"), {})
    pattern = r"(\d pixels 0\.\d{3} hidden 0\.\d{3} logits 0\.\d{3}\n){4}"
    layers = r"(\d \d+ 0\.\d{3}\n){2}"
    assert re.fullmatch(pattern + layers, capsys.readouterr().out)
    assert re.search(pattern, text) and re.search(layers, text)
    assert (tmp_path / "logits.npz").is_file()


def test_deep_knn_in_the_example_tells_noise_from_digits(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(examples("docs", "dknn.md")), "dknn.md", "exec"), {})
    digits, noise = re.findall(r"credibility (\S+), distance (\S+)", capsys.readouterr().out)
    assert float(digits[0]) > 2 * float(noise[0]) and 2 * float(digits[1]) < float(noise[1])


def test_a_network_is_attacked_in_the_example(capsys):
    exec(compile("\n".join(examples("docs", "attacks.md")), "attacks.md", "exec"), {})
    assert re.fullmatch(r"0\.\d\d \{'zero': 0\.0, 'vanishing': 0\.0, 'values': 0\.\d+\}\n", capsys.readouterr().out)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    local = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert all((page.parent / link).exists() for link in local)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_merge_is_left_half_done(page):
    assert not re.findall(r"^(?:<<<<<<<|=======|>>>>>>>)(?: |$)", page.read_text(encoding="utf-8"), re.MULTILINE)


def anchors(page):
    """What GitHub calls the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return [name.replace(" ", "-") for name in plain]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_headings(page):
    for path, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        assert anchors(target).count(anchor) == 1, f"{path}#{anchor}"


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_results_are_redrawn(redrawn, name):
    """As on a fresh clone: from rows and pictures alone."""
    done, text = redrawn(name), (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["cells"]["failed"] == 0 and result["cells"]["cached"] == result["cells"]["total"]
    assert re.search(rf"\]\(\.\./results/studies/[a-z-]+/{name}\)", text), "its folder is linked"
    for verdict in result["verdicts"]:
        effect = ""
        if verdict["effect"] is not None:  # something was measured
            low, high = verdict["interval"]
            effect = f"{verdict['effect']:+.3f} [{low:+.3f}, {high:+.3f}], n = {verdict['n']}"
            assert effect in text
        assert verdict["verdict"] in text
        assert any(effect in line and verdict["verdict"] in line for line in text.splitlines()), "side by side"


def test_results_are_published():
    assert PUBLISHED


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    """A folder with what users come with: generated images, features, a network, a folder of images."""
    import numpy as np
    import torch
    from PIL import Image

    import imagesets

    home = tmp_path_factory.mktemp("visitor")
    train, test = (imagesets.load("digits", split, root=home, download=False) for split in ("train", "test"))
    blurred = torch.nn.functional.avg_pool2d(train.images[:250].float(), 3, 1, 1)
    np.savez(home / "samples.npz", images=blurred.round().byte().numpy())
    np.savez(home / "my.npz", x=test.images.flatten(1).float().numpy(), labels=test.labels.numpy())
    for number, (image, label) in enumerate(zip(train.images[:60], train.labels[:60].tolist(), strict=True)):
        (home / "photos" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(home / "photos" / str(label) / f"{number}.png")
    layers = "nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10)"
    (home / "my.py").write_text(f"from torch import nn\n\n\ndef Net():\n    return nn.Sequential({layers})\n")
    return home


def shown():
    """The commands in the README with the output that it shows."""
    for block in re.findall(r"```\n\$ snnl (.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL):
        command, _, output = block.partition("\n")
        yield command, [line for line in output.splitlines() if line != "..."]


@pytest.mark.parametrize("command, lines", [*shown()], ids=lambda value: value if isinstance(value, str) else "")
def test_the_readme_shows_what_commands_print(snnl, visitor, command, lines):
    """In this order, word for word; numbers but for what rounding may do to them on another processor."""
    done = snnl(*shlex.split(command), cwd=visitor)
    assert done.returncode == 0, done.stderr
    printed = iter([*done.stderr.splitlines(), *done.stdout.splitlines()])
    for line in lines:
        assert any(alike(line.split(), other.split()) for other in printed), line


def alike(one, other):
    return len(one) == len(other) and all(
        a == b or (is_number(a) and is_number(b) and float(a) == pytest.approx(float(b), rel=0.02, abs=0.002))
        for a, b in zip(one, other, strict=True)
    )


def is_number(word):
    return re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?", word) is not None
