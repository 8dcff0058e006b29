"""PGD against as many plain forward and backward passes of the same network, and foolbox's, in one run.

A plain pass is the gradient of the cross-entropy with respect to images, and nothing else. The network has the weights
that it was built with, and images are noise: neither matters to the time.

    python benchmarks/attacks.py
    python benchmarks/attacks.py --classifier resnet --size 32 --channels 3 --n 250 --json out.json
"""

import os
from functools import partial

import _rounds
import click

BATCH, EPS, STEP = 250, 0.3, 0.01
AT_MOST = 1.05
"""Of the time of the plain passes."""


def passes(network, x, labels, steps):
    """The plain passes, at random points of the ball, batch by batch."""
    import torch
    from torch.nn import functional as F

    for images, classes in zip(x.split(BATCH), labels.split(BATCH), strict=True):
        for _ in range(steps):
            at = (images + EPS * (2 * torch.rand_like(images) - 1)).clamp(0, 1).requires_grad_()
            torch.autograd.grad(F.cross_entropy(network(2 * at - 1)[0], classes, reduction="sum"), at)


def foolbox_pgd(network, x, labels, steps):
    """A function that attacks with foolbox; None where it is not installed."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # foolbox looks for git when it is imported
    try:
        import foolbox
    except ImportError:
        return None
    import torch

    class Logits(torch.nn.Module):
        def forward(self, images):
            return network(2 * images - 1)[0]

    model = foolbox.PyTorchModel(Logits().eval(), bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=steps)

    def run():
        for images, classes in zip(x.split(BATCH), labels.split(BATCH), strict=True):
            attack(model, images, classes, epsilons=EPS)

    return run


@click.command(help=_rounds.help_of(__doc__))
@click.option("--classifier", "name", default="cnn", show_default=True, help="The network: cnn, mlp or resnet.")
@click.option("--channels", default=1, show_default=True, help="1 for grey, 3 for colour.")
@click.option("--size", default=28, show_default=True, help="Side of the images in pixels.")
@click.option("--n", default=1000, show_default=True, help="How many images.")
@click.option("--steps", default=40, show_default=True, help="Gradient steps.")
@_rounds.rounds_option(5)
@_rounds.json_option
def main(name, channels, size, n, steps, rounds, out):
    """Time the works in turn and print the ratios."""
    from _training import about_the_machine, noise

    from attacks import pgd
    from attacks._frame import attacked
    from attacks._target import Target
    from lab import registry

    spec, images = noise(channels, size)
    module = registry.load("classifiers", name)
    network = module.build(module.Config(), spec).eval().requires_grad_(False)
    x, labels = images.images[:n].float() / 255, images.labels[:n]
    config = pgd.Config(eps=EPS, step=STEP / EPS, steps=steps)
    works = {
        "plain": partial(passes, network, x, labels, steps),
        "pgd": partial(attacked, "pgd", Target(network), x, labels, config, batch=BATCH),
        "foolbox": foolbox_pgd(network, x, labels, steps),
    }
    works = {title: work for title, work in works.items() if work}
    times = list(_rounds.in_turn(works, rounds))
    print(f"{name} {channels} x {size} x {size}, {n} images, {steps} steps; {about_the_machine()}")
    lines = []
    for title in list(works)[1:]:
        found = _rounds.ratio(times, title, "plain")
        taken, bound = _rounds.median(times, title), AT_MOST if title == "pgd" else None
        print(f"{title:<8} {_rounds.shown(found)} times as long as plain passes, median and range of {rounds} rounds")
        lines.append(_rounds.row(f"{title} of {n} images", taken, "times plain passes", found["median"], bound))
    _rounds.table(out, lines)


if __name__ == "__main__":
    main()
