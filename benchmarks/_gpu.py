"""What `gpu.sh` needs beside the benchmarks: what is missing here, and a table of what they have found.

_gpu.py missing            prints in one line what is missing, and ends with 2, if anything is
_gpu.py table FILE ...     prints the figures of files that `--json` has written, as in docs/engine.md
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("accelerate", "click", "crepes", "faiss", "hypothesis", "pydantic", "pytest", "pytorch_metric_learning")
PACKAGES += ("sklearn", "torch")


def missing():
    """What is missing, or nothing."""
    lacking = [name for name in PACKAGES if find_spec(name) is None]
    if lacking:
        return f"{sys.executable} lacks {', '.join(lacking)}: pip install -e '.[dev]'."
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA: install a build with it, see pytorch.org."
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA GPU here: `nvidia-smi` tells whether there is a driver."
    return ""


def table(files):
    """The lines of a table, with the card's name above it; a file that is not there is a step that failed."""
    import torch

    yield f"{torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'}, torch {torch.__version__}:"
    yield ""
    yield "| work | seconds | ratio | bound |"
    yield "| --- | --- | --- | --- |"
    for file in files:
        if Path(file).exists():
            found = json.loads(Path(file).read_text())
            yield from lines_of_rows(found) if isinstance(found, list) else lines_of_ratios(found)


def lines_of_rows(rows):
    """A line for each of what `_rounds.table` keeps."""
    for row in rows:
        bound = next((f"{word} {row[key]:g}" for word, key in BOUNDS if row[key] is not None), "")
        seconds = f"{row['seconds']:.4g}" if row["seconds"] else ""
        yield f"| {row['work']} | {seconds} | {row['value']:.3g} {row['unit']} | {bound} |"


BOUNDS = (("at most", "at_most"), ("at least", "at_least"))


def lines_of_ratios(found):
    """A line for each ratio of the benchmark of classifiers."""
    for ratio in found["ratios"]:
        pace = found["images_per_second"][ratio["of"]]
        work = f"{found['classifier']}, {ratio['of']}: {pace:.0f} images/s"
        yield f"| {work} | | {ratio['median']:.3g} of the time of {ratio['to']} | |"


if __name__ == "__main__":
    if sys.argv[1] == "table":
        print("\n".join(table(sys.argv[2:])))
    elif text := missing():
        print(text)
        sys.exit(2)
