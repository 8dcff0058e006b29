"""Images per second of the workbench's supervised loop against a plain one, and of the SNNL against none, in one run.

The plain loop is what one writes by hand: the same network and precision, batches that a shuffled permutation picks
from a tensor, the same fused optimizer, channels-last memory. All loops are timed in turn, several rounds, and ratios
are taken within each round, so that a machine that speeds up or slows down does not decide.

    python benchmarks/classifier_training.py
    python benchmarks/classifier_training.py --classifier resnet --size 32 --channels 3 --json out.json
"""

import json
import statistics
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ALPHA = -0.01
N = 4096


def plain_loop(module, config, spec, images, precision):
    """A generator of steps of the plain loop."""
    import torch
    from torch.nn import functional as F

    network = module.build(config, spec).to(memory_format=torch.channels_last)
    own = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), momentum=config.momentum, **own)
    else:
        optimizer = torch.optim.Adam(network.parameters(), **own)
    while True:
        for picked in torch.randperm(N).split(config.batch):
            x = (images.images[picked].float() / 127.5 - 1).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                logits, _ = network(x)
            loss = F.cross_entropy(logits, images.labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def workbench_loop(name, module, config, spec, images, precision, alpha):
    """A generator of steps of the workbench's loop."""
    import torch

    from classifiers._loop import Training, TrainingConfig, train_step
    from classifiers._objective import Objective
    from classifiers._state import TrainingState
    from lab.training.frame import make_accelerator

    settings = TrainingConfig(
        classifier=name,
        settings={},
        imageset="digits",
        seed=0,
        epochs=1000,
        validation=0,
        alpha=alpha,
        layers=(),
        snapshots=(),
        precision=precision,
        device="cpu",
    )
    accelerator, network = make_accelerator("cpu", precision), module.build(config, spec)
    objective = Objective(alpha, config.hidden_layers if alpha else ())
    state = TrainingState(network, objective, config, accelerator)
    training = Training(
        accelerator=accelerator,
        config=settings,
        settings=config,
        images=images,
        fit=torch.arange(N),
        held=torch.arange(0),
        state=state,
    )
    while True:
        train_step(training)
        training.losses.clear()
        yield


def seconds(steps, count):
    """What a step takes, over `count` of them."""
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    return (time.perf_counter() - start) / count


def ratio(rounds, over, under):
    """The median and the range over rounds of how many times as long one loop's steps take as another's."""
    found = [each[over] / each[under] for each in rounds]
    return {"of": over, "to": under, "median": statistics.median(found), "low": min(found), "high": max(found)}


@click.command(help=__doc__)
@click.option("--classifier", "name", default="cnn", show_default=True, help="The network: cnn, mlp or resnet.")
@click.option("--size", default=28, show_default=True, help="Side of the images in pixels.")
@click.option("--channels", default=1, show_default=True, help="1 for grey, 3 for colour.")
@click.option("--batch", default=128, show_default=True, help="Images in a batch.")
@click.option("--rounds", default=9, show_default=True, help="Rounds in which each loop is timed once.")
@click.option("--steps", default=10, show_default=True, help="Steps of a loop in a round.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(name, size, channels, batch, rounds, steps, out):
    """Time the loops in turn and print the ratios."""
    import torch

    from imagesets import ImageSet, Spec
    from lab import machine, registry

    module = registry.load("classifiers", name)
    config = module.Config(batch=batch, augmentation="none")  # the plain loop has none
    spec = Spec(channels, size, tuple("0123456789"), ("train", "test"), {"train": N, "test": 2})
    pixels = torch.randint(0, 256, (N, channels, size, size), dtype=torch.uint8)
    images = ImageSet(pixels, torch.arange(N) % 10)
    loops = {}
    for precision in ("float32", "bf16"):
        loops[f"plain {precision}"] = plain_loop(module, config, spec, images, precision)
        for title, alpha in (("workbench", 0.0), ("with SNNL", ALPHA)):
            loops[f"{title} {precision}"] = workbench_loop(name, module, config, spec, images, precision, alpha)
    for loop in loops.values():
        seconds(loop, 3)
    timed = [{title: seconds(loop, steps) for title, loop in loops.items()} for _ in range(rounds)]
    bf16 = machine.resolve_precision("auto", "cpu") == "bf16"
    layers = ", ".join(config.hidden_layers)
    print(f"{name} {channels} x {size} x {size}, batch {batch}, SNNL of {layers}")
    print(f"{torch.get_num_threads()} threads, bf16 in hardware: {bf16}; medians and ranges of {rounds} rounds")
    paces = {title: batch / statistics.median(each[title] for each in timed) for title in loops}
    for title, pace in paces.items():
        print(f"{title:<18} {pace:8.0f} images/s")
    ratios = [
        ratio(timed, f"{over} {precision}", f"{under} {precision}")
        for precision in ("float32", "bf16")
        for over, under in (("workbench", "plain"), ("with SNNL", "workbench"))
    ]
    for row in ratios:
        spread = f"{row['median']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        print(f"{row['of']:<18} {spread} times the step of {row['to']}")
    if out:
        out.write_text(json.dumps({"classifier": name, "images_per_second": paces, "ratios": ratios}, indent=1))


if __name__ == "__main__":
    main()
