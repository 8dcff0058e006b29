"""Decoding a folder of images to a memory map against Pillow alone, side by side in one run; and opening it again.

Pillow alone is a pool of as many processes that open, convert and resize the same files, and neither hash nor keep
anything. Both are timed in turn, several rounds, with all files read once before; the ratio is taken within each
round, so that a machine that speeds up or slows down does not decide.

    python benchmarks/image_folder.py --images cifar10        # e.g. CIFAR-10 as JPEG files, one folder a class
    python benchmarks/image_folder.py                         # JPEG files of smooth noise, made for it
"""

import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
CHUNK = 256


def pillow_alone(files):
    """Open, convert and resize files, and forget them."""
    from PIL import Image

    for file in files:
        with Image.open(file) as image:
            image.convert("RGB").resize((32, 32), Image.Resampling.LANCZOS)


def time_pillow(files, workers):
    """Seconds that a pool of Pillow alone takes."""
    start = time.perf_counter()
    with multiprocessing.Pool(workers) as pool:
        for _ in pool.imap_unordered(pillow_alone, [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]):
            pass
    return time.perf_counter() - start


def time_ours(folder, data):
    """Seconds of the first opening, and of the second one."""
    from imagesets import settle

    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        settle(f"folder:{folder}", data, size=32)
        seconds.append(time.perf_counter() - start)
    return seconds


def peak_memory(folder, data):
    """MiB of resident memory above the import, at the most, of a fresh process and of it and its workers together."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path\n"
        "from lab.imageset import settle; import imagesets._own.sets\n"
        f"print('imported', flush=True); input(); settle({f'folder:{folder}'!r}, Path({str(data)!r}), size=32)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    at_first, peaks, ended = resident(process.pid), [0, 0], threading.Event()

    def watch():
        while not ended.wait(0.01):
            own = resident(process.pid)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            pids = children.read_text().split() if children.exists() else []
            peaks[0] = max(peaks[0], own)
            peaks[1] = max(peaks[1], own + sum(map(resident, pids)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    process.communicate("\n")
    ended.set()
    watcher.join()
    return [peak - at_first for peak in peaks]


def resident(pid):
    """MiB of resident memory of a process; 0 where it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return 0


def some_images(source, count, target):
    """Copy `count` files of a folder, evenly spread, or write files of smooth noise."""
    import numpy as np
    from PIL import Image

    if source is None:
        draw = np.random.default_rng(0)
        for i in range(count):
            path = target / f"class {i % 10}" / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            noise.resize((32, 32), Image.Resampling.BICUBIC).save(path, quality=75)
        return
    found = sorted(path for path in source.rglob("*") if path.suffix in {".jpg", ".png"})
    if len(found) < count:
        raise click.ClickException(f"{source} holds {len(found)} images; {count} are needed.")
    for i in range(count):
        file = found[i * len(found) // count]
        copy = target / file.parent.name / f"{i}{file.suffix}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


@click.command(help=__doc__)
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder to copy from.")
@click.option("--count", default=20000, show_default=True, help="How many images.")
@click.option("--rounds", default=5, show_default=True, help="Rounds in which each is timed once.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(images, count, rounds, out):
    """Time both in turn and print the ratios."""
    import imagesets._own.sets  # noqa: F401 (imported before the clock starts, as Pillow is)
    from lab.machine import cores

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        some_images(images, count, folder)
        files = sorted(map(str, folder.rglob("*.*")))
        for file in files:
            Path(file).read_bytes()
        print(f"{count} images, {cores()} processes", flush=True)
        ratios, again = [], []
        for i in range(rounds):
            plain = time_pillow(files, cores())
            first, second = time_ours(folder, Path(place) / f"data {i}")
            ratios.append(first / plain)
            again.append(second)
            print(f"Pillow {plain:.2f} s, ours {first:.2f} s, ratio {ratios[-1]:.2f}; again {second:.3f} s", flush=True)
        alone, together = peak_memory(folder, Path(place) / "data of memory")
    print(f"ratio {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")
    print(f"second opening {statistics.median(again):.3f} s, at most {max(again):.3f} s")
    print(f"memory above the import: {alone:.0f} MiB, with the workers {together:.0f} MiB")
    if out:
        figures = {
            "count": count,
            "processes": cores(),
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
            "again": statistics.median(again),
            "memory": alone,
            "memory_with_workers": together,
        }
        out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
