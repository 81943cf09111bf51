#!/usr/bin/env python3
"""Writes norm_ops.json: golden values of batch norm, dropout, adaptive pooling, depthwise convolution, sums that fan out and
the activations of the output, from PyTorch on the CPU in float32.

    pip install torch numpy
    python3 tests/golden/norm_ops.py

The file has the form of those that generate.py writes, which says how tensors are stored and streams are named. Attribute
`op` is what was computed, `attributes` with what; tensor x of case c is U(-bound, bound) of stream "norm_ops/c/x".

op batch_norm2d: three steps in training mode on `input0`, `input1` and `input2` of shape `shape`, bound 2, of which the
  numbers at the flat indices `nan` are NaN. Where `affine`, the weight is 1 + `weight` and the bias `bias`, bounds 0.5 and
  1. `output` and the gradients for `grad_output` are the third step's; the buffers start as PyTorch's and end as
  `running_mean`, `running_var` and `num_batches_tracked`.
op batch_norm2d_eval: the same on `input0`, once, in evaluation mode, with buffers `running_mean` and 1.25 + `running_var`,
  both of bound 1.
op dropout: `input`, bound 1, of shape `shape`, in training mode. No mask of PyTorch's is ours, so `kept` is what a kept 1
  becomes, `kept_grad` what becomes of its gradient of 1, `dropped_nan` what a dropped NaN becomes; null where nothing is kept
  or dropped. `eval` is the output for `input` in evaluation mode.
Others: operands `operand0`, `operand1`, .. of `shapes` and bound `bound`, the first with the numbers of `special` in its first
  places; `output`, and the gradients by all operands in `grads` for the gradient `grad_output` of bound 1.
"""

import math

import torch
import torch.nn.functional as F
from generate import check_philox, distance, number, tensor, values, write

NAN, INF = math.nan, math.inf
cases, furthest = [], 0.0


def compare(single, double):
    """Keeps how far float32 is from float64, over what is finite."""
    global furthest
    furthest = max([furthest] + [distance(a, b) for a, b in zip(single, double) if a is not None])


def batch_norm(name, shape, training=True, affine=True, nan=(), **attributes):
    full = f"norm_ops/{name}"
    inputs = [values(f"{full}/input{step}", shape, 2) for step in range(3 if training else 1)]
    for x in inputs:
        x.view(-1)[list(nan)] = NAN

    def run(dtype):
        norm = torch.nn.BatchNorm2d(shape[1], affine=affine, **attributes)
        with torch.no_grad():
            if affine:
                norm.weight.copy_(1 + values(f"{full}/weight", shape[1:2], 0.5))
                norm.bias.copy_(values(f"{full}/bias", shape[1:2], 1))
            if not training:
                norm.running_mean.copy_(values(f"{full}/running_mean", shape[1:2], 1))
                norm.running_var.copy_(1.25 + values(f"{full}/running_var", shape[1:2], 1))
        norm = norm.to(dtype).train(training)
        for x in inputs:
            norm.zero_grad()
            x = x.detach().to(dtype).requires_grad_()
            output = norm(x)
            output.backward(values(f"{full}/grad_output", shape, 1).to(dtype))
        grads = [x.grad] + ([norm.weight.grad, norm.bias.grad] if affine else [])
        return [output, *grads, norm.running_mean, norm.running_var], norm.num_batches_tracked

    (single, tracked), (double, _) = run(torch.float32), run(torch.float64)
    compare(single, double)
    output, *grads, mean, var = single
    case = {
        "name": name, "op": "batch_norm2d" if training else "batch_norm2d_eval", "shape": shape, "affine": affine,
        "nan": list(nan), "attributes": attributes, "output": tensor(output, full),
        "grads": [tensor(g, f"{full}/{i}") for i, g in enumerate(grads)],
    }  # fmt: skip
    if training:
        case |= {"running_mean": tensor(mean, full), "running_var": tensor(var, full)}
        case["num_batches_tracked"] = int(tracked)
    cases.append(case)


def dropout(name, shape, p):
    full = f"norm_ops/{name}"
    torch.manual_seed(1)

    def of(number):
        """What the elements of a large tensor of this number become, with their gradients."""
        x = torch.full((1000,), number, requires_grad=True)
        y = F.dropout(x, p, True)
        y.sum().backward()
        return sorted(zip(y.tolist(), x.grad.tolist()))

    ones, nans = of(1.0), of(NAN)
    kept, kept_grad = ones[-1] if p < 1 else (None, None)
    dropped = [y for y, grad in nans if grad == 0]
    assert len(set(map(str, dropped))) <= 1 and all(pair in ([0, 0], [kept, kept_grad]) for pair in map(list, ones))
    optional = lambda x: None if x is None else number(x)
    cases.append(
        {
            "name": name, "op": "dropout", "shape": shape, "attributes": {"p": p}, "kept": optional(kept),
            "kept_grad": optional(kept_grad), "dropped_nan": optional(dropped[0] if dropped else None),
            "eval": tensor(F.dropout(values(f"{full}/input", shape, 1), p, False), full),
        }  # fmt: skip
    )


def case(name, op, shapes, call, bound=1.0, special=(), **attributes):
    full = f"norm_ops/{name}"
    start = [values(f"{full}/operand{i}", shape, bound) for i, shape in enumerate(shapes)]
    start[0].view(-1)[: len(special)] = torch.tensor(special)

    def run(dtype):
        leaves = [x.detach().to(dtype).requires_grad_() for x in start]
        output = call(*leaves)
        output.backward(values(f"{full}/grad_output", list(output.shape), 1).to(dtype))
        return [output] + [x.grad for x in leaves]

    (output, *grads), exact = run(torch.float32), run(torch.float64)
    compare([output, *grads], exact)
    cases.append(
        {
            "name": name, "op": op, "shapes": shapes, "bound": bound, "attributes": attributes,
            "special": [number(x) for x in special], "output": tensor(output, full),
            "grads": [tensor(g, f"{full}/{i}") for i, g in enumerate(grads)],
        }  # fmt: skip
    )


for affine in (True, False):
    for momentum in (0.1, 0.3, None):
        name = f"batch_norm2d {'affine' if affine else 'plain'}, momentum {momentum}"
        batch_norm(name, [3, 4, 3, 2], affine=affine, momentum=momentum)
batch_norm("batch_norm2d odd channels, eps 0.01", [2, 3, 5, 3], eps=0.01)
batch_norm("batch_norm2d plain, eps 1", [4, 5, 1, 3], affine=False, eps=1.0)
batch_norm("batch_norm2d of one pixel", [6, 3, 1, 1])
batch_norm("batch_norm2d of one image", [1, 4, 5, 7], momentum=0.3)
batch_norm("batch_norm2d many", [8, 8, 9, 9])
batch_norm("batch_norm2d of NaN", [2, 4, 2, 3], nan=[7])
for affine in (True, False):
    batch_norm(f"batch_norm2d_eval {'affine' if affine else 'plain'}", [2, 4, 3, 3], False, affine)
batch_norm("batch_norm2d_eval eps 0.1", [2, 3, 2, 5], False, eps=0.1)
batch_norm("batch_norm2d_eval of NaN", [2, 4, 2, 3], False, nan=[7])

for p in (0.0, 0.2, 0.5, 0.9, 1.0):
    dropout(f"dropout {p}", [2, 5, 4, 3], p)
dropout("dropout of rows", [6, 9], 0.3)

for shape, size in (
    ([2, 3, 7, 5], [3, 2]),
    ([1, 4, 10, 11], [7, 7]),
    ([1, 3, 4, 4], [7, 7]),
    ([2, 4, 7, 5], [1, 1]),
    ([2, 3, 1, 1], [1, 1]),
    ([1, 2, 1, 6], [3, 4]),
    ([1, 3, 13, 3], [13, 2]),
):
    pool = torch.nn.AdaptiveAvgPool2d(size)
    name = f"adaptive_avg_pool2d {shape[2]}x{shape[3]} to {size[0]}x{size[1]}"
    case(name, "adaptive_avg_pool2d", [shape], pool, size=size)
size = [3, 2]
ends = [1.0, NAN, 2.0, 1.0, INF]
case("adaptive_avg_pool2d, ends", "adaptive_avg_pool2d", [[1, 1, 7, 5]], torch.nn.AdaptiveAvgPool2d(size), 1.0, ends, size=size)

for channels, multiplier, kernel, stride, padding, dilation, extent, bias in (
    (4, 1, (3, 3), (2, 2), (1, 1), (1, 1), (8, 7), True),
    (4, 1, (3, 3), (1, 1), (2, 2), (2, 2), (6, 7), False),
    (4, 2, (3, 3), (2, 2), (2, 2), (2, 2), (9, 8), True),
    (3, 2, (3, 2), (1, 2), (2, 1), (2, 1), (6, 5), True),
    (5, 1, (5, 5), (2, 1), (2, 2), (1, 1), (7, 7), True),
    (8, 1, (3, 3), (2, 2), (0, 1), (1, 2), (7, 9), False),
):
    call = lambda *x: F.conv2d(*x, stride=stride, padding=padding, dilation=dilation, groups=channels)
    shapes = [[2, channels, *extent], [channels * multiplier, 1, *kernel]] + [[channels * multiplier]] * bias
    name = f"conv2d {channels}x{multiplier}, kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}"
    given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": channels}
    case(name, "conv2d", shapes, call, **given)

for shape in ([2, 3, 2, 3], [3, 5]):
    case(f"add {len(shape)}", "add", [shape] * 2, torch.add)
case("add, ends", "add", [[1, 8]] * 2, torch.add, 1.0, [NAN, INF, -INF, 0.0])
case("add of itself", "add of itself", [[2, 4, 2, 3]], lambda x: x + x)
case("mul by itself", "mul by itself", [[2, 4, 2, 3]], lambda x: x * x)
block = lambda x, w: F.relu(F.conv2d(x, w, padding=1) + x)
case("residual", "residual", [[2, 4, 5, 4], [4, 4, 3, 3]], block)

ends = [0.0, -0.0, NAN, 200.0, -200.0, 20.0, -20.0, INF, -INF]
for op, call in (("relu", F.relu), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh)):
    case(op, op, [[5, 8]], call, 5.0)
    case(f"{op}, ends", op, [[1, 9]], call, 1.0, ends)


if __name__ == "__main__":
    check_philox()
    write("norm_ops", cases)
    print(f"  furthest tensor from float64: {furthest:.1e}")
