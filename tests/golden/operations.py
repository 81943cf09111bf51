#!/usr/bin/env python3
"""Writes operations.json: golden values of the operations beside convolution and pooling, from PyTorch on the CPU in float32.

    pip install torch numpy
    python3 tests/golden/operations.py

The file has the form of those that generate.py writes, which says how tensors are stored and streams are named. Attribute
`op` is the operation, `attributes` what it was given, `shapes` the shapes of its operands. Operand i is
Init::Uniform(bound).values(1, "operations/c/operand{i}", len) with attribute `bound`; the numbers of `special`, where there
are any, then take the first places of operand 0. The gradient of the output is U(-1, 1) of stream "operations/c/grad_output".
The class weights of nll_loss are 1 + U(-0.75, 0.75) of stream "operations/c/weight" where `weighted`; its targets are stored.
`grads` has the gradient by each operand.
"""

import math

import torch
import torch.nn.functional as F
from generate import below, distance, number, tensor, values, write

NAN, INF = math.nan, math.inf
cases, furthest = [], 0.0


def case(name, op, shapes, call, bound=1.0, special=(), targets=None, weighted=False, **attributes):
    global furthest
    full = f"operations/{name}"
    start = [values(f"{full}/operand{i}", shape, bound) for i, shape in enumerate(shapes)]
    start[0].view(-1)[: len(special)] = torch.tensor(special)

    def run(dtype):
        leaves = [x.detach().to(dtype).requires_grad_() for x in start]
        output = call(*leaves)
        # What PyTorch makes a number without dims has one here.
        output = output.reshape(1) if output.dim() == 0 else output
        output.backward(values(f"{full}/grad_output", list(output.shape), 1).to(dtype))
        return [output] + [x.grad for x in leaves]

    (output, *grads), exact = run(torch.float32), run(torch.float64)
    furthest = max([furthest] + [distance(a, b) for a, b in zip([output, *grads], exact)])
    extra = {"special": [number(x) for x in special]} if special else {}
    if targets is not None:
        extra |= {"targets": targets.reshape(-1).tolist(), "weighted": weighted}
    cases.append(
        {
            "name": name, "op": op, "shapes": shapes, "bound": bound, "attributes": attributes, **extra,
            "output": tensor(output, full), "grads": [tensor(g, f"{full}/{i}") for i, g in enumerate(grads)],
        }  # fmt: skip
    )


for shape in [[2, 3, 2, 3], [3, 4]]:
    case(f"mul {len(shape)}", "mul", [shape] * 2, torch.mul)
    case(f"sub {len(shape)}", "sub", [shape] * 2, torch.sub)
case("scale", "scale", [[2, 7]], lambda x: x * -1.75, factor=-1.75)

# gelu's plain form is NaN at infinity in some builds of PyTorch, though the formula is not; so its infinities are left out.
# Large numbers have cases of their own, since what a test allows is a part of the largest.
ends = [0.0, -0.0, NAN, 200.0, -200.0, 20.0, -20.0]
for slope in (0.01, 0.0, 1.5, -0.5):
    call = lambda x: F.leaky_relu(x, slope)
    special = ends + [INF] + [-INF] * (slope != 0)
    case(f"leaky_relu {slope}", "leaky_relu", [[3, 5]], call, negative_slope=slope)
    case(f"leaky_relu {slope}, ends", "leaky_relu", [[1, 9]], call, 4.0, special, negative_slope=slope)
for approximate in ("none", "tanh"):
    special = ends + ([INF, -INF] if approximate == "tanh" else [-INF])
    call = lambda x: F.gelu(x, approximate=approximate)
    case(f"gelu {approximate}", "gelu", [[5, 8]], call, 5.0, approximate=approximate)
    case(f"gelu {approximate}, ends", "gelu", [[1, 9]], call, 1.0, special, approximate=approximate)
case("silu", "silu", [[5, 8]], F.silu, 5.0)
case("silu, ends", "silu", [[1, 9]], F.silu, 1.0, ends + [INF, -INF])

cat = lambda *xs: torch.cat(xs, 1)
case("concat images", "concat", [[2, 3, 1, 3], [2, 1, 1, 3], [2, 2, 1, 3]], cat)
case("concat by fours", "concat", [[2, 4, 1, 3], [2, 8, 1, 3]], cat)
case("concat features", "concat", [[3, 2], [3, 5]], cat)
case("narrow images", "narrow", [[2, 6, 2, 3]], lambda x: x.narrow(1, 1, 3), start=1, length=3)
case("narrow features", "narrow", [[3, 8]], lambda x: x.narrow(1, 4, 4), start=4, length=4)

for op, call in (("sum", torch.sum), ("mean", torch.mean)):
    case(f"{op} all", op, [[2, 3, 4, 5]], call, dim="all")
    case(f"{op} spatial", op, [[2, 3, 4, 5]], lambda x: call(x, dim=(2, 3)), dim="spatial")
    case(f"{op} all but batch", op, [[3, 2, 2, 3]], lambda x: call(x, dim=(1, 2, 3)), dim="all but batch")
    case(f"{op} rows", op, [[4, 5]], lambda x: call(x, dim=1), dim="all but batch")
    case(f"{op} many", op, [[3, 2, 20, 20]], call, dim="all")

for name, padding in (("around", (1, 2, 3, 0)), ("cropped", (-1, -1, -2, 0)), ("both", (2, -2, -1, 3))):
    top, bottom, left, right = padding
    call = torch.nn.ZeroPad2d((left, right, top, bottom))
    case(f"zero_pad2d {name}", "zero_pad2d", [[2, 3, 4, 5]], call, padding=padding)
for scale in ((2, 2), (1, 3), (4, 1)):
    call = torch.nn.Upsample(scale_factor=scale, mode="nearest")
    case(f"upsample {scale}", "upsample", [[1, 3, 2, 3]], call, scale_factor=scale)

for reduction in ("mean", "sum"):
    mse = lambda x, y: F.mse_loss(x, y, reduction=reduction)
    case(f"mse_loss {reduction}", "mse_loss", [[2, 2, 3, 2]] * 2, mse, 2.0, reduction=reduction)
    case(f"mse_loss {reduction} many", "mse_loss", [[40, 30]] * 2, mse, 2.0, reduction=reduction)

soft = lambda x: F.log_softmax(x, 1)
case("log_softmax rows", "log_softmax", [[4, 5]], soft, 4.0)
case("log_softmax pixels", "log_softmax", [[2, 4, 2, 3]], soft, 4.0)
case("log_softmax large", "log_softmax", [[3, 5]], soft, 300.0)
case("log_softmax of NaN and infinities", "log_softmax", [[4, 3]], soft, 1.0, [NAN, 1.0, 2.0, 1.0, -INF, 2.0, INF])
for shape in [[6, 5], [2, 4, 2, 2]]:
    for reduction in ("mean", "sum"):
        for weighted in (False, True):
            for ignore_index in (-100, 2):
                name = f"nll_loss {len(shape)} {reduction}{', weights' * weighted}, {ignore_index} ignored"
                targets = torch.from_numpy(below(f"operations/{name}/target", math.prod(shape) // shape[1], shape[1]))
                targets[[1, 4]] = ignore_index
                targets = targets.reshape([shape[0]] + shape[2:])
                weight = values(f"operations/{name}/weight", [shape[1]], 0.75) + 1 if weighted else None
                call = lambda x: F.nll_loss(
                    x, targets, None if weight is None else weight.to(x.dtype), ignore_index=ignore_index,
                    reduction=reduction,
                )  # fmt: skip
                attributes = {"reduction": reduction, "ignore_index": ignore_index}
                case(name, "nll_loss", [shape], call, 4.0, targets=targets, weighted=weighted, **attributes)

if __name__ == "__main__":
    write("operations", cases)
    print(f"  furthest tensor from float64: {furthest:.1e}")
