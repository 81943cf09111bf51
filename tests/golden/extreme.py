#!/usr/bin/env python3
"""Writes extreme.json: losses and gradients of logits that are infinite, NaN or huge, from PyTorch on the CPU in float32.

    pip install torch numpy
    python3 tests/golden/extreme.py

A case has its numbers in full: `logits` [rows, classes], `targets`, class weights `weight` or null, `reduction`,
`label_smoothing` and `ignore_index`. `loss` and `grad_logits` are of F.cross_entropy, where there is no label smoothing also of
F.nll_loss of F.log_softmax. Cases are left out where PyTorch's order of dividing overflows and another does not.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from generate import number, write

NAN, INF, HUGE = math.nan, math.inf, 3e38
ROWS = {
    "masked": ([[0, 1, -INF], [2, -INF, 0]], [1, 0]),
    "masked target": ([[0, 1, -INF], [0.5, 2, 1]], [2, 0]),
    "all but one masked": ([[-INF, -INF, 7], [-INF, 0, -INF]], [2, 1]),
    "all masked": ([[-INF, -INF, -INF]], [0]),
    "huge, right": ([[HUGE, -HUGE, 0]], [0]),
    "huge, wrong": ([[HUGE, -HUGE, 0]], [1]),
    "huge, third": ([[HUGE, -HUGE, 0]], [2]),
    "huge, tied": ([[HUGE, HUGE, 0], [-HUGE, 1, -HUGE]], [0, 1]),
    "huge below": ([[-HUGE, -HUGE, -HUGE]], [1]),
    "large, close": ([[1e6, 1e6 + 1, 1e6 - 2], [-3e4, -3e4 - 1, -3e4 + 2]], [0, 2]),
    "a thousand": ([[1000.25, 1000, 999], [128.5, 127.75, 129]], [1, 0]),
    "infinite": ([[INF, 0, 1]], [0]),
    "NaN first": ([[NAN, 0, 1]], [1]),
    "NaN last": ([[2, 0, NAN]], [0]),
    "one row of two ignored": ([[HUGE, -HUGE, 0], [-INF, HUGE, 1]], [0, -100]),
}
WEIGHTS = {"": None, ", weights": [0.5, 2.0, 1.0], ", a weight of 0": [1.5, 0.75, 0.0]}


def case(rows, reduction, weights, smoothing):
    logits, targets = ROWS[rows]
    x = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    target, weight = torch.tensor(targets), None if WEIGHTS[weights] is None else torch.tensor(WEIGHTS[weights])
    loss = F.cross_entropy(x, target, weight, reduction=reduction, label_smoothing=smoothing)
    loss.backward()
    of_each = F.cross_entropy(x.detach(), target, weight, reduction="none", label_smoothing=smoothing)
    counted = [t for t in targets if t >= 0]
    divisor = len(counted) if weight is None else float(sum(weight[t] for t in counted))
    mean = of_each.double().sum() / (divisor if reduction == "mean" else 1)
    if not torch.isclose(mean.float(), loss, rtol=1e-5, atol=0, equal_nan=True):
        print(f"left out: {rows}{weights}, {reduction}, smoothing {smoothing}: {loss.item()}, {mean.item()}")
        return []
    flat = lambda t: [number(v) for v in t.detach().reshape(-1)]
    return [
        {
            "name": f"{rows}, {reduction}{weights}, smoothing {smoothing}",
            "logits": flat(x), "targets": targets, "weight": WEIGHTS[weights], "reduction": reduction,
            "label_smoothing": smoothing, "ignore_index": -100, "loss": number(loss), "grad_logits": flat(x.grad),
        }  # fmt: skip
    ]


if __name__ == "__main__":
    every = itertools.product(ROWS, ("mean", "sum"), WEIGHTS, (0.0, 0.1))
    write("extreme", [made for arguments in every for made in case(*arguments)])
