#!/usr/bin/env python3
"""The training steps of tilegrad's benchmark in PyTorch, on the CPU or on CUDA.

    pip install torch torchvision
    python3 benches/peers/torch_steps.py lenet5 vgg11 resnet18 --batch 16
    python3 benches/peers/torch_steps.py resnet50_224 --batch 4 --device cuda --tf32

A step is forward, cross-entropy, backward, and SGD with momentum 0.9 and weight decay 5e-4. Prints a line of JSON a network:
the first step, which includes what is made once, and the median of the others in ms. Images stay on the device. TF32 is off unless `--tf32` is given;
`--f16` runs the step under autocast.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


def lenet5():
    features = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
    )
    head = nn.Sequential(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    return nn.Sequential(features, nn.Flatten(), head), [1, 28, 28]


def vgg11():
    return nn.Sequential(torchvision.models.vgg11().features, nn.Flatten(), nn.Linear(512, 10)), [3, 32, 32]


def resnet18():
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return model, [3, 32, 32]


def resnet50_224():
    return torchvision.models.resnet50(), [3, 224, 224]


NETWORKS = {"lenet5": lenet5, "vgg11": vgg11, "resnet18": resnet18, "resnet50_224": resnet50_224}


def times(model, shape, batch, steps, device, half):
    model = model.to(device).train()
    images = torch.rand(batch, *shape, device=device)
    labels = torch.arange(batch, device=device) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    scaler = torch.amp.GradScaler(device, enabled=half)
    for _ in range(steps + 1):
        began = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device, dtype=torch.float16, enabled=half):
            loss = F.cross_entropy(model(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if device == "cuda":
            torch.cuda.synchronize()
        yield (time.perf_counter() - began) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="network", help=f"of {', '.join(NETWORKS)}; all without any")
    parser.add_argument("--batch", type=int, default=64, help="images of a step")
    parser.add_argument("--steps", type=int, default=20, help="how many steps are timed")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--tf32", action="store_true", help="lets CUDA round products to TF32")
    parser.add_argument("--f16", action="store_true", help="runs under autocast to half precision, its loss scaled")
    options = parser.parse_args()
    if unknown := set(options.networks) - set(NETWORKS):
        parser.error(f"no network is called {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    if min(options.batch, options.steps) < 1:
        parser.error("--batch and --steps must be at least 1")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.tf32
    where = f"CPU, {torch.get_num_threads()} threads"
    if options.device == "cuda":
        where = f"{torch.cuda.get_device_name()}, TF32 {'on' if options.tf32 else 'off'}"
    if options.f16:
        where += ", autocast to f16"
    for name in options.networks or NETWORKS:
        model, shape = NETWORKS[name]()
        first, *others = times(model, shape, options.batch, options.steps, options.device, options.f16)
        result = {"engine": f"PyTorch {torch.__version__}, {where}", "network": name, "batch": options.batch}
        result |= {"steps": options.steps, "first_ms": first, "median_ms": statistics.median(others), "min_ms": min(others)}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
