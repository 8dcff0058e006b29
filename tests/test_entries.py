"""What every entry has, of whatever kind: a name, a first line, a version, settings that make options of their own."""

import re
from collections import Counter
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location

import click
import pytest
import torch
from digests import VERSIONED, settings

from lab import registry

ENTRIES = [(kind, entry.name) for kind in registry.KINDS for entry in registry.entries(kind)]
TRAINED = ("classifiers", "gans")


def of(*kinds):
    """A test of each entry of some kinds, which is named `gans/dcgan`."""
    chosen = [(kind, name) for kind, name in ENTRIES if kind in kinds]
    return pytest.mark.parametrize("kind, name", chosen, ids=["/".join(one) for one in chosen])


def command_of(kind, name):
    """The command that is made from the settings of an entry."""
    group = import_module("commands.study" if kind == "studies" else f"commands.{registry.KINDS[kind]}").command
    context = click.Context(group)
    train = group if kind == "studies" else group.get_command(context, "train")
    return train.get_command(context, name)


@of(*registry.KINDS)
def test_it_has_one_file_whose_name_a_command_takes(kind, name):
    stem = name.replace("-", "_")
    files = [*registry.folder_of(kind).glob(f"{stem}.py"), *registry.folder_of(kind).glob(f"{stem}/__init__.py")]
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", stem), f"{stem}.py: small letters, digits and single _ alone"
    assert len(files) == 1, f"{stem}.py, with _ and not -, and no folder of that name beside it"


@of(*registry.KINDS)
def test_its_docstring_begins_with_a_summary(kind, name):
    entry = next(entry for entry in registry.entries(kind) if entry.name == name)
    assert entry.doc.strip(), f"{kind}/{name} does not parse, or has no docstring, whose first line is shown in lists"


@of(*VERSIONED)
def test_it_has_a_version(kind, name):
    assert registry.version(f"{kind}/{name}") >= 1


@of(*VERSIONED, "studies")
def test_its_settings_are_described_and_can_be_kept(kind, name):
    """A default that can be changed would be that of all; and a dict or a list is no option."""
    fields = settings(kind, name).model_fields
    bare = [field for field, about in fields.items() if not about.description]
    assert not bare, f"{kind}/{name}: without a description: {bare}"
    open_ = [field for field, about in fields.items() if isinstance(about.default, list | dict | set)]
    assert not open_, f"{kind}/{name}: not a tuple, as a default is: {open_}"


@of("attacks", "classifiers", "gans")
def test_its_settings_all_have_defaults(kind, name):
    needed = [field for field, about in settings(kind, name).model_fields.items() if about.is_required()]
    assert not needed, f"{kind}/{name}: without a default: {needed}"


@of(*TRAINED, "studies")
def test_no_setting_is_called_like_another_option(kind, name):
    options = [option for option in command_of(kind, name).params if isinstance(option, click.Option)]
    words = Counter(word for one in options for word in {one.name, *one.opts, *one.secondary_opts})
    twice = [word for word, times in words.items() if times > 1]
    assert not twice, f"{kind}/{name}: other options have these names: {twice}"


@of("attacks", "classifiers", "gans")
def test_importing_it_draws_no_random_numbers(kind, name):
    """They would be others than the seed's."""
    path = registry.source(f"{kind}/{name}")
    spec = spec_from_file_location(f"{kind}.{path.stem}_anew", path)
    before = torch.get_rng_state()
    spec.loader.exec_module(module_from_spec(spec))
    assert torch.equal(torch.get_rng_state(), before), f"{kind}/{name} draws as it is imported"


@of("executors")
def test_an_executor_has_what_studies_ask_it_for(kind, name):
    executor = registry.load(kind, name).Executor
    missing = [part for part in ("submit", "close", "queues", "waiting") if not hasattr(executor, part)]
    assert not missing, f"{kind}/{name}: Executor lacks {missing}"
