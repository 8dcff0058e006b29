"""Images per second of the workbench's supervised loop against a plain one, and of the SNNL against none, in one run.

The plain loop is what one writes by hand: the same network and precision, batches that a shuffled permutation picks
from a tensor, the same fused optimizer, channels-last memory.

    python benchmarks/classifier_training.py
    python benchmarks/classifier_training.py --classifier resnet --size 32 --channels 3 --json out.json
"""

from functools import partial

import _rounds
import click

ALPHA = -0.01
PRECISIONS = ("float32", "bf16")


def plain_loop(network, config, images, precision, device):
    """A generator of steps of the plain loop."""
    import torch
    from torch.nn import functional as F

    network = network.to(device, memory_format=torch.channels_last)
    own = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), momentum=config.momentum, **own)
    else:
        optimizer = torch.optim.Adam(network.parameters(), **own)
    while True:
        for picked in torch.randperm(len(images)).split(config.batch):
            x = (images.images[picked].to(device).float() / 127.5 - 1).to(memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                logits, _ = network(x)
            loss = F.cross_entropy(logits, images.labels[picked].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


@click.command(help=_rounds.help_of(__doc__))
@click.option("--classifier", "name", default="cnn", show_default=True, help="The network: cnn, mlp or resnet.")
@click.option("--channels", default=1, show_default=True, help="1 for grey, 3 for colour.")
@_rounds.training_options(28, 9)
def main(name, size, channels, batch, rounds, steps, device, out):
    """Time the loops in turn and print the ratios."""
    from _training import about_the_machine, classifier_training, noise, stepping

    from lab import registry

    spec, images = noise(channels, size)
    settings = {"batch": batch, "augmentation": "none"}  # the plain loop has none
    module, works = registry.load("classifiers", name), {}
    config = module.Config.parse(settings)
    for precision in PRECISIONS:
        plain = plain_loop(module.build(config, spec), config, images, precision, device)
        works[f"plain {precision}"] = partial(next, plain)
        for title, alpha in (("workbench", 0.0), ("with SNNL", ALPHA)):
            training = classifier_training(name, settings, spec, images, precision, alpha, device)
            works[f"{title} {precision}"] = stepping(training)
    for work in works.values():
        _rounds.seconds(work, 3)
    times = list(_rounds.in_turn(works, rounds, steps))
    print(f"{name} {channels} x {size} x {size}, batch {batch}, SNNL of {', '.join(config.hidden_layers)}")
    print(f"{about_the_machine(device)}; medians and ranges of {rounds} rounds")
    paces = {title: batch / _rounds.median(times, title) for title in works}
    for title, pace in paces.items():
        print(f"{title:<18} {pace:8.0f} images/s")
    ratios = []
    for precision in PRECISIONS:
        for over, under in (("workbench", "plain"), ("with SNNL", "workbench")):
            of, to = f"{over} {precision}", f"{under} {precision}"
            ratios.append({"of": of, "to": to, **_rounds.ratio(times, of, to)})
            print(f"{of:<18} {_rounds.shown(ratios[-1])} times the step of {to}")
    _rounds.write(out, {"classifier": name, "images_per_second": paces, "ratios": ratios})


if __name__ == "__main__":
    main()
