"""The report's section for reviewers: versions, hardware, times, seeds and parameter counts, made by itself."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lab.cells.environment import describe
from lab.cells.folder import CellFolder
from lab.config import Config
from lab.pace import duration
from lab.reporting.report import Lines, Section
from lab.reporting.tables import Table, columns

if TYPE_CHECKING:
    import pandas as pd

CITED = """\
@misc{{snnl-workbench,
  author = {{{{The SNNL workbench authors}}}},
  title = {{{title}}},
  note = {{Study {study}, settings and cells {key}, code {commit}}}{year}
}}
@inproceedings{{frosst2019snnl,
  title = {{Analyzing and Improving Representations with the Soft Nearest Neighbor Loss}},
  author = {{Frosst, Nicholas and Papernot, Nicolas and Hinton, Geoffrey}},
  booktitle = {{International Conference on Machine Learning}},
  year = {{2019}}
}}"""
HASH = re.compile(r"[-:](?=[0-9a-f]+$)")
"""What comes before the hash in an image set's fingerprint, which so is none of the keys that a page has names for."""


def section(command: str, name: str, config: Config, table: "pd.DataFrame", cells: list[CellFolder]) -> Section:
    """What a reader needs to judge, repeat and cite the run, that of a study's folder with a name `STUDY/KEY`."""
    text = "Everything here was recorded by the cells as they ran; several values mean that cells differ in it."
    lines = [Lines("The command that makes it:", command), Lines("To cite it:", _cited(name, cells))]
    tables = [_settings(config), _environment(cells), _work(cells), _parameters(table)]
    return Section("How it was made", text, [*lines, *tables])


def of_now(asked: Mapping[str, object]) -> Section:
    """The same of what was made just now and is no cell's: what was asked, by name, and the code and the machine."""
    rows = [[name, value] for name, value in _flat({**asked, **describe({"seed": asked.get("seed")})})]
    caption = "What was compared, code, versions and hardware."
    return Section("How it was made", "", [Table("environment", caption, columns("what", "value"), rows)])


def _cited(name: str, cells: list[CellFolder]) -> str:
    study, _, key = name.rpartition("/")
    facts = [cell.environment for cell in cells]
    versions = {str(fact.get("packages", {}).get("snnl-workbench") or "") for fact in facts} - {""}
    commits = {_commit(fact) for fact in facts} - {""}
    version, commit = (" and ".join(sorted(known)) for known in (versions, commits))
    title = f"SNNL workbench {version}".rstrip()
    year = max((str(fact.get("started", ""))[:4] for fact in facts), default="")
    dated = f",\n  year = {{{year}}}" if year else ""
    return CITED.format(title=title, study=study, key=key, commit=commit or "unknown", year=dated)


def _commit(fact: Mapping[str, object]) -> str:
    commit = str(fact.get("commit") or "")[:12]
    return f"{commit}-dirty" if commit and fact.get("dirty") else commit


def _settings(config: Config) -> Table:
    fields = type(config).model_fields
    rows = [[name, _text(value), fields[name].description or ""] for name, value in config.plain().items()]
    return Table("settings", "The study's settings.", columns("setting", "value", "meaning"), rows)


def _environment(cells: list[CellFolder]) -> Table:
    facts: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        asked = {name: value for name, value in cell.config.items() if name in {"device", "precision"}}
        for name, value in _flat({**asked, **cell.environment}):  # what was `auto` is told by the environment
            facts[name].add(value)
        facts["versions"] |= {f"{name} {version}" for name, version in cell.versions.items()}
        facts["images"] |= {HASH.sub(" ", images) for images in cell.fingerprint.split(";")} - {""}
    own = {"started", "seed"}
    rows = [[name, "; ".join(sorted(values))] for name, values in facts.items() if values and name not in own]
    caption = "Code, versions and hardware; images are those of an image set, with a hash of them."
    return Table("environment", caption, columns("what", "value"), rows)


def _work(cells: list[CellFolder]) -> Table:
    rows = [
        [cell.path.name, _text(cell.config.get("seed")), cell.environment.get("started", ""), cell.seconds]
        for cell in cells
    ]
    total = duration(sum(cell.seconds for cell in cells))
    caption = f"The cells and their run times; {total} in all, summed over the slots."
    return Table("cells", caption, columns("cell", "seed", "started", "seconds"), rows, folded=True)


def _parameters(table: "pd.DataFrame") -> Table:
    """Of each model the metrics `parameters`, or `generator_parameters` and the like."""
    rows = table[table["metric"].str.fullmatch("(.+_)?parameters")]
    counts = {(row.model, row.metric): int(row.value) for row in rows.itertuples()}
    metrics = list(dict.fromkeys(metric for _, metric in counts))
    networks = [metric.removesuffix("parameters").removesuffix("_") or "network" for metric in metrics]
    lines = [
        [model, *(counts.get((model, metric), "-") for metric in metrics)]
        for model in dict.fromkeys(model for model, _ in counts)
    ]
    return Table("parameters", "Trainable parameters.", columns("model", *networks), lines)


def _flat(environment: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    for name, value in environment.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, _text(value)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(str(part) for part in value) or "none" if isinstance(value, list) else str(value)
