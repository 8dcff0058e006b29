"""Images per second of the workbench's adversarial loop against a plain one, side by side in one run.

The plain loop is what tutorials show: float32, a shuffling DataLoader, Adam, contiguous memory, gradients for every
parameter in the generator's step; the networks are the same. Both are timed in turn, several rounds, and the ratio
is taken within each round, so that a machine that speeds up or slows down does not decide.

    python benchmarks/gan_training.py
    python benchmarks/gan_training.py --gan wgan-gp --size 16 --width 32 --json out.json
"""

import json
import statistics
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def plain_loop(gan, config, spec, images):
    """A generator of steps of the plain loop."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    generator, discriminator = gan.Generator(config, spec), gan.Discriminator(config, spec)
    betas = (config.beta1, config.beta2)
    generator_optimizer = torch.optim.Adam(generator.parameters(), config.learning_rate, betas)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), config.learning_rate, betas)
    data = TensorDataset(images.images.float() / 127.5 - 1)
    while True:
        for (real,) in DataLoader(data, config.batch, shuffle=True, drop_last=True):
            fake = generator(torch.randn(len(real), config.latent))
            loss, _ = gan.discriminator_loss(discriminator, real, fake.detach(), config)
            discriminator_optimizer.zero_grad()
            loss.backward()
            discriminator_optimizer.step()
            loss, _ = gan.generator_loss(discriminator, fake, real, config)
            generator_optimizer.zero_grad()
            loss.backward()
            generator_optimizer.step()
            yield


def workbench_loop(gan_name, gan, config, spec, images, precision):
    """A generator of steps of the workbench's loop."""
    from accelerate import Accelerator

    from gans._loop import Training, TrainingConfig, train_step
    from gans._state import TrainingState

    accelerator = Accelerator(mixed_precision="no", cpu=True)
    settings = TrainingConfig(
        gan=gan_name, settings={}, imageset="digits", seed=0, kimg=1, snapshots=(), precision=precision, device="cpu"
    )
    state = TrainingState(gan, config, spec, 0, accelerator)
    training = Training(accelerator=accelerator, config=settings, gan=gan, settings=config, images=images, state=state)
    while True:
        train_step(training)
        training.losses.clear()
        yield


def images_per_second(steps, count, batch):
    """The pace of `count` steps."""
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    return count * batch / (time.perf_counter() - start)


def compare(paces, title):
    """The median pace of a loop, and the median and range over rounds of its ratio to the plain one."""
    ratios = [pace[title] / pace["plain float32"] for pace in paces]
    return {
        "images_per_second": statistics.median(pace[title] for pace in paces),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


@click.command(help=__doc__)
@click.option("--gan", "name", default="dcgan", show_default=True, help="GAN of the zoo.")
@click.option("--size", default=32, show_default=True, help="Side of the images in pixels.")
@click.option("--width", default=64, show_default=True, help="Channels at the widest resolution.")
@click.option("--batch", default=128, show_default=True, help="Images in a batch.")
@click.option("--rounds", default=5, show_default=True, help="Rounds in which each loop is timed once.")
@click.option("--steps", default=10, show_default=True, help="Steps of a loop in a round.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(name, size, width, batch, rounds, steps, out):
    """Time the loops in turn and print the ratios."""
    import torch

    from imagesets import ImageSet, Spec
    from lab import machine, registry

    gan = registry.load("gans", name)
    config = gan.Config(width=width, batch=batch)
    spec = Spec(1, size, ("a", "b"), ("train", "test"), {"train": 4096, "test": 2})
    images = ImageSet(torch.randint(0, 256, (4096, 1, size, size), dtype=torch.uint8))
    loops = {"plain float32": plain_loop(gan, config, spec, images)}
    for precision in ("float32", "bf16"):
        loops[f"workbench {precision}"] = workbench_loop(name, gan, config, spec, images, precision)
    for loop in loops.values():
        images_per_second(loop, 3, batch)
    paces = [{title: images_per_second(loop, steps, batch) for title, loop in loops.items()} for _ in range(rounds)]
    bf16 = machine.resolve_precision("auto", "cpu") == "bf16"
    hardware_note = f"{torch.get_num_threads()} threads, bf16 in hardware: {bf16}"
    print(f"{name} {size} x {size}, width {width}, batch {batch}, {hardware_note}")
    figures = {title: compare(paces, title) for title in loops}
    for title, row in figures.items():
        spread = f"[{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
        print(
            f"{title:<18} {row['images_per_second']:8.0f} images/s   {row['ratio']:.2f} {spread} times the plain loop"
        )
    if out:
        out.write_text(
            json.dumps({"gan": name, "size": size, "width": width, "batch": batch, "loops": figures}, indent=1)
        )


if __name__ == "__main__":
    main()
