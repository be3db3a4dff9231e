#!/usr/bin/env python3
"""How fast losses leave the exact ones: of `ftc run` and of PyTorch, both in fp32, beside PyTorch in double.

Fine-tunes a Hugging Face directory to predict a number, without dropout, on the same batches with the same rates, once
for each seed; a seed chooses the rows, their order and the new head. Every rounding is amplified by the steps after it, so
that one run says little: over the seeds, the median of ftc's root mean square distance is to be at most --at-most times that of
PyTorch's. Prints both for every seed; ends with status 1 beyond that.

Needs torch and transformers. By hand: minutes a seed.

    drift.py build/ftc DIR --file reviews.csv --label-column stars --steps 80 --seeds 10
"""

import argparse
import csv
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from premises import check_ids

RATE = 5e-5


def rows_of(path, text_column, label_column):
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8", newline="") as source:
        return [(row[text_column], float(row[label_column])) for row in csv.DictReader(source)]


def losses_of_pytorch(model, batches):
    """The loss of each step of AdamW at a constant rate, in the precision of the model."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    losses = []
    for inputs, labels in batches:
        loss = torch.nn.functional.mse_loss(model(**inputs).logits[:, 0], labels.to(model.dtype))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def losses_of_ftc(ftc, directory, rows, args, scratch):
    train, metrics = os.path.join(scratch, "train.csv"), os.path.join(scratch, "metrics.jsonl")
    with open(train, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    command = [ftc, "run", "--pretrained", directory, "--train", train, "--loss", "mse", "--no-shuffle"]
    command += ["--dropout", "0", "--weight-decay", "0", "--lr", str(RATE), "--schedule", "constant"]
    command += ["--batch", str(args.batch), "--max-length", str(args.max_length), "--max-steps", str(args.steps)]
    command += ["--metrics", metrics, "--output", os.path.join(scratch, "output"), "--overwrite"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stderr}")
    with open(metrics, encoding="utf-8") as file:
        return [line["loss"] for line in map(json.loads, file) if "loss" in line]


def distance(losses, exact):
    """The root mean square of the relative distances."""
    if len(losses) != len(exact):
        return math.inf
    return math.hypot(*((a - b) / b for a, b in zip(losses, exact))) / math.sqrt(len(exact))


def distances_of(seed, rows, tokenizer, args):
    """How far ftc's losses, and those of PyTorch's fp32, are from those of PyTorch's double."""
    rows = random.Random(seed).sample(rows, args.batch * args.steps)
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.directory, num_labels=1, attn_implementation="eager"
    ).eval()  # no dropout
    batches = []
    for start in range(0, len(rows), args.batch):
        texts, labels = zip(*rows[start : start + args.batch])
        inputs = tokenizer(
            list(texts), truncation=True, max_length=args.max_length, padding=True, return_tensors="pt"
        )
        batches.append((inputs, torch.tensor(labels, dtype=torch.float64)))
    with tempfile.TemporaryDirectory() as scratch:
        directory = os.path.join(scratch, "model")
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        ours = losses_of_ftc(args.ftc, directory, rows, args, scratch)
        theirs = losses_of_pytorch(model, batches)
        exact = AutoModelForSequenceClassification.from_pretrained(
            directory, dtype=torch.float64, attn_implementation="eager"
        ).eval()
        exact = losses_of_pytorch(exact, batches)
    return distance(ours, exact), distance(theirs, exact)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ftc")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--file", required=True)
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--label-column", default="label")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--at-most", type=float, default=3, help="times PyTorch's distance")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.directory)
    rows = rows_of(args.file, args.text_column, args.label_column)
    texts = [text for text, _ in rows[: args.batch]]
    check_ids(tokenizer, tokenizer(texts, truncation=True, max_length=args.max_length)["input_ids"])
    found = []
    for seed in range(args.first, args.first + args.seeds):
        found.append(distances_of(seed, rows, tokenizer, args))
        ours, theirs = found[-1]
        print(f"seed {seed}: ftc {ours:.1e}, PyTorch's fp32 {theirs:.1e} from double", flush=True)
    ours, theirs = (statistics.median(distances) for distances in zip(*found))
    ratio = ours / theirs
    print(f"median: ftc {ours:.1e}, PyTorch's fp32 {theirs:.1e}, ratio {ratio:.2f} (at most {args.at_most:g})")
    return 0 if ratio <= args.at_most else 1


if __name__ == "__main__":
    sys.exit(main())
