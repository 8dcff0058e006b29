"""Images per second of several processes that share the machine's threads against one process that has them all.

Both train the same network on the same global batch; they are timed in turn, several rounds, each time in processes of
their own, and the ratio is taken within each round.

    python benchmarks/gan_processes.py
    python benchmarks/gan_processes.py --gan wgan-gp --size 16 --processes 2 --json out.json
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def images_per_second(processes, threads, settings):
    """The pace of so many processes with so many threads between them."""
    share = str(max(1, threads // processes))
    environment = {**os.environ, "OMP_NUM_THREADS": share, "MKL_NUM_THREADS": share}
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *start, __file__, "--measure", json.dumps(settings)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return float(done.stdout.split()[-1])


def measure(settings):
    """Time a training in this process, one of those that torchrun started, or the only one; the first prints."""
    from gans._loop import Training, TrainingConfig, train_step
    from gans._state import TrainingState
    from imagesets import ImageSet, Spec
    from lab import registry
    from lab.processes import rank
    from lab.training.draws import random_generator
    from lab.training.frame import make_accelerator

    gan, size = registry.load("gans", settings["gan"]), settings["size"]
    recipe = gan.Config(width=settings["width"], batch=settings["batch"])
    import torch

    spec = Spec(1, size, ("a", "b"), ("train", "test"), {"train": 4096, "test": 2})
    pixels = torch.randint(0, 256, (4096, 1, size, size), dtype=torch.uint8, generator=random_generator(0))
    config = TrainingConfig(
        gan=settings["gan"],
        settings={},
        imageset="digits",
        seed=0,
        kimg=1,
        snapshots=(),
        device="cpu",
        precision=settings["precision"],
    )
    accelerator = make_accelerator("cpu")
    state = TrainingState(gan, recipe, spec, 0, accelerator)
    training = Training(
        accelerator=accelerator, config=config, gan=gan, settings=recipe, images=ImageSet(pixels), state=state
    )
    for step in range(3 + settings["steps"]):
        if step == 3:  # the first steps warm up
            accelerator.wait_for_everyone()
            start = time.perf_counter()
        train_step(training)
    accelerator.wait_for_everyone()
    if rank() == 0:
        print(settings["steps"] * settings["batch"] / (time.perf_counter() - start), flush=True)
    accelerator.end_training()


@click.command(help=__doc__)
@click.option("--gan", "gans", multiple=True, default=("dcgan", "wgan-gp"), show_default=True, help="GANs of the zoo.")
@click.option("--size", default=32, show_default=True, help="Side of the images in pixels.")
@click.option("--width", default=64, show_default=True, help="Channels at the widest resolution.")
@click.option("--batch", default=128, show_default=True, help="Images in the batch of all processes.")
@click.option("--precision", default="float32", show_default=True, help="float32 or bf16.")
@click.option("--processes", default=2, show_default=True, help="Processes to compare with one.")
@click.option("--rounds", default=5, show_default=True, help="Rounds in which each is timed once.")
@click.option("--steps", default=20, show_default=True, help="Steps in a round.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
@click.option("--measure", "measured", hidden=True)
def main(gans, processes, rounds, out, measured, **settings):
    """Time both in turn and print the ratios."""
    if measured:
        return measure(json.loads(measured))
    threads, lines = len(os.sched_getaffinity(0)), []
    for gan in gans:
        paces = [
            [images_per_second(count, threads, {"gan": gan, **settings}) for count in (1, processes)]
            for _ in range(rounds)
        ]
        ratios = [several / one for one, several in paces]
        one, several = (statistics.median(column) for column in zip(*paces, strict=True))
        lines.append({"gan": gan, "one": one, "several": several, "ratio": statistics.median(ratios), "all": ratios})
        print(
            f"{gan:<8} {threads} threads: one process {one:.0f} images/s, {processes} processes {several:.0f}, "
            f"ratio {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]",
            flush=True,
        )
    if out:
        out.write_text(json.dumps({**settings, "processes": processes, "threads": threads, "gans": lines}, indent=1))


if __name__ == "__main__":
    main()
