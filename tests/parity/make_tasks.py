#!/usr/bin/env python3
"""Makes the goldens of losses: several labels a text, labels of tokens, weights of classes, focal loss, label smoothing, by PyTorch.

Needs torch and transformers, as make_families.py does, whose tiny models and texts these are (and the tiny BERT of
make_goldens.py). For each family and case of CASES a line of tests/golden/tasks/FAMILY.json: the losses of twenty steps of AdamW,
logits after them, and of the first batch's gradients the norm and a sum of cells by cosines, for each tensor. PyTorch computes in
double; dropout is 0.

Usage: make_tasks.py [--out DIR] [FAMILY ...]
"""

import argparse
import csv
import json
import os

import torch
import torch.nn.functional as F
from transformers import BertTokenizer

import make_families
from tasks import BATCH, CASES, FAMILIES, GOLDENS, LENGTH, RATE, TEXTS, WEIGHTS, folder_of, labels_of, rows_of


def focal(losses, p, gamma):
    """Lin et al. 2017: equation 4, times the weights of classes where there are any."""
    return (1 - p) ** gamma * losses


def loss_of(case, logits, labels):
    weights = torch.tensor(WEIGHTS[: logits.shape[1]], dtype=logits.dtype) if case.get("weights") else None
    smoothing, gamma = case.get("smoothing", 0.0), case.get("gamma")
    if case["task"] == "multi_label":
        target = torch.tensor([[float(k in row) for k in range(logits.shape[1])] for row in labels], dtype=logits.dtype)
        smooth = target * (1 - smoothing) + smoothing / 2  # as keras.losses.BinaryCrossentropy
        if gamma is None:
            return torch.nn.BCEWithLogitsLoss(pos_weight=weights)(logits, smooth)
        losses = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights, reduction="none")
        return focal(losses, torch.exp(-F.binary_cross_entropy_with_logits(logits, target, reduction="none")), gamma).mean()
    target = torch.tensor(labels)
    logits, target = logits[target != -100], target[target != -100]  # tokens without a label
    if gamma is None:
        return torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)(logits, target)
    losses = F.cross_entropy(logits, target, weight=weights, reduction="none", label_smoothing=smoothing)
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    return focal(losses, p, gamma).sum() / (weights[target].sum() if weights is not None else len(target))


def batch_loss(case, model, batch):
    logits = [model(**make_families.inputs_of(model, row)).logits for row, _ in batch]
    if case["task"] == "tokens":
        return loss_of(case, torch.cat([each[0] for each in logits]), [label for _, labels in batch for label in labels])
    logits = torch.cat(logits)
    return loss_of(case, logits, [labels_of(case, logits.shape[1], *label) for _, label in batch])


def train(case, folder, rows, tests):
    model = make_families.load(folder, torch.float64, "tokens" if case["task"] == "tokens" else "classification")
    batches = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
    losses, grads = make_families.steps_of(model, batches, lambda model, batch: batch_loss(case, model, batch), RATE)
    return {"losses": losses, "after": make_families.logits_of(model, tests), "grads": grads}


def read_rows(case, tokenizer):
    """Encodings with labels, and those to test."""
    if case["task"] == "tokens":
        return make_families.read_words(os.path.join(TEXTS, "tokens"), tokenizer)
    encode = lambda *texts: dict(tokenizer(*texts, truncation=True, max_length=LENGTH))
    rows = [(encode(row["text"], row["pair"]), (index, int(row["label"]))) for index, row in enumerate(rows_of("train.csv"))]
    return rows, [encode(row["text"]) for row in rows_of("test.csv")]


def make_golden(out, family):
    lines = []
    for name, case in CASES.items():
        folder = folder_of(case, family)
        rows, tests = read_rows(case, BertTokenizer(os.path.join(folder, "vocab.txt"), model_max_length=LENGTH))
        lines.append(f"{json.dumps(name)}: {json.dumps(train(case, folder, rows, tests))}")
    with open(os.path.join(out, f"{family}.json"), "w", encoding="utf-8") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    print(family)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(GOLDENS, "tasks"))
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    for family in arguments.families or FAMILIES:
        make_golden(arguments.out, family)
