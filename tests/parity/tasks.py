#!/usr/bin/env python3
"""Trains several labels a text, and texts and tokens with weights of classes, focal loss and label smoothing; compares with PyTorch.

For each line of a golden of make_tasks.py: the loss of the first batch (1e-5 relative), the losses of twenty steps (1e-3), the logits
after them (1e-3) and each gradient of the first batch by its norm and a sum of its cells by cosines (1e-4 of the norm). Losses
that weigh are trained in micro-batches, too. Standard library only; the goldens are committed.

Usage: tasks.py FTC [FAMILY ...]
"""

import csv
import json
import math
import os
import sys
import tempfile

import tensorfile
from check import GRADIENT, LOGITS_AFTER, LOSS, STEP_1_LOSS, Check, relative, worst
from families import GOLDENS as TEXTS, flat_golden, logits_of

GOLDENS = os.path.join(TEXTS, "..")
FAMILIES = ("bert", "distilbert")
BATCH, RATE, LENGTH = 4, 2e-3, 40
WEIGHTS = (0.5, 2.0, 1.25, 1.0, 3.0)  # of as many classes as a model has
SEVERAL, ONE, TOKENS = {"task": "multi_label"}, {"task": "classification"}, {"task": "tokens"}
CASES = {
    "bce": SEVERAL,
    "bce, weights": {**SEVERAL, "weights": True},
    "bce, smoothing": {**SEVERAL, "smoothing": 0.1},
    "binary focal, weights": {**SEVERAL, "weights": True, "gamma": 2.0},
    "weights": {**ONE, "weights": True},
    "weights, smoothing": {**ONE, "weights": True, "smoothing": 0.1},
    "focal": {**ONE, "gamma": 2.0},
    "focal, weights, gamma 0.5": {**ONE, "weights": True, "gamma": 0.5},
    "tokens, weights": {**TOKENS, "weights": True},
    "tokens, weights, smoothing": {**TOKENS, "weights": True, "smoothing": 0.1},
    "tokens, focal": {**TOKENS, "gamma": 2.0},
    "tokens, focal, weights, gamma 0.5": {**TOKENS, "weights": True, "gamma": 0.5},
}


def folder_of(case, family):
    """The tiny model: of labels of tokens that of families.py, else also the BERT of check.py."""
    if case["task"] == "tokens":
        return os.path.join(TEXTS, "tokens", family)
    return os.path.join(GOLDENS, "parity", "tiny", "model") if family == "bert" else os.path.join(TEXTS, family)


def rows_of(name):
    with open(os.path.join(TEXTS, name), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names_of(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        return list(json.load(file)["id2label"].values())


def labels_of(case, count, index, label):
    """The class of a row, or those of `count` that it has: none, some or all."""
    return label if case["task"] == "classification" else [k for k in range(count) if (5 * index + label) % 2**count >> k & 1]


def write_rows(case, names_by_id, path):
    with open(path, "w", encoding="utf-8") as file:
        for index, row in enumerate(rows_of("train.csv")):
            labels = labels_of(case, len(names_by_id), index, int(row["label"]))
            names = names_by_id[labels] if isinstance(labels, int) else [names_by_id[k] for k in labels]
            file.write(json.dumps({"text": row["text"], "pair": row["pair"], "label": names}) + "\n")


def check_gradients(check, what, path, theirs):
    ours = tensorfile.read(path)
    error, worst_name = 0, ""
    for name, (norm, by_cosines) in theirs.items():
        cells = ours[name][1]
        mine = math.hypot(*cells), sum(g * math.cos(i) for i, g in enumerate(cells))
        off = max(abs(mine[0] - norm), abs(mine[1] - by_cosines)) / (norm if norm > 1e-6 else 1)
        if off > error:
            error, worst_name = off, name
    check.that(f"{what}: {len(theirs)} gradients, worst {worst_name}", error, GRADIENT)


def check_case(check, family, name, golden, scratch):
    case, what, folder = CASES[name], f"{family}, {name}", folder_of(CASES[name], family)
    names, of_tokens = names_of(folder), case["task"] == "tokens"
    rows, grads, metrics, output, weights = (
        os.path.join(scratch, file) for file in ("rows.jsonl", "grads.safetensors", "metrics.jsonl", "model", "weights.json")
    )
    if of_tokens:
        rows = os.path.join(TEXTS, "tokens", "train.jsonl")
    else:
        write_rows(case, names, rows)
    with open(weights, "w", encoding="utf-8") as file:
        json.dump(dict(zip(names, WEIGHTS)), file)
    model = ["--pretrained", folder, "--task", case["task"]]
    model += ["--max-length", LENGTH]
    model += ["--loss", "focal"] if "gamma" in case else []
    data = ["--train", rows] + ([] if of_tokens else ["--pair-column", "pair"])
    weighs = ["--set", "class_weights=" + "|".join(map(str, WEIGHTS[: len(names)]))] if "weights" in case else []
    if "smoothing" not in case and case.get("gamma", 2.0) == 2.0:
        check.run("verify", *model, *weighs, *data, "--batch", BATCH, "--dump-grads", grads, statuses=(0, 1))
        check_gradients(check, what, grads, golden["grads"])
    training = ["--epochs", 1, "--lr", RATE, "--no-shuffle", "--dropout", 0, "--cache", "none", "--metrics", metrics, "--overwrite"]
    training += ["--class-weights", weights] if "weights" in case else []
    training += ["--label-smoothing", case["smoothing"]] if "smoothing" in case else []
    training += ["--focal-gamma", case["gamma"]] if "gamma" in case else []
    windows = [(BATCH, 1)] + ([(1, BATCH)] if "weights" in case else [])
    for batch, accumulation in windows:
        check.run("run", *model, *data, *training, "--batch", batch, "--accumulation", accumulation, "--output", output)
        with open(metrics, encoding="utf-8") as file:
            losses = [line["loss"] for line in map(json.loads, file) if "loss" in line]
        of = f"{what}, {accumulation} of {batch}"
        check.that(f"{of}: loss of step 1", worst(losses[:1], golden["losses"][:1]), STEP_1_LOSS)
        check.that(f"{of}: losses of {len(losses)} steps", worst(losses, golden["losses"]), LOSS)
        after = relative(logits_of(check, output, of_tokens), flat_golden(golden["after"], of_tokens))
        check.that(f"{of}: logits after training", after, LOGITS_AFTER)


def main():
    check = Check(sys.argv[1])
    for family in sys.argv[2:] or FAMILIES:
        with open(os.path.join(GOLDENS, "tasks", f"{family}.json"), encoding="utf-8") as file:
            goldens = json.load(file)
        for name in CASES:
            with tempfile.TemporaryDirectory() as scratch:
                check_case(check, family, name, goldens[name], scratch)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
