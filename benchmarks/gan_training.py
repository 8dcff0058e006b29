"""Images per second of the workbench's adversarial loop against a plain one, side by side in one run.

The plain loop is what tutorials show: float32, a shuffling DataLoader, Adam, contiguous memory, gradients for every
parameter in the generator's step; the networks are the same.

    python benchmarks/gan_training.py
    python benchmarks/gan_training.py --gan wgan-gp --size 16 --width 32 --json out.json
"""

from functools import partial

import _rounds
import click

PLAIN = "plain float32"


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


@click.command(help=__doc__)
@click.option("--gan", "name", default="dcgan", show_default=True, help="GAN of the zoo.")
@click.option("--width", default=64, show_default=True, help="Channels at the widest resolution.")
@_rounds.training_options(32, 5)
def main(name, size, width, batch, rounds, steps, out):
    """Time the loops in turn and print the ratios."""
    from _training import about_the_machine, gan_training, noise, stepping

    spec, images = noise(1, size)
    settings = {"width": width, "batch": batch}
    works = {}
    for precision in ("float32", "bf16"):
        training = gan_training(name, settings, spec, images, precision)
        works[f"workbench {precision}"] = stepping(training)
    works = {PLAIN: partial(next, plain_loop(training.gan, training.config.settings, spec, images)), **works}
    for work in works.values():
        _rounds.seconds(work, 3)
    times = list(_rounds.in_turn(works, rounds, steps))
    print(f"{name} {size} x {size}, width {width}, batch {batch}, {about_the_machine()}")
    figures = {}
    for title in works:
        ratio, pace = _rounds.ratio(times, PLAIN, title), batch / _rounds.median(times, title)
        figures[title] = {"images_per_second": pace, "ratio": ratio}
        print(f"{title:<18} {pace:8.0f} images/s   {_rounds.shown(ratio)} times the plain loop")
    _rounds.write(out, {"gan": name, "size": size, "width": width, "batch": batch, "loops": figures})


if __name__ == "__main__":
    main()
