"""Decoding a folder of images to a memory map against Pillow alone, side by side in one run; and opening it again.

Pillow alone is a pool of as many processes that open, convert and resize the same files, and neither hash nor keep
anything. All files are read once before.

    python benchmarks/image_folder.py --images cifar10        # e.g. CIFAR-10 as JPEG files, one folder a class
    python benchmarks/image_folder.py                         # JPEG files of smooth noise, made for it
"""

import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
from itertools import count
from pathlib import Path

import _rounds
import click

CHUNK = 256


def pillow_alone(files):
    """Open, convert and resize files, and forget them."""
    from PIL import Image

    for file in files:
        with Image.open(file) as image:
            image.convert("RGB").resize((32, 32), Image.Resampling.LANCZOS)


def pool_of_pillow(files, workers):
    """Work that a pool of Pillow alone does."""

    def work():
        with multiprocessing.Pool(workers) as pool:
            for _ in pool.imap_unordered(pillow_alone, [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]):
                pass

    return work


def openings(folder, place):
    """Work that opens the folder for the first time, with new data each time, and work that opens it again.

    To open it again is to find it unchanged, and to check every byte that was decoded, as loading both splits does.
    """
    from imagesets import settle
    from imagesets._own import chunks
    from imagesets._own.sets import OwnImages

    numbers, data = count(), [place]

    def first():
        data[0] = place / f"data {next(numbers)}"
        settle(f"folder:{folder}", data[0], size=32)

    def again():
        chunks._is_sound.cache_clear()  # as in a process of its own
        own = OwnImages(settle(f"folder:{folder}", data[0], size=32), data[0])
        for name, hashes in own.hashes.items():
            chunks.check(own.folder / name, hashes, 0, (own.folder / name).stat().st_size)

    return first, again


def peak_memory(folder, data):
    """MiB of resident memory above the import, at the most, of a fresh process and of it and its workers together."""
    code = (
        f"import sys; sys.path.insert(0, {str(_rounds.ROOT)!r}); from pathlib import Path\n"
        "from imagesets import settle; import imagesets._own.sets\n"
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


def some_images(source, n, target):
    """Copy `n` files of a folder, evenly spread, or write files of smooth noise."""
    import numpy as np
    from PIL import Image

    if source is None:
        draw = np.random.default_rng(0)
        for i in range(n):
            path = target / f"class {i % 10}" / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            noise.resize((32, 32), Image.Resampling.BICUBIC).save(path, quality=75)
        return
    found = sorted(path for path in source.rglob("*") if path.suffix in {".jpg", ".png"})
    if len(found) < n:
        raise click.ClickException(f"{source} holds {len(found)} images; {n} are needed.")
    for i in range(n):
        file = found[i * len(found) // n]
        copy = target / file.parent.name / f"{i}{file.suffix}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


@click.command(help=_rounds.help_of(__doc__))
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder to copy from.")
@click.option("--count", "n", default=20000, show_default=True, help="How many images.")
@_rounds.rounds_option(5)
@_rounds.json_option
def main(images, n, rounds, out):
    """Time both in turn and print the ratios."""
    import imagesets._own.sets  # noqa: F401 (imported before the clock starts, as Pillow is)
    from lab.machine import cores

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        some_images(images, n, folder)
        files = sorted(map(str, folder.rglob("*.*")))
        for file in files:
            Path(file).read_bytes()
        print(f"{n} images, {cores()} processes", flush=True)
        first, again = openings(folder, Path(place))
        works, times = {"Pillow": pool_of_pillow(files, cores()), "ours": first, "again": again}, []
        for each in _rounds.in_turn(works, rounds):
            times.append(each)
            ratio = f"{each['ours'] / each['Pillow']:.2f}"
            print(
                f"Pillow {each['Pillow']:.2f} s, ours {each['ours']:.2f} s, ratio {ratio}; again {each['again']:.3f} s",
                flush=True,
            )
        alone, together = peak_memory(folder, Path(place) / "data of memory")
    ratio, again = _rounds.ratio(times, "ours", "Pillow"), _rounds.median(times, "again")
    print(f"ratio {_rounds.shown(ratio)}")
    print(f"second opening {again:.3f} s, at most {max(each['again'] for each in times):.3f} s")
    print(f"memory above the import: {alone:.0f} MiB, with the workers {together:.0f} MiB")
    figures = {"ratio": ratio, "again": again, "memory": alone, "memory_with_workers": together}
    _rounds.write(out, {"count": n, "processes": cores(), **figures})


if __name__ == "__main__":
    main()
