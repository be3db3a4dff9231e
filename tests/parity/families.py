#!/usr/bin/env python3
"""Trains each family from its directory alone, and compares every number with that of Hugging Face's model.

For each golden of make_families.py: every gradient of the first batch (1e-4, norm of the difference over norm), its loss (1e-5
relative), logits before (1e-4) and after twenty steps (1e-3), their losses (1e-3). What is saved has the tensors that
transformers saves, and names the same class. No model's text is named: ftc finds it by config.json's model_type. Standard
library only; the goldens are committed. Those of labels of tokens are called tokens/FAMILY.

Usage: families.py FTC [FAMILY ... | tokens]
"""

import csv
import json
import os
import subprocess
import sys
import tempfile

import compare
import tensorfile
from check import GRADIENT, LOGITS_AFTER, LOGITS_BEFORE, LOSS, STEP_1_LOSS, Check, flat, relative, worst

GOLDENS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "families")


def texts():
    with open(os.path.join(GOLDENS, "test.csv"), encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def logits_of(check, folder, of_tokens):
    """Of texts, or of the words that have a token."""
    if not of_tokens:
        lines = check.run("predict", folder, "--json", *texts()).splitlines()
        return flat(json.loads(line)["logits"] for line in lines)
    lines = check.run("predict", folder, "--json", "--file", os.path.join(GOLDENS, "tokens", "test.jsonl")).splitlines()
    return flat(row for line in lines for row in json.loads(line)["logits"] if row)


def flat_golden(logits, of_tokens):
    return flat(flat(logits)) if of_tokens else flat(logits)


def check_saved(check, name, golden_dir, output):
    """The directory is one that the family's Auto class loads: its class, and its tensors by name and shape."""
    configs = []
    for folder in (golden_dir, output):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            configs.append(json.load(file, parse_float=lambda text: ("float", float(text))))  # 2.0 is not 2
    theirs, ours = configs
    kept = [key for key in theirs if theirs[key] is not None and key != "transformers_version"]
    wrong = [key for key in kept if ours.get(key) != theirs[key]]
    check.that(f"{name}: entries of config.json that differ: {wrong}", len(wrong), 0)
    shapes = [
        {key: shape for key, (shape, _) in tensorfile.read(os.path.join(folder, "model.safetensors")).items()}
        for folder in (golden_dir, output)
    ]
    check.that(f"{name}: tensors that were saved otherwise", len(shapes[0].items() ^ shapes[1].items()), 0)


def check_family(check, name, scratch):
    golden_dir, output = os.path.join(GOLDENS, name), os.path.join(scratch, name)
    of_tokens = name.startswith("tokens/")
    os.makedirs(os.path.dirname(output), exist_ok=True)
    with open(os.path.join(golden_dir, "golden.json"), encoding="utf-8") as file:
        golden = json.load(file)
    rows = ["--train", os.path.join(GOLDENS, "train.csv"), "--pair-column", "pair"]
    if of_tokens:
        rows = ["--train", os.path.join(GOLDENS, "tokens", "train.jsonl")]
    rows += ["--batch", golden["batch"]]
    grads, metrics = os.path.join(scratch, "grads.safetensors"), os.path.join(scratch, "metrics.jsonl")
    # Whether ftc's own ways agree is not the question: of gradients that are zero in theory they need not.
    check.run("verify", "--pretrained", golden_dir, *rows, "--dump-grads", grads, statuses=(0, 1))
    theirs = tensorfile.read(os.path.join(golden_dir, "grads.safetensors"))
    worst_name, error, _ = max(compare.errors(tensorfile.read(grads), theirs), key=lambda found: found[1])
    check.that(f"{name}: {len(theirs)} gradients, worst {worst_name}", error, GRADIENT)
    before = relative(logits_of(check, golden_dir, of_tokens), flat_golden(golden["before"], of_tokens))
    check.that(f"{name}: logits before training", before, LOGITS_BEFORE)
    training = ["--epochs", 1, "--lr", golden["rate"], "--no-shuffle", "--dropout", 0, "--cache", "none"]
    check.run("run", "--pretrained", golden_dir, *rows, *training, "--metrics", metrics, "--output", output)
    with open(metrics, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    losses, tokens = ([line[key] for line in lines if "loss" in line] for key in ("loss", "tokens"))
    check.that(f"{name}: loss of step 1", worst(losses[:1], golden["losses"][:1]), STEP_1_LOSS)
    check.that(f"{name}: losses of {len(losses)} steps", worst(losses, golden["losses"]), LOSS)
    padded = lines[-1]["total_flos"] / (6 * golden["parameters"])
    misses = padded % 1 if sum(tokens) <= padded <= max(tokens) * golden["batch"] * len(tokens) else 1
    check.that(f"{name}: operations are 6 a padded token and parameter outside of embeddings", misses, 1e-6)
    after = relative(logits_of(check, output, of_tokens), flat_golden(golden["after"], of_tokens))
    check.that(f"{name}: logits after training", after, LOGITS_AFTER)
    check_saved(check, name, golden_dir, output)


def main():
    check = Check(sys.argv[1])
    names = sys.argv[2:]
    if names in ([], ["tokens"]):
        folder = os.path.join(GOLDENS, *names)
        found = [name for name in os.listdir(folder) if os.path.exists(os.path.join(folder, name, "golden.json"))]
        names = sorted(os.path.join(*names, name) for name in found)
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            check_family(check, name, scratch)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
