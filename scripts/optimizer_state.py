#!/usr/bin/env python3
"""Turns tilegrad's optimizer.safetensors into what torch.optim.SGD.load_state_dict takes, and back.

    pip install torch safetensors
    python3 scripts/optimizer_state.py optimizer.safetensors optimizer.pt
    python3 scripts/optimizer_state.py optimizer.pt optimizer.safetensors

For the way back PyTorch must know its parameters' names: torch.optim.SGD(model.named_parameters(), ..), torch 2.6 or newer.
How far the run was (step, epoch) and what its schedule remembers (scheduler.best and others, as text) is kept in the .pt file
beside "state" and "param_groups", where PyTorch ignores it.
"""

import json
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

PREFIX, SUFFIX = "state.", ".momentum_buffer"
PROGRESS = ("step", "epoch")
SCHEDULER = "scheduler."


def to_torch(path):
    """The state_dict of a torch.optim.SGD whose parameters come in the order of the file's param_groups."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        buffers = {name[len(PREFIX) : -len(SUFFIX)]: file.get_tensor(name) for name in file.keys()}
    groups, state, number = json.loads(metadata["param_groups"]), {}, 0
    for group in groups:
        names = group.pop("params")
        group["params"] = list(range(number, number + len(names)))
        group["param_names"] = names
        group.update(foreach=None, differentiable=False, fused=None)
        for i, name in zip(group["params"], names):
            if name in buffers:
                state[i] = {"momentum_buffer": buffers[name]}
        number += len(names)
    progress = {key: int(metadata.get(key, 0)) for key in PROGRESS}
    return {"state": state, "param_groups": groups, **progress, **remembered(metadata)}


def remembered(entries):
    """What a schedule remembers, of the entries of either file."""
    return {key: value for key, value in entries.items() if key.startswith(SCHEDULER)}


def from_torch(state_dict, path):
    """Writes the state_dict of a torch.optim.SGD that knows the names of its parameters."""
    keys = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
    buffers, groups = {}, []
    for group in state_dict["param_groups"]:
        if "param_names" not in group:
            sys.exit("the parameters have no names: make the optimizer with SGD(model.named_parameters(), ..)")
        for i, name in zip(group["params"], group["param_names"]):
            buffer = state_dict["state"].get(i, {}).get("momentum_buffer")
            if buffer is not None:
                buffers[f"{PREFIX}{name}{SUFFIX}"] = buffer.float().contiguous()
        groups.append({"params": group["param_names"], **{key: group[key] for key in keys}, "l1": group.get("l1", 0.0)})
    metadata = {key: str(state_dict.get(key, 0)) for key in PROGRESS}
    save_file(buffers, path, {"format": "pt", "param_groups": json.dumps(groups), **metadata, **remembered(state_dict)})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = sys.argv[1:]
    if source.endswith(".safetensors"):
        torch.save(to_torch(source), target)
    else:
        from_torch(torch.load(source), target)
