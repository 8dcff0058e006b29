"""Images per second of the workbench's adversarial loop against a plain one, side by side in one run.

The plain loop is what tutorials show: a shuffling DataLoader, Adam, contiguous memory, gradients for every parameter in
the generator's step, in float32 or under autocast to bf16; the networks and the losses are the same, penalties and all.
It keeps no average of the generator, and draws a batch of noise once for both networks.

    python benchmarks/gan_training.py
    python benchmarks/gan_training.py --gan wgan-gp --size 16 --width 32 --json out.json
"""

from functools import partial

import _rounds
import click

GANS = ("dcgan", "sngan", "r3gan")
PRECISIONS = ("float32", "bf16")
AT_MOST = 1.1
"""How many times the plain loop's time ours may take."""


def plain_loop(gan, config, spec, images, precision, device):
    """A generator of steps of the plain loop."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    generator, discriminator = gan.Generator(config, spec).to(device), gan.Discriminator(config, spec).to(device)
    betas = (config.beta1, config.beta2)
    generator_optimizer = torch.optim.Adam(generator.parameters(), config.learning_rate, betas)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), config.learning_rate, betas)
    data = TensorDataset(images.images.float() / 127.5 - 1)
    cast = partial(torch.autocast, device, torch.bfloat16, enabled=precision == "bf16")
    while True:
        for (real,) in DataLoader(data, config.batch, shuffle=True, drop_last=True):
            real = real.to(device)
            with cast():
                fake = generator(torch.randn(len(real), config.latent, device=device))
                loss, _ = gan.discriminator_loss(discriminator, real, fake.detach(), config)
            discriminator_optimizer.zero_grad()
            loss.backward()
            discriminator_optimizer.step()
            with cast():
                loss, _ = gan.generator_loss(discriminator, fake, real, config)
            generator_optimizer.zero_grad()
            loss.backward()
            generator_optimizer.step()
            yield


@click.command(help=_rounds.help_of(__doc__))
@click.option("--gan", "names", multiple=True, default=GANS, show_default=True, help="GANs of the zoo.")
@click.option("--width", default=64, show_default=True, help="Channels at the widest resolution.")
@_rounds.training_options(32, 5)
def main(names, size, width, batch, rounds, steps, device, out):
    """Time the loops in turn and print the ratios."""
    from _training import about_the_machine

    print(f"{size} x {size}, width {width}, batch {batch}, {about_the_machine(device)}")
    settings = {"width": width, "batch": batch}
    _rounds.table(out, (line for name in names for line in lines(name, size, settings, rounds, steps, device)))


def lines(name, size, settings, rounds, steps, device):
    """A line for each precision: how many times as long a step of ours takes as one of the plain loop."""
    from _training import gan_training, noise, stepping

    spec, images = noise(1, size)
    works = {}
    for precision in PRECISIONS:
        training = gan_training(name, settings, spec, images, precision, device)
        plain = plain_loop(training.gan, training.config.settings, spec, images, precision, device)
        works |= {f"workbench {precision}": stepping(training), f"plain {precision}": partial(next, plain)}
    for work in works.values():
        _rounds.seconds(work, 3)
    times = list(_rounds.in_turn(works, rounds, steps))
    for precision in PRECISIONS:
        ours, theirs = f"workbench {precision}", f"plain {precision}"
        ratio, pace = _rounds.ratio(times, ours, theirs), settings["batch"] / _rounds.median(times, ours)
        work = f"{name} {precision}: {pace:.0f} images/s, {_rounds.shown(ratio)}"
        yield _rounds.row(work, _rounds.median(times, ours), "of the plain time", ratio["median"], at_most=AT_MOST)


if __name__ == "__main__":
    main()
