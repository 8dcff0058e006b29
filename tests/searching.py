"""A search for the top of a parabola, whose cells are done in no time; for tests that use `importable`."""

from pathlib import Path

from making import made
from pydantic import Field

from lab.config import Config
from lab.running.place import Place
from lab.studying import search
from lab.studying.space import Choice, Range, Searchable

LOCAL = {"data": "data", "download": False}


class Settings(Config):
    """Of a parabola."""

    peak: float = Field(0.05, description="where the score is highest")
    seeds: int = Field(1, description="cells of a trial")


def space(config):
    return {"x": Range(1e-3, 1.0, sign=-1), "kind": Choice(("good", "bad"))}


def cells(config, values, data):
    return [
        made("parabola", f"parabola-{seed}", {"peak": config.peak, "seed": seed, **values}, data="one")
        for seed in range(config.seeds)
    ]


def score(done):
    return sum(cell.rows()[-1]["value"] for cell in done) / len(done)


def preset(config, values):
    return {"alphas": [values["x"]]}


PARABOLA = Searchable(Settings, space, cells, score, preset)


def run(runs, trials=6, jobs=1, config=None, searchable=PARABOLA, study="parabola", folder=None, **more):
    places = {"runs": runs, "data": Path("data"), "folder": folder, "place": Place(jobs=jobs)}
    searching = search.plan_search(study, searchable, config or Settings(), **places)
    return search.search(searching, trials=trials, local=LOCAL, **more)
