#!/usr/bin/env python3
"""Writes schedules.json: learning rates and momenta of 100 steps by torch.optim.lr_scheduler.

    pip install torch numpy
    python3 tests/golden/schedules.py

A case has the scheduler's name and its `options` by PyTorch's names, the optimizer's `lr` and `momentum`, and what came
out: `lrs` of the steps 0..100, and `momenta` where the scheduler changes them, else null. Numbers have all their digits.
PyTorch's `scheduler.step()` multiplies the last learning rate; the run also prints how far that has drifted from the
closed form, and thus how small a tolerance can be.

"CosineAnnealingLR" with `warmup` is SequentialLR([LinearLR(**warmup), CosineAnnealingLR(**options)]).

ReduceLROnPlateau observes a metric after each step, which the test makes again from src/rng.rs:
    metric[i] = offset + scale / (10 + i) + Init::Uniform(bound).values(1, "schedules/NAME/metric", 100)[i]
in float64, then NaN at the steps in `nan`; `metric` holds offset, scale, bound and nan.
"""

import math
import warnings

import torch
from torch.optim import lr_scheduler

from generate import check_philox, values, write

STEPS = 100


def optimiser(lr, momentum):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=momentum)


def metrics(name, offset, scale, bound, nan):
    noise = values(f"schedules/{name}/metric", [STEPS], bound).double().tolist()
    metric = [offset + scale / (10.0 + i) + noise[i] for i in range(STEPS)]
    return [math.nan if i in nan else x for i, x in enumerate(metric)]


def case(name, scheduler, lr, momentum=0.9, warmup=None, metric=None, **options):
    sgd = optimiser(lr, momentum)
    if scheduler == "OneCycleLR":
        made = lr_scheduler.OneCycleLR(sgd, max_lr=lr, **options)
    else:
        made = getattr(lr_scheduler, scheduler)(sgd, **options)
    if warmup is not None:
        linear = lr_scheduler.LinearLR(sgd, **warmup)
        made = lr_scheduler.SequentialLR(sgd, [linear, made], [warmup["total_iters"]])
    observed = None if metric is None else metrics(name, **metric)
    lrs, momenta = [], []
    for i in range(STEPS):
        group = sgd.param_groups[0]
        lrs.append(group["lr"])
        momenta.append(group["momentum"])
        sgd.step()
        if i + 1 < STEPS:
            made.step() if observed is None else made.step(observed[i])
    drift = 0.0
    if warmup is None and hasattr(made, "_get_closed_form_lr"):
        for i, x in enumerate(lrs):
            made.last_epoch = i
            closed = made._get_closed_form_lr()[0]
            drift = max(drift, abs(x - closed) / closed if closed else abs(x))
    print(f"{name}: {len(set(lrs))} learning rates, {min(lrs):.3g} to {max(lrs):.3g}, drift {drift:.1e}")
    given = {"warmup": warmup, "metric": metric}
    return {
        "name": name, "scheduler": scheduler, "lr": lr, "momentum": momentum, "options": options,
        **{k: v for k, v in given.items() if v is not None},
        "lrs": lrs, "momenta": momenta if len(set(momenta)) > 1 else None,
    }  # fmt: skip


def one_cycle(name, lr=0.1, total_steps=100, **options):
    return case(f"onecycle, {name}", "OneCycleLR", lr, total_steps=total_steps, **options)


def plateau(name, lr=0.1, offset=1.0, scale=20.0, bound=0.3, nan=(), **options):
    metric = {"offset": offset, "scale": scale, "bound": bound, "nan": list(nan)}
    return case(f"plateau, {name}", "ReduceLROnPlateau", lr, metric=metric, **options)


def schedules():
    rising = {"mode": "max", "offset": 3.0, "scale": -20.0}
    write(
        "schedules",
        [
            case("step", "StepLR", 0.1, step_size=30),
            case("step, gamma 0.97 at every step", "StepLR", 0.3, step_size=1, gamma=0.97),
            case("step, growing", "StepLR", 0.01, step_size=7, gamma=1.25),
            case("multistep", "MultiStepLR", 0.1, milestones=[30, 80]),
            case("multistep, from the first", "MultiStepLR", 0.4, milestones=[0, 1, 50, 99, 150], gamma=0.5),
            case("exponential", "ExponentialLR", 0.1, gamma=0.95),
            case("exponential, gamma 1", "ExponentialLR", 0.1, gamma=1.0),
            case("cosine", "CosineAnnealingLR", 0.1, T_max=100),
            case("cosine, eta_min", "CosineAnnealingLR", 0.05, T_max=90, eta_min=1e-4),
            case("cosine, rises again", "CosineAnnealingLR", 0.1, T_max=30),
            case("cosine, half of it", "CosineAnnealingLR", 0.1, T_max=200, eta_min=0.01),
            case("cosine-warmup", "CosineAnnealingLR", 0.1, T_max=90, warmup={"start_factor": 0.01, "total_iters": 10}),
            case(
                "cosine-warmup, eta_min", "CosineAnnealingLR", 0.5, T_max=80, eta_min=1e-3,
                warmup={"start_factor": 1 / 3, "total_iters": 5},
            ),
            case("cosine-warmup, one step", "CosineAnnealingLR", 0.2, T_max=99, warmup={"start_factor": 0.5, "total_iters": 1}),
            one_cycle("defaults"),
            one_cycle("longer than the run", lr=0.4, total_steps=173),
            one_cycle("linear", anneal_strategy="linear", pct_start=0.25),
            one_cycle("three phases", three_phase=True),
            one_cycle("three phases, linear", three_phase=True, anneal_strategy="linear", pct_start=0.41),
            one_cycle("momentum stays", momentum=0.8, cycle_momentum=False, div_factor=10.0, final_div_factor=100.0),
            one_cycle("other momenta", base_momentum=0.7, max_momentum=0.99, pct_start=0.7),
            one_cycle("falls only", pct_start=0.0),
            one_cycle("rises only", pct_start=1.0),
            plateau("patience 2", patience=2),
            plateau("defaults"),
            plateau("abs, cooldown", patience=3, factor=0.5, threshold=0.05, threshold_mode="abs", cooldown=4),
            plateau("rel, cooldown", patience=1, factor=0.7, threshold=0.02, cooldown=6, min_lr=0.01),
            plateau("max", patience=4, factor=0.3, **rising),
            plateau("max, abs, min_lr", patience=2, factor=0.5, threshold=0.1, threshold_mode="abs", min_lr=0.02, **rising),
            plateau("eps", lr=1e-3, patience=0, factor=0.5, eps=1e-4),
            plateau("NaN", patience=5, factor=0.5, nan=[0, 1, 2, 3, 4, 5, 6, 40, 41, 99]),
            case("polynomial", "PolynomialLR", 0.1, total_iters=100),
            case("polynomial, power 0.9", "PolynomialLR", 0.01, total_iters=80, power=0.9),
            case("polynomial, square", "PolynomialLR", 0.1, total_iters=300, power=2.0),
        ],
    )


if __name__ == "__main__":
    warnings.simplefilter("error")
    check_philox()
    schedules()
