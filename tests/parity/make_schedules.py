#!/usr/bin/env python3
"""Writes tests/golden/parity/schedules.json: the learning rate of every step under Hugging Face's schedules.

Needs torch and transformers. One entry: {"name", "lr", "warmup_steps", "total_steps", "rates": [rate of step 1, ..]}.
"""

import json
import os

import torch
from transformers import get_scheduler

NAMES = [
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
]
WITH_ARGUMENTS = [
    ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_with_min_lr", {"min_lr": 2e-5, "num_cycles": 1.5}),
    ("warmup_stable_decay", {"num_decay_steps": 6}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "decay_type": "linear", "warmup_type": "cosine"}),
    ("warmup_stable_decay", {"num_decay_steps": 7, "decay_type": "1-sqrt", "warmup_type": "1-sqrt", "min_lr_ratio": 0.2}),
    ("warmup_stable_decay", {"num_decay_steps": 4, "num_stable_steps": 9, "num_cycles": 1}),
]
LR = 5e-5
TOTAL = 23


def rates(name, warmup, kwargs=None):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=TOTAL, scheduler_specific_kwargs=kwargs)
    out = []
    for _ in range(TOTAL):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return out


PLATEAUS = [{}, {"patience": 0}, {"patience": 2, "factor": 0.5, "cooldown": 2, "threshold": 0.05, "min_lr": 1e-5}]
METRICS = [2.0, 1.9, 1.95, 1.9, 1.89, 1.5, 1.5, 1.49, 1.6, 1.7, 1.8, 1.4, 1.41, 1.4, 1.4, 1.4, 1.4, 1.39, 1.5, 1.6, 1.7, 1.8, 1.9]


def plateau(kwargs):
    """The rate after each of METRICS."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = get_scheduler("reduce_lr_on_plateau", optimizer, scheduler_specific_kwargs=kwargs)
    out = []
    for metric in METRICS:
        schedule.step(metric)
        out.append(optimizer.param_groups[0]["lr"])
    how = {"warmup_steps": 0, "total_steps": len(METRICS), "kwargs": kwargs, "metrics": METRICS}
    return {"name": "reduce_lr_on_plateau", "lr": LR, **how, "rates": out}


def main():
    path = os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "..", "golden", "parity", "schedules.json"
    )
    entries = [
        {"name": name, "lr": LR, "warmup_steps": warmup, "total_steps": TOTAL, "rates": rates(name, warmup)}
        for name in NAMES
        for warmup in (0, 5)
    ]
    entries += [
        {
            "name": name,
            "lr": LR,
            "warmup_steps": warmup,
            "total_steps": TOTAL,
            "kwargs": kwargs,
            "rates": rates(name, warmup, kwargs),
        }
        for name, kwargs in WITH_ARGUMENTS
        for warmup in (0, 5)
    ]
    plateaus = [plateau(kwargs) for kwargs in PLATEAUS]
    with open(path, "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(map(json.dumps, entries + plateaus)) + "\n]\n")


if __name__ == "__main__":
    main()
