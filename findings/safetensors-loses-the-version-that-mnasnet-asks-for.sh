#!/usr/bin/env bash
# torchvision 0.29.1, safetensors 0.8.0, torch 2.14.1: a network that does not take its own weights back.
#
# Guess: a state dict is its tensors. What `model.state_dict()` gives loads into the same model again, whether it went
#        through torch.save, through safetensors' `save_model` and `load_model`, or through a plain dict.
# Seen:  torchvision's MNASNet does not. A state dict has a hidden attribute, `_metadata`, with the
#        version of each module's format. Most modules take its absence for an old format and go on; MNASNet raises a
#        ValueError ("version should be set to 1 or 2 instead of None"). Any copy of the dictionary loses it, and a
#        .safetensors does not keep it.
#
# So code that loads tensors of a file, renames some, or drops some, gives the new dictionary the network's own
# `state_dict()._metadata` before it loads it.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "safetensors==0.8.0" "numpy==2.4.1" \
  2>/dev/null
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchvision
from safetensors.torch import load_model, save_model

names = ["mnasnet0_5", "resnet18", "densenet121", "shufflenet_v2_x0_5"]


def outcome(load, *args):
    try:
        load(*args)
    except ValueError as error:
        return f"ValueError: {error}"
    return "loaded"


seen = {}
for name in names:
    network = torchvision.models.get_model(name, weights=None)
    torch.save(network.state_dict(), "whole.pth")
    save_model(network, "whole.safetensors")
    seen[name] = {
        "torch.save": outcome(network.load_state_dict, torch.load("whole.pth", weights_only=True)),
        "a copy of the dictionary": outcome(network.load_state_dict, dict(network.state_dict())),
        "safetensors": outcome(load_model, network, "whole.safetensors"),
    }
    for way, found in seen[name].items():
        print(f"{name:20} {way:26} {found}")
refused = {way: [name for name in names if seen[name][way] != "loaded"] for way in seen[names[0]]}
as_described = refused == {"torch.save": [], "a copy of the dictionary": names[:1], "safetensors": names[:1]}
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
