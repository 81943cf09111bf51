#!/usr/bin/env python3
"""Writes the golden values that the tests compare tilegrad with, from PyTorch on the CPU in float32.

    pip install torch numpy
    python3 tests/golden/generate.py      # rewrites sgd, conv, pool, cross_entropy and lenet .json beside this file

Each file is {"torch": version, "seed": 1, "cases": [...]}, one case per line. The attributes of a case say what was
computed, its other keys what came out. The run also prints how far each file is from the same computation in float64.

What goes in is not stored but made again by the test, from src/rng.rs. Tensor `x` of case `c` in file `f` is
Init::Uniform(bound).values(1, "f/c/x", len), in row-major order of its shape:

    file           x               bound  shape
    sgd            param{suffix}   1      [7]; `suffix` is an attribute of the parameter group, "" for the first
                   grad{t}{suffix} 1      [7], step t = 0..5
    conv           input           1      attribute `input_shape`
                   weight          1      attribute `weight_shape`
                   bias            1      [weight_shape[0]], where attribute `bias` is true
                   grad_output     1      shape of `output`
    pool           input           1      attribute `input_shape`; if `quantised`, then round(x * 4) / 4, which makes
                                          ties; then NaN and -inf at the flat indices in `nan` and `neg_inf`
                   grad_output     1      shape of `output`
    cross_entropy  logits          attribute `bound`, [6, 5]
                   weight          0.75   [5], plus 1, where attribute `class_weights` is true
    lenet          conv1.weight .. `bound` and `shape` in attribute `parameters`; bound 0 means zeros
                   input{step}     1      [8, 1, 28, 28], step = 0..10

Class numbers are Rng::new(1, "f/c/target").below(index, classes); lenet has "lenet/c/target{step}". cross_entropy
stores its `targets`, since some are replaced by the ignored class.

A tensor of up to 256 elements is {"shape", "values"}. A larger one is {"shape", "norm", "sum", "indices", "values"}:
its Euclidean norm, its sum, and the values at 64 flat indices. Numbers have 9 significant digits, enough for a
float32 to survive; "nan", "inf" and "-inf" are strings, because JSON has no such numbers.
"""

import itertools
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

SEED = 1
WHOLE = 256
SAMPLES = 64
torch.set_num_threads(1)


# Random numbers: src/rng.rs again, over arrays of indices.


def philox(counter, key):
    """Philox 4x32-10. `counter` and `key` are lists of uint64 arrays (or integers) below 2^32."""
    low = np.uint64(0xFFFFFFFF)
    c = [np.atleast_1d(np.asarray(v, np.uint64)) for v in counter]
    k = list(key)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [b >> 32 ^ c[1] ^ np.uint64(k[0]), b & low, a >> 32 ^ c[3] ^ np.uint64(k[1]), a & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def first_words(name, n):
    """The first random word of each index 0..n in stream `name`."""
    stream = 0xCBF29CE484222325
    for byte in name.encode():
        stream = (stream ^ byte) * 0x100000001B3 % 2**64
    return philox([np.arange(n), 0, stream & 0xFFFFFFFF, stream >> 32], [SEED, 0])[0]


def values(name, shape, bound):
    """U(-bound, bound), every operation in float32 as Init::Uniform does it."""
    u = (first_words(name, math.prod(shape)) >> 8).astype(np.float32) * np.float32(2.0**-24)
    x = (np.float32(2) * u - np.float32(1)) * np.float32(bound)
    return torch.from_numpy(x.reshape(shape))


def below(name, n, bound):
    return (first_words(name, n) * np.uint64(bound) >> 32).astype(np.int64)


def check_philox():
    """Known answers of the Random123 distribution."""
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0]
    for words, expected in [
        ([0] * 6, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 6, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (pi, [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ]:
        assert [int(v[0]) for v in philox(words[:4], words[4:])] == expected


# Output.


def number(x):
    x = float(x.detach() if isinstance(x, torch.Tensor) else x)
    return float(f"{x:.9g}") if math.isfinite(x) else str(x)


def tensor(t, name):
    """The JSON form of `t`; `name` is the stream that picks the indices of a large one."""
    flat = t.detach().reshape(-1)
    if len(flat) <= WHOLE:
        return {"shape": list(t.shape), "values": [number(x) for x in flat]}
    indices = np.sort(below(f"{name}/indices", SAMPLES, len(flat))).tolist()
    return {
        "shape": list(t.shape),
        "norm": number(flat.double().norm()),
        "sum": number(flat.double().sum()),
        "indices": indices,
        "values": [number(x) for x in flat[indices]],
    }


def write(file, cases):
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names), "two cases of one name would share their numbers"
    head = f'{{"torch":"{torch.__version__}","seed":{SEED},"cases":[\n'
    lines = (json.dumps(case, separators=(",", ":"), allow_nan=False) for case in cases)
    path = pathlib.Path(__file__).with_name(f"{file}.json")
    path.write_text(head + ",\n".join(lines) + "\n]}\n")
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1000:.1f} kB")


def distance(a, b):
    """|a - b| / |b|, by Euclidean norm over the elements where b is finite."""
    a, b = a.detach().double(), b.detach().double()
    finite = b.isfinite()
    return float((a - b)[finite].norm() / b[finite].norm().clamp_min(1e-30))


# sgd.json


def sgd_run(name, groups, dtype):
    """Five steps; `groups` are the options of each parameter group, with lr and momentum listed per step."""
    params = [torch.nn.Parameter(values(f"sgd/{name}/param{g['suffix']}", [7], 1).to(dtype)) for g in groups]
    rest = ("dampening", "weight_decay", "nesterov", "maximize")
    optimiser = torch.optim.SGD(
        [
            {"params": [p], "lr": g["lr"][0], "momentum": g["momentum"][0], **{k: g[k] for k in rest}}
            for p, g in zip(params, groups)
        ]
    )
    after = [[] for _ in groups]
    for t in range(5):
        for i, (p, g) in enumerate(zip(params, groups)):
            optimiser.param_groups[i]["lr"] = g["lr"][t]
            optimiser.param_groups[i]["momentum"] = g["momentum"][t]
            p.grad = values(f"sgd/{name}/grad{t}{g['suffix']}", [7], 1).to(dtype)
        optimiser.step()
        for i, p in enumerate(params):
            after[i].append(p.detach().clone())
    return after, [optimiser.state[p].get("momentum_buffer") for p in params]


def sgd():
    def group(momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False, suffix="", scale=1.0):
        return {
            "suffix": suffix,
            "lr": [number(scale * lr) for lr in (0.1, 0.1, 0.05, 0.02, 0.2)],
            "momentum": momentum if isinstance(momentum, list) else [momentum] * 5,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }

    plan = []
    flags = (False, True)
    for m, d, w, n, x in itertools.product((0.0, 0.9), (0.0, 0.3), (0.0, 0.01), flags, flags):
        if not n or (m > 0 and d == 0):
            name = f"momentum {m} dampening {d} weight_decay {w}" + " nesterov" * n + " maximize" * x
            plan.append((name, [group(m, d, w, n, x)]))
    late = [0.0, 0.0, 0.9, 0.9, 0.9]
    plan += [
        ("late momentum, dampening", [group(late, 0.3)]),
        ("late momentum, weight_decay, maximize", [group(late, 0.0, 0.01, maximize=True)]),
        ("momentum pauses", [group([0.9, 0.9, 0.0, 0.0, 0.9])]),
        ("two groups", [group(weight_decay=0.01), group(suffix="_b", scale=0.5)]),
        (
            "two groups nesterov",
            [group(0.9, nesterov=True), group(0.9, weight_decay=0.1, nesterov=True, suffix="_b", scale=0.1)],
        ),
    ]
    cases, far = [], 0.0
    for name, groups in plan:
        after, buffers = sgd_run(name, groups, torch.float32)
        exact, _ = sgd_run(name, groups, torch.float64)
        results = []
        for i, g in enumerate(groups):
            far = max(far, distance(after[i][-1], exact[i][-1]))
            buffer = None if buffers[i] is None else tensor(buffers[i], "")
            results.append({**g, "params": [tensor(p, "") for p in after[i]], "momentum_buffer": buffer})
        cases.append({"name": name, "groups": results})
    write("sgd", cases)
    print(f"  furthest last parameter from float64: {far:.1e}")


# conv.json and pool.json


def backward(op, inputs, name, dtype):
    """The output of `op` and the gradients of `inputs` (None stays None) for the case's grad_output."""
    leaves = [None if x is None else x.detach().to(dtype).requires_grad_() for x in inputs]
    output = op(*leaves)
    output.backward(values(f"{name}/grad_output", list(output.shape), 1).to(dtype))
    return [output] + [None if x is None else x.grad for x in leaves]


def results(op, inputs, name, keys):
    single = backward(op, inputs, name, torch.float32)
    double = backward(op, inputs, name, torch.float64)
    far = max(distance(a, b) for a, b in zip(single, double) if a is not None)
    return {k: None if t is None else tensor(t, f"{name}/{k}") for k, t in zip(keys, single)}, far


def conv():
    def case(name, input, weight, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, bias=True):
        full = f"conv/{name}"
        tensors = [
            values(f"{full}/input", input, 1),
            values(f"{full}/weight", weight, 1),
            values(f"{full}/bias", weight[:1], 1) if bias else None,
        ]
        op = lambda x, w, b: F.conv2d(x, w, b, stride, padding, dilation, groups)
        out, far = results(op, tensors, full, ("output", "grad_input", "grad_weight", "grad_bias"))
        attributes = {
            "name": name, "input_shape": input, "weight_shape": weight, "stride": stride, "padding": padding,
            "dilation": dilation, "groups": groups, "bias": bias,
        }  # fmt: skip
        return {**attributes, **out}, far

    cases = [
        case("plain", [2, 2, 6, 7], [3, 2, 3, 3]),
        case("no bias, same padding", [2, 2, 6, 7], [2, 2, 3, 3], padding=(1, 1), bias=False),
        case("one by one", [2, 5, 4, 5], [4, 5, 1, 1]),
        case("one by one, strided", [2, 3, 5, 6], [4, 3, 1, 1], stride=(2, 2), bias=False),
        case("kernel 2x5, padding per axis", [2, 2, 6, 8], [3, 2, 2, 5], padding=(1, 2)),
        case("kernel 5x1, stride per axis", [1, 3, 9, 7], [4, 3, 5, 1], stride=(2, 3)),
        case("stride skips the last rows", [2, 2, 8, 6], [3, 2, 3, 2], stride=(3, 4)),
        case("dilation per axis", [1, 2, 9, 10], [3, 2, 3, 3], padding=(1, 2), dilation=(2, 3)),
        case("stride, padding and dilation", [2, 2, 7, 8], [3, 2, 3, 2], (2, 1), (2, 1), (2, 3)),
        case("groups 2", [2, 4, 5, 6], [6, 2, 3, 3], padding=(1, 1), groups=2),
        case("groups 3, strided, no bias", [1, 6, 6, 5], [9, 2, 3, 2], (2, 1), (1, 0), groups=3, bias=False),
        case("depthwise", [2, 4, 5, 6], [4, 1, 3, 3], padding=(1, 1), groups=4),
        case("depthwise, multiplier 2", [2, 3, 6, 5], [6, 1, 3, 2], (1, 2), (1, 1), groups=3),
        case("kernel larger than input", [2, 2, 3, 4], [3, 2, 5, 7], padding=(2, 3)),
        case("output 1x1, batch 1", [1, 3, 4, 5], [4, 3, 4, 5]),
        case("large", [4, 20, 13, 17], [33, 20, 3, 3], (1, 2), (1, 1)),
    ]
    write("conv", [c for c, _ in cases])
    print(f"  furthest tensor from float64: {max(far for _, far in cases):.1e}")


def pool():
    cases, furthest = [], 0.0

    def case(op, name, input, kernel, stride, padding, attributes, quantised=False, nan=(), neg_inf=(), **options):
        nonlocal furthest
        full = f"pool/{name}"
        x = values(f"{full}/input", input, 1)
        if quantised:
            assert not ((x * 4).frac().abs() == 0.5).any(), "rounding of halves would differ between languages"
            x = (x * 4).round() / 4
        x.view(-1)[list(nan)] = math.nan
        x.view(-1)[list(neg_inf)] = -math.inf
        call = lambda x: getattr(F, op)(x, kernel, stride, padding, **options)
        out, far = results(call, [x], full, ("output", "grad_input"))
        furthest = max(furthest, far)
        shared = {
            "name": name, "op": op, "input_shape": input, "quantised": quantised, "nan": nan,
            "neg_inf": neg_inf, "kernel": kernel, "stride": stride, "padding": padding,
        }  # fmt: skip
        cases.append({**shared, **attributes, **out})

    def max_pool(name, input, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, **special):
        attributes = {"dilation": dilation, "ceil_mode": ceil_mode}
        case("max_pool2d", f"max {name}", input, kernel, stride, padding, attributes, **special, **attributes)

    def avg_pool(
        name, input, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        attributes = {
            "ceil_mode": ceil_mode, "count_include_pad": count_include_pad, "divisor_override": divisor_override,
        }  # fmt: skip
        case("avg_pool2d", f"avg {name}", input, kernel, stride, padding, attributes, **attributes)

    max_pool("2x2", [2, 2, 6, 8], (2, 2), (2, 2))
    max_pool("2x2, rest dropped", [2, 2, 5, 7], (2, 2), (2, 2))
    max_pool("overlap, padding", [1, 2, 7, 8], (3, 3), (2, 2), (1, 1))
    max_pool("non-square", [2, 2, 7, 6], (3, 2), (2, 1), (1, 0))
    max_pool("gaps between windows", [1, 2, 8, 9], (2, 2), (3, 4))
    max_pool("dilation", [1, 2, 8, 9], (2, 3), (1, 2), (1, 1), (3, 2))
    max_pool("ceil_mode", [1, 2, 6, 7], (3, 3), (2, 2), ceil_mode=True)
    max_pool("ceil_mode, last window dropped", [1, 2, 5, 8], (2, 2), (3, 3), (1, 1), ceil_mode=True)
    max_pool("ceil_mode, dilation, padding", [1, 2, 8, 9], (3, 2), (2, 3), (1, 1), (2, 2), ceil_mode=True)
    max_pool("ties", [2, 2, 6, 6], (2, 2), (2, 2), quantised=True)
    max_pool("ties, overlap, padding", [1, 2, 7, 9], (3, 3), (1, 2), (1, 1), quantised=True)
    # Windows with one NaN, with two, all -inf, and -inf beside NaN: rows 0-1, 2-3 and 4-5 of a 6x8 channel.
    max_pool(
        "NaN and -inf", [1, 2, 6, 8], (2, 2), (2, 2),
        nan=(0, 18, 26, 38), neg_inf=(4, 5, 12, 13, 39, 46, 47, 48), quantised=True,
    )  # fmt: skip
    max_pool(
        "NaN and -inf, overlap, padding", [1, 1, 7, 7], (3, 3), (2, 2), (1, 1),
        nan=(16, 30), neg_inf=(0, 1, 7, 8, 41, 48),
    )  # fmt: skip

    avg_pool("2x2", [2, 2, 6, 8], (2, 2), (2, 2))
    avg_pool("rest dropped", [2, 2, 5, 7], (2, 2), (2, 2))
    avg_pool("overlap", [1, 2, 7, 8], (3, 3), (1, 2))
    avg_pool("non-square", [2, 2, 6, 7], (3, 2), (2, 3))
    avg_pool("gaps between windows", [1, 2, 8, 9], (2, 2), (3, 4))
    for include in (True, False):
        end = "" if include else ", pad not counted"
        avg_pool(f"padding{end}", [1, 2, 6, 7], (3, 3), (2, 2), (1, 1), False, include)
        avg_pool(f"non-square padding{end}", [2, 1, 7, 6], (4, 3), (2, 1), (2, 0), False, include)
        avg_pool(f"ceil_mode{end}", [1, 2, 6, 7], (3, 2), (2, 3), (0, 0), True, include)
        avg_pool(f"ceil_mode, padding{end}", [1, 2, 6, 8], (3, 3), (2, 2), (1, 1), True, include)
    avg_pool("ceil_mode, last window dropped", [1, 2, 5, 8], (2, 2), (3, 3), (1, 1), True)
    avg_pool("divisor 3", [1, 2, 6, 7], (2, 2), (2, 2), divisor_override=3)
    avg_pool("divisor 5, ceil_mode, padding", [1, 2, 6, 7], (3, 3), (2, 2), (1, 1), True, False, 5)
    write("pool", cases)
    print(f"  furthest tensor from float64: {furthest:.1e}")


# cross_entropy.json


def cross_entropy():
    rows, classes = 6, 5
    cases, furthest = [], 0.0

    def case(name, reduction="mean", class_weights=False, smoothing=0.0, ignore_index=-100, replaced=(), bound=4.0):
        nonlocal furthest
        full = f"cross_entropy/{name}"
        targets = below(f"{full}/target", rows, classes)
        targets[list(replaced)] = ignore_index
        weight = values(f"{full}/weight", [classes], 0.75) + 1 if class_weights else None

        def run(dtype):
            logits = values(f"{full}/logits", [rows, classes], bound).to(dtype).requires_grad_()
            w = None if weight is None else weight.to(dtype)
            loss = F.cross_entropy(
                logits, torch.from_numpy(targets), w, ignore_index=ignore_index, reduction=reduction,
                label_smoothing=smoothing,
            )  # fmt: skip
            loss.backward()
            return loss, logits.grad

        (loss, grad), (_, exact) = run(torch.float32), run(torch.float64)
        furthest = max(furthest, distance(grad, exact))
        cases.append(
            {
                "name": name, "reduction": reduction, "class_weights": class_weights, "label_smoothing": smoothing,
                "ignore_index": ignore_index, "bound": bound, "targets": targets.tolist(), "loss": number(loss),
                "grad_logits": tensor(grad, full),
            }  # fmt: skip
        )

    ignores = {"none ignored": (-100, ()), "-100 ignored": (-100, (1, 4)), "class 2 ignored": (2, (1, 4))}
    for r, w, s, i in itertools.product(("mean", "sum"), (False, True), (0.0, 0.1, 0.3), ignores):
        case(f"{r}{', weights' * w}, smoothing {s}, {i}", r, w, s, *ignores[i])
    case("large logits", bound=100.0)
    case("large logits, smoothing", smoothing=0.1, bound=100.0)
    case("all ignored, sum", "sum", replaced=range(rows))
    case("all ignored, mean", "mean", replaced=range(rows))
    write("cross_entropy", cases)
    print(f"  furthest gradient from float64: {furthest:.1e}")


# lenet.json

LENET = {
    "conv1": (6, 1, 5, 5),
    "conv2": (16, 6, 5, 5),
    "fc1": (120, 400),
    "fc2": (84, 120),
    "fc3": (10, 84),
}


def lenet_parameters(form):
    """(name, shape, bound) of every parameter; the bounds in float32 as Init's kaiming and xavier do them."""
    one, six = np.float32(1), np.float32(6)
    for layer, shape in LENET.items():
        area = math.prod(shape[2:])
        fan_in, fan_out = np.float32(shape[1] * area), np.float32(shape[0] * area)
        relu = form == "relu"
        yield f"{layer}.weight", shape, one / np.sqrt(fan_in) if relu else np.sqrt(six / (fan_in + fan_out))
        yield f"{layer}.bias", shape[:1], one / np.sqrt(fan_in) if relu else np.float32(0)


def lenet_forward(form, p, x):
    act, pool = (F.relu, F.max_pool2d) if form == "relu" else (torch.sigmoid, F.avg_pool2d)
    x = pool(act(F.conv2d(x, p["conv1.weight"], p["conv1.bias"], padding=2)), 2)
    x = pool(act(F.conv2d(x, p["conv2.weight"], p["conv2.bias"])), 2).flatten(1)
    x = act(F.linear(x, p["fc1.weight"], p["fc1.bias"]))
    x = act(F.linear(x, p["fc2.weight"], p["fc2.bias"]))
    return F.linear(x, p["fc3.weight"], p["fc3.bias"])


def lenet_run(form, lr, dtype, steps=10, batch=8):
    """Logits and gradients of the first step, the loss of every step, and the parameters at the end."""
    p = {
        name: torch.nn.Parameter(values(f"lenet/{form}/{name}", shape, bound).to(dtype))
        for name, shape, bound in lenet_parameters(form)
    }
    optimiser = torch.optim.SGD(p.values(), lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    losses = []
    for step in range(steps):
        x = values(f"lenet/{form}/input{step}", [batch, 1, 28, 28], 1).to(dtype)
        target = torch.from_numpy(below(f"lenet/{form}/target{step}", batch, 10))
        optimiser.zero_grad()
        out = lenet_forward(form, p, x)
        loss = F.cross_entropy(out, target)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            logits, grads = out.detach(), {name: v.grad.clone() for name, v in p.items()}
        optimiser.step()
    return logits, grads, losses, p


def lenet():
    cases = []
    for form, lr in (("relu", 0.03), ("classic", 0.5)):
        logits, grads, losses, p = lenet_run(form, lr, torch.float32)
        summaries = lambda part, d: {name: tensor(t, f"lenet/{form}/{part}/{name}") for name, t in d.items()}
        cases.append(
            {
                "name": form,
                "lr": lr,
                "momentum": 0.9,
                "weight_decay": 5e-4,
                "nesterov": True,
                "batch": 8,
                "parameters": [
                    {"name": name, "shape": shape, "bound": number(bound)}
                    for name, shape, bound in lenet_parameters(form)
                ],
                "logits": tensor(logits, f"lenet/{form}/logits"),
                "losses": [number(x) for x in losses],
                "grads": summaries("grads", grads),
                "params": summaries("params", p),
            }
        )
        logits64, grads64, losses64, p64 = lenet_run(form, lr, torch.float64)
        print(f"{form}: losses {' '.join(f'{x:.4f}' for x in losses)}")
        print("  from float64:", " ".join(f"{abs(a - b) / b:.1e}" for a, b in zip(losses, losses64)))
        print(f"  logits {distance(logits, logits64):.1e}")
        print("  gradients", ", ".join(f"{n} {distance(grads[n], grads64[n]):.1e}" for n in p))
        print("  parameters", ", ".join(f"{n} {distance(p[n], p64[n]):.1e}" for n in p))
    write("lenet", cases)


if __name__ == "__main__":
    check_philox()
    sgd()
    conv()
    pool()
    cross_entropy()
    lenet()
