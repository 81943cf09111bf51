#!/usr/bin/env python3
"""Turns a PyTorch .pth file of weights into a safetensors file that tilegrad loads, or one back.

    pip install torch numpy safetensors
    python3 scripts/pth_to_safetensors.py resnet18.pth resnet18.safetensors
    python3 scripts/pth_to_safetensors.py --reverse model.safetensors model.pth

The .pth file holds a state_dict, or a checkpoint dict that holds one under "state_dict" or "model". Names and types are
kept (num_batches_tracked stays int64); a prefix "module." that all names have, as DataParallel puts it there, is taken
off. Only weights are read: a file that would run code is refused, and so is an entry that is no tensor.
"""

import argparse
import os
import pathlib
import sys

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

HOLDERS = ("state_dict", "model")
PREFIX = "module."


class Refused(Exception):
    """Why a file cannot be converted."""


def state_dict(loaded):
    """The state_dict in what torch.load gave."""
    if not isinstance(loaded, dict):
        raise Refused(f"holds a {type(loaded).__name__}, expected a state_dict or a checkpoint dict")
    for key in HOLDERS:
        if isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not loaded:
        raise Refused("holds no tensor")
    others = [f"{k!r} ({type(v).__name__})" for k, v in loaded.items() if not isinstance(v, torch.Tensor)]
    if others:
        holders = " or ".join(f'"{key}"' for key in HOLDERS)
        raise Refused(f"entries that are no tensors: {', '.join(others)}; a checkpoint's weights stand under {holders}")
    unnamed = [repr(k) for k in loaded if not isinstance(k, str)]
    if unnamed:
        raise Refused(f"entries whose names are no text: {', '.join(unnamed)}")
    if all(name.startswith(PREFIX) for name in loaded):
        loaded = {name.removeprefix(PREFIX): tensor for name, tensor in loaded.items()}
    return loaded


def read_pth(source):
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way at all
        # torch's own words go on to advise loading the file without weights_only, which would run its code.
        reason = type(error).__name__
        raise Refused(f"is damaged, no .pth file, or holds more than weights (a whole model, say): {reason}") from None
    # Clones: safetensors refuses tensors that share memory, and views need not be contiguous.
    return {k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in state_dict(loaded).items()}


def read_safetensors(source):
    try:
        return load_file(source, device="cpu")
    except SafetensorError as error:
        raise Refused(f"is no safetensors file: {error}") from None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, help="the file to read")
    parser.add_argument("target", type=pathlib.Path, help="the file to write; one that exists is replaced")
    parser.add_argument("--reverse", action="store_true", help="from safetensors to .pth")
    args = parser.parse_args()
    try:
        tensors = (read_safetensors if args.reverse else read_pth)(args.source)
    except Refused as error:
        sys.exit(f"error: {args.source}: {error}")
    except OSError as error:
        sys.exit(f"error: {args.source}: {error.strerror or error}")
    # Under another name first, so that a failure leaves no half of a file.
    unfinished = args.target.with_name(f"{args.target.name}.{os.getpid()}.part")
    try:
        if args.reverse:
            torch.save(tensors, unfinished)
        else:
            save_file(tensors, unfinished, metadata={"format": "pt"})
        unfinished.replace(args.target)
    except (OSError, RuntimeError, SafetensorError) as error:
        sys.exit(f"error: {args.target}: {error}")
    finally:
        unfinished.unlink(missing_ok=True)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(f"{args.target}: {len(tensors)} tensors, {numbers} numbers")


if __name__ == "__main__":
    main()
