"""The command that a report names makes the study that it is of."""

import shlex

import pytest

from commands import _options as options
from commands import study
from lab import registry
from lab.config import with_preset
from lab.studying.command import command_of
from lab.studying.plan import study_config

CHANGES = {
    "gan-entanglement": {"gans": ("r3gan",), "seeds": 3, "kimg": 300.0, "imageset": "mnist"},
    "calibration": {"alphas": (-0.5, 0.00658), "seeds": 3},
    "toy": {"seeds": 4},
}


@pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize("name", [entry.name for entry in registry.entries("studies")])
def test_the_command_makes_the_same_study(name, preset):
    module = registry.load("studies", name)
    config = with_preset(module.Config, module.PRESETS, preset, CHANGES.get(name, {}))
    program, group, called, *asked = shlex.split(command_of(name, config))
    assert (program, group, called) == ("snnl", "study", name)
    command = study.command.get_command(None, name)
    values = command.make_context(name, asked).params
    assert study_config(name, values["preset"], options.taken(values, module.Config)) == config


def test_only_what_differs_is_named():
    module = registry.load("studies", "gan-entanglement")
    assert (
        command_of("gan-entanglement", module.Config.parse(module.PRESETS["laptop"])) == "snnl study gan-entanglement"
    )
    changed = with_preset(module.Config, module.PRESETS, "laptop", {"seeds": 3, "kimg": 300.0})
    assert command_of("gan-entanglement", changed) == "snnl study gan-entanglement --seeds 3 --kimg 300"
