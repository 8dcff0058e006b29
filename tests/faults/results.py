"""What a folder of runs comes to, as hashes that must be equal bit for bit however often the work was interrupted."""

import hashlib
import io
import json

TIMED = {"environment.csv", "cells.csv"}
"""Tables of a report that tell when and how long."""


def results(runs):
    """Hashes of all that the finished cells and studies below `runs` hold, by name; and what was left behind."""
    found = {"leftovers": sorted(str(path.relative_to(runs)) for path in runs.rglob(".*"))}
    for done in sorted(runs.glob("cells/*/DONE")):
        found |= {f"{done.parent.name}/{name}": value for name, value in cell_results(done.parent).items()}
    for done in sorted(runs.glob("studies/*/*/DONE")):
        found |= {f"{done.parent.name}/{name}": value for name, value in study_results(done.parent).items()}
    return found


def cell_results(cell):
    """A finished cell: its rows and artifacts, and the weights, averages, optimizers and losses it ended with."""
    checkpoints = sorted(cell.glob("checkpoints/step-*"))[-1:]
    files = [cell / "rows.jsonl", *cell.glob("snapshots/*"), *cell.glob("samples/*"), *cell.glob("*.npz")]
    files += [path for checkpoint in checkpoints for path in checkpoint.iterdir() if path.name != "state.json"]
    found = {str(path.relative_to(cell)): content(path) for path in sorted(files) if path.exists()}
    return found | {"key": json.loads((cell / "config.json").read_text())["key"]}


def study_results(study):
    """A finished study: its table, tables and figures."""
    files = [study / "rows.csv", *study.glob("tables/*.csv"), *study.glob("figures/*.svg")]
    assert (study / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    return {str(path.relative_to(study)): content(path) for path in sorted(files) if path.name not in TIMED}


def content(path):
    """A hash of what a file holds; of archives, of the values in them, in order."""
    digest = hashlib.sha256()
    if path.suffix == ".pt":
        import torch

        _feed(torch.load(path, weights_only=True), digest)
    elif path.suffix == ".npz":
        import numpy as np

        with np.load(path) as arrays:
            _feed(dict(arrays), digest)
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _feed(value, digest):
    import numpy as np
    import torch

    if isinstance(value, dict):
        for name, part in value.items():
            digest.update(repr(name).encode())
            _feed(part, digest)
    elif isinstance(value, list | tuple):
        for part in value:
            _feed(part, digest)
    elif isinstance(value, torch.Tensor):
        buffer = io.BytesIO()
        np.save(buffer, value.numpy().copy(order="C"))
        digest.update(buffer.getvalue())
    elif isinstance(value, np.ndarray):
        digest.update(repr((value.dtype, value.shape)).encode() + value.tobytes())
    else:
        digest.update(repr(value).encode())


def differences(one, other):
    """The names under which two `results` differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
