"""The benchmark of Deep k-nearest neighbours at a size that takes seconds."""

import json
import os
from importlib import import_module
from pathlib import Path

import crepes.base
import faiss
import forks
import torch

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "dknn.py"


def test_it_runs_small_and_finds_what_faiss_finds(tmp_path):
    sizes = ["--bank", "300", "--calibration", "30", "--test", "40", "--rounds", "1"]
    parts = [word for part in ("pipeline", "p-values", "index") for word in ("--only", part)]
    done = forks.run(FILE, [*sizes, *parts, "--json", str(tmp_path / "out.json")], tmp_path, os.environ, 300)
    assert done.returncode == 0, done.stderr
    found = {line["work"]: line for line in json.loads((tmp_path / "out.json").read_text())}
    assert found["neighbours that faiss finds too, the least layer's share"]["value"] > 0.999
    assert "valid p-values, 40 x 10 from 30" in found
    assert found["HNSW32: recall, the least layer's"]["value"] > 0.5 and "exact: predict 40 rows" in found


def test_peers_have_as_many_threads_and_as_many_rounds(monkeypatch):
    monkeypatch.syspath_prepend(str(FILE.parent))
    dknn, threads, asked = import_module("dknn"), faiss.omp_get_max_threads(), []
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    try:
        dknn.faiss_search({"layer": torch.randn(90, dknn.K)}, 80)
        assert faiss.omp_get_max_threads() == threads + 1
    finally:
        faiss.omp_set_num_threads(threads)
    monkeypatch.setattr(crepes.base, "p_values_batch", lambda *scores, smoothing: asked.append(smoothing))
    lines = list(dknn.bench_p_values((0, 20, 30), 3, "cpu"))
    assert asked == [False] * 3 + [True] * 3 and [line["unit"] for line in lines] == ["s", "crepes"] * 2
