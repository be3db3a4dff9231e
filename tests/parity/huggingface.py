#!/usr/bin/env python3
"""Loads a directory with Hugging Face's transformers and with ftc, and compares what they make of the same texts.

Needs torch and transformers. With --logits the directory must hold a classifier: one that `ftc run --output` saved, or
one that Hugging Face saved; logits must agree to 1e-4 (norm of the difference over norm), and what
pipeline("text-classification") answers, label and score, must be what `ftc predict` answers. Without it only the token
ids are compared, which must be equal for every text.

Usage: huggingface.py FTC DIR --file FILE [--text-column NAME] [--pair-column NAME] [--rows N] [--logits]
"""

import argparse
import csv
import itertools
import json
import math
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from premises import check_ids

LOGITS = 1e-4
SCORE = 1e-3  # of a label's probability; two labels that are as near to each other may change places


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


def compare_logits(directory, golden, answers):
    """Whether the model's logits are those of the answers."""
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    with torch.no_grad():
        expected = [
            model(**{k: torch.tensor([v]) for k, v in row.items()}).logits[0].tolist() for row in golden
        ]
    a, b = ([value for row in rows for value in row] for rows in ([a["logits"] for a in answers], expected))
    error = math.dist(a, b) / math.hypot(*b) if len(a) == len(b) else math.inf
    print(f"logits differ by {error:.2e} (at most {LOGITS:g})")
    return error <= LOGITS


def score_of(logits):
    """What pipeline() calls a score: the likeliest label's probability, or the value of a regression."""
    if len(logits) == 1:
        return logits[0]
    return 1 / sum(math.exp(value - max(logits)) for value in logits)


def compare_pipeline(directory, rows, answers):
    """Whether pipeline("text-classification") answers the same."""
    classify = pipeline("text-classification", model=directory, device="cpu")
    texts = [dict(zip(("text", "text_pair"), row)) for row in rows]
    expected = [classify(text, truncation=True) for text in texts]
    expected = [answer[0] if isinstance(answer, list) else answer for answer in expected]
    worst = other = 0
    for ours, theirs in zip(answers, expected):
        worst = max(worst, abs(score_of(ours["logits"]) - theirs["score"]))
        first, *second = sorted(ours["logits"], reverse=True)[:2]
        is_tie = second and first - second[0] < SCORE
        other += bool(second) and not is_tie and str(ours["label"]) != theirs["label"]
    print(
        f"pipeline: another label for {other} of {len(expected)} texts, scores differ by at most {worst:.2e}"
    )
    return len(answers) == len(expected) and not other and worst <= SCORE


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ftc")
    parser.add_argument("directory")
    parser.add_argument("--file", required=True)
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--pair-column")
    parser.add_argument("--rows", type=int, help="only the first so many rows of the file")
    parser.add_argument("--logits", action="store_true")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.directory)
    limit = tokenizer.model_max_length
    rows = list(itertools.islice(rows_of(args.file, args.text_column, args.pair_column), args.rows))
    texts = tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".jsonl")
    texts.writelines(json.dumps(dict(zip(("text", "pair"), row))) + "\n" for row in rows)
    texts.flush()
    columns = ["--file", texts.name, "--text-column", "text"]
    if args.pair_column:
        columns += ["--pair-column", "pair"]

    ours = [
        line["input_ids"] for line in ftc_lines([args.ftc, "tokenize", args.directory, "--json", *columns])
    ]
    golden = [tokenizer(*row, truncation=True, max_length=limit) for row in rows]
    check_ids(tokenizer, [row["input_ids"] for row in golden], most_unknown=0.5)
    different = [i for i, (a, b) in enumerate(zip(ours, golden)) if a != b["input_ids"]]
    print(f"{len(golden)} texts, {len(ours)} from ftc, token ids differ in {len(different)}")
    for i in different[:5]:
        print(f"row {i + 1}: {rows[i]!r}\n  ftc          {ours[i]}\n  transformers {golden[i]['input_ids']}")
    failed = bool(different) or len(ours) != len(golden) or not golden

    if args.logits:
        answers = ftc_lines([args.ftc, "predict", args.directory, "--json", *columns])
        failed |= not compare_logits(args.directory, golden, answers)
        failed |= not compare_pipeline(args.directory, rows, answers)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
