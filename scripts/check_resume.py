#!/usr/bin/env python3
"""Kills training runs at random moments, lets each go on, and compares the bytes that they end with.

    cargo build --release --example lenet
    python3 scripts/check_resume.py [--times 30] [--seed 1] [--device NAME]

A run of the lenet example that writes a checkpoint every other step is killed (SIGKILL) once at a moment drawn over its whole
length, so that writes are hit too, then resumed. Weights, losses, history without its times, confusion matrix: all must be
those of a run that was left alone. Exit code 1 if one is not.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CRATE = Path(__file__).resolve().parent.parent


def end(folder):
    """What must be the same: the content of the files, without times."""
    files = {name: (folder / name).read_bytes() for name in ["model.safetensors", "losses.csv", "confusion.txt"]}
    lines = (folder / "history.csv").read_text().splitlines()
    # Times stand in the last two columns.
    files["history.csv"] = [line.rsplit(",", 2)[0] for line in lines]
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30, help="how many runs are killed (30)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    parser.add_argument("--device", default="auto", help="as the example's --device")
    parser.add_argument("--epochs", type=int, default=2, help="of each run (2)")
    options = parser.parse_args()
    example = CRATE / "target" / "release" / "examples" / "lenet"
    if not example.exists():
        sys.exit(f"{example} is not there: cargo build --release --example lenet")
    draw = random.Random(options.seed)
    work = Path(tempfile.mkdtemp(prefix="tilegrad-resume-"))
    different = 0
    try:
        command = [str(example), "--epochs", str(options.epochs), "--batch-size", "256", "--device", options.device]
        command += ["--checkpoint-every", "2", "--keep-best"]
        began = time.monotonic()
        subprocess.run([*command, "--out", str(work / "whole")], check=True, stdout=subprocess.DEVNULL)
        length = time.monotonic() - began
        expected = end(work / "whole")
        print(f"a whole run takes {length:.1f} s", flush=True)
        for i in range(options.times):
            out = work / f"killed{i}"
            run = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL)
            after = draw.uniform(0, length)
            time.sleep(after)
            run.send_signal(signal.SIGKILL)
            run.wait()
            checkpoints = sorted((out / "checkpoints").glob("*")) if out.exists() else []
            last = checkpoints[-1].name if checkpoints else "no checkpoint"
            half = sum(path.suffix == ".tmp" for path in checkpoints)
            started = (out / "config.toml").exists()
            again = ["--resume", str(out)] if started else ["--out", str(out)]
            again = [str(example), *again] if started else [*command, *again]
            subprocess.run(again, check=True, stdout=subprocess.DEVNULL)
            same = end(out) == expected
            different += not same
            print(f"{i + 1:>3}: killed after {after:.2f} s ({last}{', a write cut off' if half else ''}): "
                  f"{'the same bytes' if same else 'DIFFERENT'}", flush=True)
            shutil.rmtree(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{options.times - different} of {options.times} ended with the same bytes")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
