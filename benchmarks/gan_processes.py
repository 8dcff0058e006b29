"""Images per second of several processes that share the machine's threads against one process that has them all.

Both train the same network on the same global batch; they are timed in turn, several rounds, each time in processes of
their own, and the ratio is taken within each round.

    python benchmarks/gan_processes.py
    python benchmarks/gan_processes.py --gan wgan-gp --size 16 --processes 2 --json out.json
"""

import json
import os
import subprocess
import sys

import _rounds
import click


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


def measure(gan, size, width, batch, precision, steps):
    """Time a training in this process, one of those that torchrun started, or the only one; the first prints."""
    from _training import gan_training, noise, stepping

    from lab.processes import rank

    training = gan_training(gan, {"width": width, "batch": batch}, *noise(1, size), precision, "cpu")
    step, together = stepping(training), training.accelerator.wait_for_everyone
    _rounds.seconds(step, 3)
    together()

    def all_steps():
        for _ in range(steps):
            step()
        together()

    taken = _rounds.seconds(all_steps)
    if rank() == 0:
        print(steps * batch / taken, flush=True)
    training.accelerator.end_training()


@click.command(help=_rounds.help_of(__doc__))
@click.option("--gan", "gans", multiple=True, default=("dcgan", "wgan-gp"), show_default=True, help="GANs of the zoo.")
@click.option("--size", default=32, show_default=True, help="Side of the images in pixels.")
@click.option("--width", default=64, show_default=True, help="Channels at the widest resolution.")
@click.option("--batch", default=128, show_default=True, help="Images in the batch of all processes.")
@click.option("--precision", default="float32", show_default=True, help="float32 or bf16.")
@click.option("--processes", default=2, show_default=True, help="Processes to compare with one.")
@_rounds.rounds_option(5)
@click.option("--steps", default=20, show_default=True, help="Steps in a round.")
@_rounds.json_option
@click.option("--measure", "measured", hidden=True)
def main(gans, processes, rounds, out, measured, **settings):
    """Time both in turn and print the ratios."""
    if measured:
        return measure(**json.loads(measured))
    threads, figures = len(os.sched_getaffinity(0)), []
    for gan in gans:
        paces = [
            {count: images_per_second(count, threads, {"gan": gan, **settings}) for count in (1, processes)}
            for _ in range(rounds)
        ]
        one, several = (_rounds.median(paces, count) for count in (1, processes))
        ratio = _rounds.ratio(paces, processes, 1)
        figures.append({"gan": gan, "one": one, "several": several, "ratio": ratio})
        both = f"one process {one:.0f} images/s, {processes} processes {several:.0f}"
        print(f"{gan:<8} {threads} threads: {both}, ratio {_rounds.shown(ratio)}", flush=True)
    _rounds.write(out, {**settings, "processes": processes, "threads": threads, "gans": figures})


if __name__ == "__main__":
    main()
