#!/usr/bin/env python3
"""The whole job in PyTorch, as the tutorial writes it: load, tokenize, one epoch of AdamW with a linear schedule, save.

What bench/compare times beside `ftc run` from start to end, on the same rows in the same order.
"""

import argparse
import csv

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--pretrained", required=True)
parser.add_argument("--train", required=True, help="CSV file with the columns label,text")
parser.add_argument("--pad", choices=["max_length", "longest"], required=True)
parser.add_argument("--output", required=True)
parser.add_argument("--length", type=int, default=512)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--batches", type=int, default=0, help="at most so many; 0: the whole file")
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: under autocast")
args = parser.parse_args()

import torch  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
)

torch.set_num_threads(args.threads)
torch.manual_seed(0)
csv.field_size_limit(1 << 30)
with open(args.train, encoding="utf-8", newline="") as file:
    rows = [(row["text"], int(row["label"])) for row in csv.DictReader(file)]
if args.batches:
    rows = rows[: args.batches * args.batch]
tokenizer = AutoTokenizer.from_pretrained(args.pretrained)
model = AutoModelForSequenceClassification.from_pretrained(args.pretrained, num_labels=5)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
batches = [rows[i : i + args.batch] for i in range(0, len(rows), args.batch)]
schedule = get_linear_schedule_with_warmup(optimizer, 0, len(batches))
tokens = [
    tokenizer(
        [text for text, _ in batch],
        padding=args.pad,
        truncation=True,
        max_length=args.length,
        return_tensors="pt",
    )
    for batch in batches
]
model.train()
for batch, encoded in zip(batches, tokens, strict=True):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
        loss = model(**encoded, labels=torch.tensor([label for _, label in batch])).loss
    loss.backward()
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
model.save_pretrained(args.output)
tokenizer.save_pretrained(args.output)
