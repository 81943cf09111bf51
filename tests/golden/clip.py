#!/usr/bin/env python3
"""Writes clip.json: SGD steps with torch.nn.utils.clip_grad_norm_ and clip_grad_value_, as generate.py writes the rest.

    pip install torch numpy
    python3 tests/golden/clip.py

Tensors that go in, in stream "clip/<case>/<x>" of seed 1, of the shape and bound that attribute `tensors` has:

    param{i}        bound 1            the parameter i, called "p{i}" ("p{i}_b" if it is of the second group)
    grad{t}.{i}     bound `bounds[t]`  its gradient in step t; then `special` puts numbers at [t, i, flat index]

`clip` is "norm" or "value", `limit` its argument. `norms` are what clip_grad_norm_ returns, `params` the parameters after
each step, `clipped` the largest element of all gradients after clip_grad_norm_. SGD has lr 0.1, momentum 0.9 and weight decay 0.01; the second group half the lr and no weight decay.
"""

import torch
from generate import check_philox, distance, number, tensor, values, write


def run(case, dtype):
    """The norms, the largest elements of the clipped gradients, and the parameters after each step."""
    tensors, groups = case["tensors"], ([], [])
    params = [torch.nn.Parameter(values(f"clip/{case['name']}/param{i}", t["shape"], 1).to(dtype)) for i, t in enumerate(tensors)]
    for p, t in zip(params, tensors):
        groups[t["group"]].append(p)
    options = [{"params": groups[0], "lr": 0.1, "weight_decay": 0.01}, {"params": groups[1], "lr": 0.05, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD([o for o in options if o["params"]], momentum=0.9)
    norms, clipped, after = [], [], []
    for t, bound in enumerate(case["bounds"]):
        for i, p in enumerate(params):
            p.grad = values(f"clip/{case['name']}/grad{t}.{i}", list(p.shape), bound).to(dtype)
        for step, i, index, x in case["special"]:
            if step == t:
                params[i].grad.view(-1)[index] = float(x)
        if case["clip"] == "norm":
            norms.append(torch.nn.utils.clip_grad_norm_(params, case["limit"]))
            clipped.append(torch.cat([p.grad.view(-1) for p in params]).max())
        else:
            torch.nn.utils.clip_grad_value_(params, case["limit"])
        optimiser.step()
        after.append([p.detach().clone() for p in params])
    return norms, clipped, after


def clip():
    def case(name, clip, limit, shapes, bounds=(1, 0.5, 0.01), second=(), special=()):
        tensors = [{"shape": list(shape), "group": int(i in second)} for i, shape in enumerate(shapes)]
        return {"name": name, "clip": clip, "limit": limit, "tensors": tensors, "bounds": bounds, "special": special}

    small = [[7], [3, 5], [130]]
    plan = [
        case("norm, not reached", "norm", 1000.0, small),
        case("norm, reached in some steps", "norm", 0.5, small),
        case("norm 0", "norm", 0.0, small),
        case("norm, gradients of 0", "norm", 1.0, small, bounds=(0, 1, 0)),
        case("norm, two groups", "norm", 1.5, small, second=(1,)),
        case("norm, many elements", "norm", 2.0, [[300, 401], [10]], bounds=(1, 0.1), second=(1,)),
        case("norm, huge and tiny", "norm", 1.0, small, bounds=(1e15, 1e-15, 1e10)),
        case("norm, so small that the 1e-6 beside it counts", "norm", 1e-7, small, bounds=(1e-7, 1e-6)),
        case("norm, infinite", "norm", 1.0, small, special=[(1, 2, 100, "inf")]),
        case("norm, minus infinite, two groups", "norm", 1.0, small, second=(0,), special=[(1, 2, 100, "-inf")]),
        case("norm, NaN", "norm", 1.0, small, second=(2,), special=[(1, 1, 4, "nan")]),
        case("norm, squares beyond float32", "norm", 1.0, small, bounds=(1, 1e30, 1)),
        case("value", "value", 0.3, small),
        case("value, not reached", "value", 2.0, small),
        case("value 0", "value", 0.0, small),
        case("value, two groups", "value", 0.1, small, second=(0, 2)),
        case("value, infinite and NaN", "value", 0.3, small, special=[(1, 0, 3, "inf"), (1, 0, 4, "-inf"), (1, 2, 7, "nan")]),
    ]
    cases, far = [], 0.0
    for case in plan:
        norms, clipped, after = run(case, torch.float32)
        if "beyond" not in case["name"]:
            exact = run(case, torch.float64)[2]
            far = max(far, max((distance(a, b) for a, b in zip(after[-1], exact[-1]) if b.isfinite().any()), default=0.0))
        name = case["name"]
        params = [[tensor(p, f"clip/{name}/{i}") for i, p in enumerate(step)] for step in after]
        cases.append({**case, "norms": [number(n) for n in norms], "clipped": [number(c) for c in clipped], "params": params})
    write("clip", cases)
    print(f"  furthest last parameter from float64: {far:.1e}")


if __name__ == "__main__":
    check_philox()
    clip()
