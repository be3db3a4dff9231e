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
LR = 5e-5
TOTAL = 23


def rates(name, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=TOTAL)
    out = []
    for _ in range(TOTAL):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return out


def main():
    path = os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "..", "golden", "parity", "schedules.json"
    )
    entries = [
        {"name": name, "lr": LR, "warmup_steps": warmup, "total_steps": TOTAL, "rates": rates(name, warmup)}
        for name in NAMES
        for warmup in (0, 5)
    ]
    with open(path, "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")


if __name__ == "__main__":
    main()
