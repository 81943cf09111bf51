#!/usr/bin/env python3
"""Runs the same training steps in tilegrad and in its peers, on this machine and in one go, and prints the ratios.

    python3 benches/peers/compare.py                                       # everything that this machine can run
    python3 benches/peers/compare.py --networks lenet5 --steps 50
    python3 benches/peers/compare.py --engines tilegrad candle torch-cpu   # burn takes long to build: leave it out

Each step runs in a process of its own, network by network, so that what else the machine does meets all engines alike.
An engine that is missing here, or lacks a network, is said and skipped. Needs cargo; PyTorch where its engines are wanted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = Path(__file__).resolve().parent
CRATE = PEERS.parent.parent
# The images of a step; the last is for images of 224x224.
BATCHES = {"lenet5": [64, 256], "vgg11": [16, 128], "resnet18": [16, 128], "resnet50_224": [4]}


class Missing(Exception):
    """Why an engine or a network can't be measured here."""


def output(command, environment=None, limit=None):
    """What a program prints, or the last line of what it complains about."""
    try:
        done = subprocess.run(
            command, cwd=CRATE, env=os.environ | (environment or {}), capture_output=True, text=True, timeout=limit
        )
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"took longer than {limit:.0f} s") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        errors = [line for line in lines if "error" in line.lower()]
        raise Missing((errors or lines)[0].removeprefix("error: "))
    return done.stdout


def built(name, folder):
    """The program of a Rust peer."""
    print(f"building {name} ...", file=sys.stderr, flush=True)
    target = Path(folder or PEERS / name / "target")
    manifest = str(PEERS / name / "Cargo.toml")
    output(["cargo", "build", "--release", "--manifest-path", manifest, "--target-dir", str(target)])
    return str(target / "release" / f"{name}-steps")


class Tilegrad:
    def __init__(self, options):
        print("building tilegrad ...", file=sys.stderr, flush=True)
        output(["cargo", "bench", "--bench", "suite", "--no-run"])

    def run(self, network, batch, steps, limit):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result.json"
            arguments = ["steps", "--network", network, "--batch", str(batch), "--json", str(path)]
            arguments += ["--steps", str(steps)]
            output(["cargo", "bench", "--bench", "suite", "--", *arguments], limit=limit)
            report = json.loads(path.read_text())
        if not report["results"]:
            raise Missing(report["skipped"][0]["why"])
        return report["results"][0] | {"engine": f"tilegrad {report['tilegrad']}, {report['device']}"}


class Program:
    """A peer that is a crate: prints one line of JSON for `NETWORK BATCH STEPS`."""

    def __init__(self, name, folder, *arguments):
        self.command = [built(name, folder), *arguments]

    def run(self, network, batch, steps, limit):
        return json.loads(output([*self.command, network, str(batch), str(steps)], limit=limit))


class Torch:
    def __init__(self, *arguments):
        try:
            output([sys.executable, "-c", "import torch, torchvision"])
        except Missing:
            raise Missing(f"{sys.executable} has no torch and torchvision (pip install torch torchvision)") from None
        if "cuda" in arguments:
            test = "import torch, sys; sys.exit(not torch.cuda.is_available())"
            try:
                output([sys.executable, "-c", test])
            except Missing:
                raise Missing("PyTorch finds no CUDA device") from None
        self.arguments = arguments

    def run(self, network, batch, steps, limit):
        command = [sys.executable, str(PEERS / "torch_steps.py"), network, "--batch", str(batch)]
        return json.loads(output([*command, "--steps", str(steps), *self.arguments], limit=limit))


ENGINES = {
    "tilegrad": Tilegrad,
    "burn-wgpu": lambda options: Program("burn", options.burn_target, "wgpu"),
    "candle": lambda options: Program("candle", options.candle_target),
    "torch-cpu": lambda options: Torch(),
    "torch-cuda": lambda options: Torch("--device", "cuda"),
    "torch-cuda-tf32": lambda options: Torch("--device", "cuda", "--tf32"),
    "burn-flex": lambda options: Program("burn", options.burn_target, "flex"),
}
DEFAULT = [name for name in ENGINES if name != "burn-flex"]


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="%(prog)s [options]"
    )
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=DEFAULT, metavar="NAME", help=", ".join(ENGINES))
    parser.add_argument("--networks", nargs="+", choices=BATCHES, default=list(BATCHES), metavar="NAME", help=", ".join(BATCHES))
    parser.add_argument("--batch", nargs="+", type=int, metavar="N", help="images of a step, in place of each network's own")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="how many steps are timed (10)")
    parser.add_argument("--limit", type=float, default=900, metavar="S", help="seconds for one network in one engine (900)")
    parser.add_argument("--burn-target", metavar="DIR", help="where burn's program is built (benches/peers/burn/target)")
    parser.add_argument("--candle-target", metavar="DIR", help="where candle's is (benches/peers/candle/target)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also writes the results to this file")
    options = parser.parse_args()
    if min([options.steps, *(options.batch or [])]) < 1:
        parser.error("--steps and --batch must be at least 1")
    return options


def number(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(results):
    """Step and first step of each engine, and tilegrad's in comparison."""
    for (network, batch), by_engine in results.items():
        print(f"\n{network}, batch {batch}")
        print(f"  {'engine':17} {'step ms':>10} {'ratio':>7} {'first step':>11} {'ratio':>7}")
        own = by_engine.get("tilegrad")
        for engine, result in by_engine.items():
            cells = []
            for key in ["median_ms", "first_ms"]:
                value = result.get(key)
                ratio = f"{own[key] / value:.2f}" if own and own.get(key) and value else "-"
                cells += [number(value), ratio]
            print(f"  {engine:17} {cells[0]:>10} {cells[1]:>7} {cells[2]:>11} {cells[3]:>7}")


def main():
    options = parse()
    engines, said = {}, []

    def skip(what, why):
        said.append(f"{what}: skipped, {why}")
        print(said[-1], file=sys.stderr, flush=True)

    for name in options.engines:
        try:
            engines[name] = ENGINES[name](options)
        except Missing as why:
            skip(name, why)
    results = {}
    for network in options.networks:
        for batch in options.batch or BATCHES[network]:
            for name, engine in engines.items():
                print(f"{network} batch {batch}: {name} ...", file=sys.stderr, flush=True)
                try:
                    result = engine.run(network, batch, options.steps, options.limit)
                except Missing as why:
                    skip(f"{name} {network} batch {batch}", why)
                    continue
                results.setdefault((network, batch), {})[name] = result
    names = {engine: result["engine"] for group in results.values() for engine, result in group.items()}
    for engine, name in names.items():
        print(f"{engine}: {name}")
    print("ratios are tilegrad's time to the engine's: above 1 the engine is faster")
    table(results)
    for line in said:
        print(f"\n{line}" if line is said[0] else line)
    if options.json:
        flat = [result | {"name": engine} for group in results.values() for engine, result in group.items()]
        whole = options.json.with_name(options.json.name + ".tmp")
        whole.write_text(json.dumps({"results": flat, "skipped": said}, indent=2) + "\n")
        whole.replace(options.json)
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
