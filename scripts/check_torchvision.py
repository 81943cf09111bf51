#!/usr/bin/env python3
"""Holds the library's ResNet-18 and VGG-16 against torchvision's, by their state_dicts and logits, both ways.

    pip install torch torchvision safetensors numpy
    python3 scripts/check_torchvision.py
    python3 scripts/check_torchvision.py --models resnet18 --device cpu

tilegrad -> torchvision: a state_dict that the example `logits` has drawn and written must load with strict=True and give
the same logits in eval mode. torchvision -> tilegrad: the same, from torchvision's first values and running statistics of
its own making. Prints the largest difference relative to the largest logit; exit code 1 where that is above 1e-4, or where
a file does not load. Any model of `logits --help` may be named.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
import torchvision
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
IMAGES = {"resnet18": 2}


def run_example(arguments, options):
    """The example's logits for these arguments, which have an --output."""
    command = ["cargo", "run", "--quiet", *options, "--example", "logits", "--", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")
    return load_file(arguments[arguments.index("--output") + 1])["logits"]


def disturb(network):
    """Gives batch norms weights, biases and statistics that a mistake in any of them would show in the logits."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in [
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ]:
                torch.nn.init.uniform_(tensor, low, high)
            module.num_batches_tracked.fill_(7)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)


def torch_logits(network, images):
    with torch.no_grad():
        return network.eval()(images)


def judge(label, ours, theirs):
    if ours.shape != theirs.shape or not (torch.isfinite(ours).all() and torch.isfinite(theirs).all()):
        print(f"FAILED   {label}: logits {list(ours.shape)} and {list(theirs.shape)}, or some are not finite")
        return False
    largest = theirs.abs().max().item()
    difference = (ours - theirs).abs().max().item() / largest
    good = difference <= TOLERANCE
    print(f"{'ok    ' if good else 'FAILED'}   {label}: largest difference {difference:.2e} of the largest logit, {largest:.4g}")
    return good


def check(name, device, options, folder):
    torch.manual_seed(1)
    images = torch.randn(IMAGES.get(name, 1), 3, 224, 224)
    weights, source, output = (folder / f"{part}.safetensors" for part in ("weights", "input", "output"))
    save_file({"input": images}, source)
    shared = ["--model", name, "--device", device, "--input", source, "--output", output]
    good = True

    label = f"{name} on {device}, tilegrad -> torchvision"
    try:
        ours = run_example([*shared, "--save", weights], options)
        network = torchvision.models.get_model(name, weights=None)
        network.load_state_dict(load_file(weights), strict=True)
        good &= judge(label, ours, torch_logits(network, images))
    except RuntimeError as error:  # what load_state_dict says of wrong names and shapes too
        print(f"FAILED   {label}: {error}")
        good = False

    label = f"{name} on {device}, torchvision -> tilegrad"
    try:
        network = torchvision.models.get_model(name, weights=None)
        disturb(network)
        save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, weights)
        good &= judge(label, run_example([*shared, "--weights", weights], options), torch_logits(network, images))
    except RuntimeError as error:
        print(f"FAILED   {label}: {error}")
        good = False
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "vgg16"], metavar="NAME")
    parser.add_argument("--device", default="auto", help="what the example takes (default: auto)")
    parser.add_argument("--dev", action="store_true", help="build the example with the dev profile, not for release")
    args = parser.parse_args()
    options = [] if args.dev else ["--release"]
    with tempfile.TemporaryDirectory() as folder:
        results = [check(name, args.device, options, pathlib.Path(folder)) for name in args.models]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
