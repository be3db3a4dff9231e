#!/usr/bin/env python3
"""Loads a directory with Hugging Face's transformers and with ftc, and compares what they make of the same texts.

Needs torch and transformers. With --logits the directory must hold a classifier: one that `ftc run --output` saved, or
one that Hugging Face saved; logits must agree to 1e-4 (norm of the difference over norm). Without it only the token ids
are compared, which must be equal for every text.

Usage: huggingface.py FTC DIR --file FILE [--text-column NAME] [--pair-column NAME] [--logits]
"""

import argparse
import csv
import json
import math
import subprocess
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

LOGITS = 1e-4


def rows_of(path, text_column, pair_column):
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8-sig", newline="") as source:
        for row in csv.DictReader(source):
            yield (row[text_column], row[pair_column]) if pair_column else (row[text_column],)


def ftc_lines(command):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ftc")
    parser.add_argument("directory")
    parser.add_argument("--file", required=True)
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--pair-column")
    parser.add_argument("--logits", action="store_true")
    args = parser.parse_args()
    if args.logits and args.pair_column:
        parser.error("--logits works on single texts")

    columns = ["--file", args.file, "--text-column", args.text_column]
    if args.pair_column:
        columns += ["--pair-column", args.pair_column]
    tokenizer = AutoTokenizer.from_pretrained(args.directory)
    limit = tokenizer.model_max_length
    rows = list(rows_of(args.file, args.text_column, args.pair_column))

    ours = [
        line["input_ids"] for line in ftc_lines([args.ftc, "tokenize", args.directory, "--json", *columns])
    ]
    golden = [tokenizer(*row, truncation=True, max_length=limit)["input_ids"] for row in rows]
    different = [i for i, (a, b) in enumerate(zip(ours, golden)) if a != b]
    print(f"{len(golden)} texts, {len(ours)} from ftc, token ids differ in {len(different)}")
    for i in different[:5]:
        print(f"row {i + 1}: {rows[i]!r}\n  ftc          {ours[i]}\n  transformers {golden[i]}")
    failed = bool(different) or len(ours) != len(golden) or not golden

    if args.logits:
        model = AutoModelForSequenceClassification.from_pretrained(args.directory).eval()
        with torch.no_grad():
            expected = [model(input_ids=torch.tensor([ids])).logits[0].tolist() for ids in golden]
        texts = [row[0] for row in rows]
        got = [line["logits"] for line in ftc_lines([args.ftc, "predict", args.directory, "--json", *texts])]
        a, b = ([value for row in rows for value in row] for rows in (got, expected))
        error = math.dist(a, b) / math.hypot(*b) if len(a) == len(b) else math.inf
        print(f"logits differ by {error:.2e} (at most {LOGITS:g})")
        failed |= not error <= LOGITS
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
