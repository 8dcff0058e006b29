"""Run a study and draw its report; alone: list them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from commands import _options as options
from commands import _paths as paths
from commands._entries import entry_group, help_of, print_entries
from commands._printing import print_json, print_result, takes, tell
from commands._queue import asking, print_queued
from imagesets import SOURCES, data_root, titles
from lab import machine, registry
from lab.cells import layout
from lab.errors import UsageError, say
from lab.pace import duration
from lab.running import timing
from lab.running.place import Place
from lab.studying.plan import Plan, plan_study, study_config
from lab.studying.study import queue_study, run_study
from studies._config import ImageStudy, TrainingStudy

Local = dict[str, Any]
OF_SETTINGS = "JSON file of settings, as tune writes, or the config.json of a study's folder; options win."
SLOW = (
    "This processor does not compute in bf16, in which the published cells were trained: it sums in float32 and "
    "rounds, which takes longer than a first guess knows. The published cells need no run (--published)."
)


def _make(name: str) -> click.Command:
    module = registry.load("studies", name)
    reads = issubclass(module.Config, ImageStudy)
    presets = click.Choice(list(module.PRESETS))

    @click.command(name, help=help_of("studies", name))
    @click.option("--preset", type=presets, default="laptop", help="Settings for seconds, minutes, or a paper's scale.")
    @click.option("--config", "file", type=paths.A_FILE, help=OF_SETTINGS)
    @options.of(module.Config)
    @options.jobs
    @options.executing("slots")
    @options.detach
    @options.formats
    @click.option("--published", is_flag=True, help="Take finished cells that ship in results/ as done.")
    @click.option("--dry-run", is_flag=True, help="List the cells and a guess of the time; decode own images, no more.")
    @(options.training if reads else options.together())
    @options.runs
    @options.json
    def command(
        detach: bool, formats: tuple[str, ...], published: bool, dry_run: bool, runs: Path, as_json: bool, **values: Any
    ) -> None:
        place = options.place_of(values, detach)
        plan, local = _plan(name, runs, published, **values)
        if not place.queues and _is_slow(plan):
            say(SLOW)
        if dry_run:
            return _print_plan(plan, place, as_json)
        if detach and plan.to_do:
            outcome = queue_study(plan, local=local, place=place)
            return print_queued(plan.study, plan.folder, outcome, as_json)
        done = f"All {len(plan.cells)} cells are done; drawing the report." if plan.cells else "Drawing the report."
        say(_outlook(plan, place) if plan.to_do else done)
        with asking(place, lambda: [layout.cell(runs, cell.folder_name) for cell in plan.to_do]):
            result = run_study(plan, local=local, place=place, formats=formats)
        print_result(result, as_json)

    return command


def _plan(name: str, runs: Path, published: bool, preset: str, file: Path | None, **values: Any) -> tuple[Plan, Local]:
    """The cells, for which a user's own images are decoded, and what the cells' folders say beside."""
    given = options.taken(values, registry.load("studies", name).Config)
    config, data = study_config(name, preset, given, file), data_root(None)
    local: Local = {}
    if isinstance(config, ImageStudy):
        data, local, settle = options.training_place(**values)
        own = [images for images in config.images if images.startswith(SOURCES)]
        if values["title"] and len(own) > 1:
            raise UsageError(f"--name is for one folder or archive; these are {len(own)}: leave it out.")
        config = config.settled(settle).fitted(data, say)
    names = titles(config.images, data) if isinstance(config, ImageStudy) else {}
    return replace(plan_study(name, config, data, runs, published=published), names=names), local


def _is_slow(plan: Plan) -> bool:
    """Whether cells are to do in an arithmetic that this processor has not."""
    config = plan.config
    if not plan.to_do or not isinstance(config, TrainingStudy):
        return False
    return machine.imitates_bf16(config.precision, machine.resolve_device(config.device))


def _outlook(plan: Plan, place: Place) -> str:
    slots, left = plan.slots_at(place), len(plan.to_do)
    if not left:
        return f"0 of {len(plan.cells)} cells to do."
    hint = f" {len(plan.published)} of them ship in results/: --published takes those." if plan.published else ""
    if place.queues:
        time = takes(plan.to_do, 1, plan.runs)
        return f"{left} of {len(plan.cells)} cells to do, by {place.executor}; one after the other, {time}.{hint}"
    time = takes(plan.to_do, slots, plan.runs)
    return f"{left} of {len(plan.cells)} cells to do, {min(slots, left)} side by side, {time}.{hint}"


def _print_plan(plan: Plan, place: Place, as_json: bool) -> None:
    known = timing.read(plan.runs)
    for planned in plan.cells:
        cost = f"~{duration(known.seconds(planned.cell))}" if planned.state == "to do" else ""
        tell(f"{planned.state:<9}  {planned.cell.folder_name}  {cost}".rstrip())
    tell(_outlook(plan, place))
    cells = [{"cell": planned.cell.folder_name, "state": planned.state} for planned in plan.cells]
    seconds = round(known.estimate(plan.to_do, plan.slots_at(place)))
    print_json({"study": plan.study, "cells": cells, "seconds": seconds}, as_json)


def _list() -> None:
    if not click.get_current_context().invoked_subcommand:
        print_entries("studies")


command = entry_group("study", "studies", _make, help=__doc__, invoke_without_command=True, callback=_list)
