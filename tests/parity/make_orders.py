#!/usr/bin/env python3
"""Writes tests/golden/parity/orders.json: the order in which Trainer goes through its examples.

Needs torch, transformers and accelerate. "permutations" are torch.randperm's, "epochs" come out of the data loaders of
Trainer itself, with evaluations between them where "tests" says how many examples these have. Text i of n has
1 + (7919 * (i + 1) % 104729) % 61 tokens. Of each order the first eight examples are written down, and a hash of all.
"""

import json
import os

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

MULTIPLIER = 0x9E3779B97F4A7C15
EPOCHS = 3


class Texts(torch.utils.data.Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i >= self.n:
            raise IndexError
        return {"input_ids": [0] * (1 + (7919 * (i + 1) % 104729) % 61), "place": i}


def digest(order):
    value = 0
    for x in order:
        value = (value * MULTIPLIER + x + 1) & (1 << 64) - 1
    return {"first": order[:8], "hash": f"{value:016x}"}


def permutation(seed, n):
    generator = torch.Generator()
    generator.manual_seed(seed)
    return {"seed": seed, "n": n, **digest(torch.randperm(n, generator=generator).tolist())}


def places(rows):
    return [row["place"] for row in rows]


def epochs(sampling, n, batch, accumulation=1, seed=42, data_seed=None, tests=0):
    model = BertForSequenceClassification(
        BertConfig(vocab_size=8, hidden_size=4, num_attention_heads=1, num_hidden_layers=1, intermediate_size=4)
    )
    arguments = TrainingArguments(
        output_dir="/tmp/orders",
        use_cpu=True,
        report_to="none",
        remove_unused_columns=False,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        train_sampling_strategy=sampling,
        seed=seed,
        data_seed=data_seed,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=Texts(n), data_collator=places)
    loader, found = trainer.get_train_dataloader(), []
    for epoch in range(EPOCHS):
        loader.set_epoch(epoch)
        found.append(digest([place for rows in loader for place in rows]))
        if tests:
            for _ in trainer.get_eval_dataloader(Texts(tests)):
                pass
    how = {"sampling": sampling, "n": n, "batch": batch * accumulation, "seed": seed, "tests": tests}
    return {**how, "data_seed": seed if data_seed is None else data_seed, "orders": found}


def main():
    golden = {
        "permutations": [
            permutation(seed, n)
            for seed in (0, 1, 42, 2**31, 2**32 - 1, 2**32 + 5, 2**63 - 1)
            for n in (1, 2, 3, 10, 623, 624, 625, 5000, 100003)
        ],
        "epochs": [
            epochs("random", 100, 8),
            epochs("random", 1001, 4, seed=7, tests=10),
            epochs("random", 1001, 4, seed=7, data_seed=2**32 - 2),
            epochs("random", 1, 8, accumulation=3, data_seed=0),
            epochs("group_by_length", 1, 8),
            epochs("group_by_length", 3, 8),
            epochs("group_by_length", 100, 8),
            epochs("group_by_length", 1000, 4, accumulation=3, seed=1),
            epochs("group_by_length", 1000, 2, seed=1, data_seed=9, tests=1),
            epochs("group_by_length", 5003, 8, seed=2**32 - 1, tests=77),
            epochs("sequential", 9, 2),
        ],
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "parity", "orders.json")
    with open(path, "w", encoding="utf-8") as out:
        parts = (f'"{key}": [\n' + ",\n".join(map(json.dumps, value)) + "\n]" for key, value in golden.items())
        out.write("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()
