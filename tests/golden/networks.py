#!/usr/bin/env python3
"""Writes networks.json: golden values of two whole networks with batch norm, from PyTorch on the CPU in float32.

    pip install torch torchvision numpy
    python3 tests/golden/networks.py

The file has the form of those that generate.py writes, which says how tensors are stored and streams are named; here a
tensor of more than 64 elements is stored by its norm, its sum and 64 elements. Case `resnet18 f` is torchvision's with the
stem for 32x32 (a 3x3 convolution of stride 1, no pooling), `vgg11_bn b` the features of torchvision's with one linear layer
called `classifier` behind them; both have 10 classes and learn from 4 images of 3x32x32.

Parameter `name` is `offset` + U(-bound, bound) of stream "networks/c/name", both in attribute `parameters`. The images of
step t are U(-1, 1) of "networks/c/input{t}", their classes below(index, 10) of "networks/c/target{t}".

`logits`, `grads` and `losses`[0] are of the first step in training mode, `running_first` the buffers after its forward pass.
`eval_logits` are those of the same images in evaluation mode at that moment: the buffers have moved, the parameters have
not. Five steps of SGD follow; `losses`, `params` and `running_last` tell where they lead.

The letter in a case's name picks the numbers. With most letters some value lies so close to a ReLU's zero, or to another
maximum of its window, that rounding decides, and one such value turns a gradient by 1e-3 and more: PyTorch itself, with its
kernels for NCHW, with those for NHWC and without oneDNN, then gives three results. With these letters all three agree with
float64 within 1e-4 of each tensor's largest through all five steps (the other letters of ResNet-18: up to 3e-2).
"""

import copy
import math

import generate
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from generate import below, check_philox, distance, number, tensor, values, write

generate.WHOLE = 64
STEPS, BATCH, CLASSES = 5, 4, 10
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}


def resnet18():
    model = torchvision.models.resnet18(num_classes=CLASSES)
    model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = torch.nn.Identity()
    return model


class Vgg11Bn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torchvision.models.vgg11_bn().features
        self.classifier = torch.nn.Linear(512, CLASSES)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def bounds(model):
    """(name, shape, bound, offset) of every parameter, in the order of the network."""
    for path, layer in model.named_modules():
        for name, p in layer.named_parameters(path, recurse=False):
            weight, shape, offset = name.endswith("weight"), list(p.shape), 0.0
            if isinstance(layer, torch.nn.BatchNorm2d):
                # Biases vary as much as what they are added to, so that few of them are small beside their gradient's noise.
                bound, offset = (0.1, 1.0) if weight else (0.5, 0.0)
            elif isinstance(layer, torch.nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
            else:
                # Sixteen times He's by what goes out. Batch norm takes the factor out again, and steps are small beside the
                # weights: with his own, five steps make a thousand times as much of a rounding error that turns one ReLU.
                bound = 16 * math.sqrt(6 / (shape[0] * math.prod(shape[2:]))) if weight else 0.1
            yield name, shape, float(np.float32(bound)), offset


def run(name, model, dtype):
    full = f"networks/{name}"
    with torch.no_grad():
        for p, shape, bound, offset in bounds(model):
            model.get_parameter(p).copy_(values(f"{full}/{p}", shape, bound) + np.float32(offset))
    model = model.to(dtype)
    optimiser = torch.optim.SGD(model.parameters(), **SGD)
    buffers = lambda: {k: v.clone() for k, v in model.named_buffers()}
    out = {"losses": []}
    for step in range(STEPS):
        x = values(f"{full}/input{step}", [BATCH, 3, 32, 32], 1).to(dtype)
        target = torch.from_numpy(below(f"{full}/target{step}", BATCH, CLASSES))
        optimiser.zero_grad()
        logits = model.train()(x)
        loss = F.cross_entropy(logits, target)
        out["losses"].append(loss.item())
        if step == 0:
            out["logits"], out["running_first"] = logits.detach(), buffers()
            with torch.no_grad():
                out["eval_logits"] = copy.deepcopy(model).eval()(x)
        loss.backward()
        if step == 0:
            out["grads"] = {k: p.grad.clone() for k, p in model.named_parameters()}
        optimiser.step()
    out["params"] = {k: p.detach().clone() for k, p in model.named_parameters()}
    out["running_last"] = buffers()
    return out


def stored(full, part, result):
    """The JSON form of one result; counters are whole numbers."""
    if isinstance(result, dict):
        return {k: stored(f"{full}/{part}", k, v) for k, v in result.items()}
    if isinstance(result, list):
        return [number(x) for x in result]
    return tensor(result, f"{full}/{part}") if result.is_floating_point() else int(result)


def main():
    cases = []
    for name, make in (("resnet18 f", resnet18), ("vgg11_bn b", Vgg11Bn)):
        single, double = run(name, make(), torch.float32), run(name, make(), torch.float64)
        parameters = [
            {"name": p, "shape": shape, "bound": number(bound), "offset": offset}
            for p, shape, bound, offset in bounds(make())
        ]
        results = {part: stored(f"networks/{name}", part, result) for part, result in single.items()}
        cases.append({"name": name, "batch": BATCH, **SGD, "parameters": parameters, **results})
        print(f"{name}: losses {' '.join(f'{x:.4f}' for x in single['losses'])}")
        print("  from float64:", " ".join(f"{abs(a / b - 1):.1e}" for a, b in zip(single["losses"], double["losses"])))
        for part in ("logits", "eval_logits"):
            print(f"  {part}: largest {single[part].abs().max():.2f}, {distance(single[part], double[part]):.1e}")
        for part in ("grads", "running_first", "params", "running_last"):
            far = sorted(((distance(v, double[part][k]), k) for k, v in single[part].items()), reverse=True)
            print(f"  {part}:", ", ".join(f"{k} {d:.1e}" for d, k in far[:10]))
    write("networks", cases)


if __name__ == "__main__":
    check_philox()
    main()
