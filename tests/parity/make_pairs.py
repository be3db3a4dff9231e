#!/usr/bin/env python3
"""Makes the goldens of sentence pairs by in-batch negatives, by PyTorch.

Needs torch and transformers, as make_families.py does, whose tiny models and texts these are. For each family
tests/golden/pairs/FAMILY.json: the losses of twenty steps of AdamW, and of ten steps of two batches each; loss, accuracy and cosines
after the twenty; and of the first batch's gradients the norm and a sum of cells by cosines, for each tensor. The loss is sentence-transformers' MultipleNegativesRankingLoss with
the mean of the tokens; `--sentence-transformers` compares with that class itself, where it is installed. PyTorch computes in
double; dropout is 0.

Usage: make_pairs.py [--out DIR] [--sentence-transformers] [FAMILY ...]
"""

import argparse
import json
import os

import torch
import torch.nn.functional as F
import transformers
from transformers import BertTokenizer

from make_families import inputs_of, steps_of
from pairs import BATCH, FOLDERS, LENGTH, RATE, SCALE, SHOWN, rows_of


def load(folder):
    config = transformers.AutoConfig.from_pretrained(folder)
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    options = {"attn_implementation": "eager", "dtype": torch.float32}
    return transformers.AutoModel.from_pretrained(folder, config=config, **options).to(torch.float64)


def vector_of(model, row):
    return model(**inputs_of(model, row)).last_hidden_state[0].mean(0)


def cosines_of(model, batch):
    """Of each first text with each second one."""
    first, second = (torch.stack([vector_of(model, pair[i]) for pair in batch]) for i in range(2))
    return F.normalize(first) @ F.normalize(second).T


def loss_of(cosines):
    return F.cross_entropy(cosines * SCALE, torch.arange(len(cosines)))


def loss_of_theirs(model, batch):
    """The same by sentence-transformers, whose model is no more than the vectors here."""
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    embed = lambda rows: {"sentence_embedding": torch.stack([vector_of(model, row) for row in rows])}
    loss = MultipleNegativesRankingLoss(embed, scale=SCALE)
    return loss([[first for first, _ in batch], [second for _, second in batch]], torch.tensor([]))


def evaluate(model, batches):
    model.eval()
    with torch.no_grad():
        all_cosines = [cosines_of(model, batch) for batch in batches]
    rows = sum(map(len, batches))
    right = sum((c.argmax(1) == torch.arange(len(c))).sum().item() for c in all_cosines)
    return {
        "loss": sum(loss_of(c).item() * len(c) for c in all_cosines) / rows,
        "accuracy": right / rows,
        "cosines": [x for c in all_cosines for x in c.diagonal().tolist()][:SHOWN],
    }


def train(folder, windows, compares):
    """Steps of several batches each, of which each has its own negatives. The model, the losses, and sums of the first step's
    gradients."""

    def window_loss(model, window):
        loss = sum(loss_of(cosines_of(model, batch)) for batch in window) / len(window)
        if compares:
            theirs = sum(loss_of_theirs(model, batch) for batch in window) / len(window)
            assert abs(loss - theirs) < 1e-12 * loss
        return loss

    model = load(folder)
    losses, grads = steps_of(model, windows, window_loss, RATE)
    return model, losses, {f"{model.base_model_prefix}.{name}": sums for name, sums in grads.items()}


def make_golden(out, family, compares):
    folder = FOLDERS[family]
    tokenizer = BertTokenizer(os.path.join(folder, "vocab.txt"), model_max_length=LENGTH)
    encode = lambda text: dict(tokenizer(text, truncation=True, max_length=LENGTH))
    rows = [(encode(row["text"]), encode(row["pair"])) for row in rows_of()]
    batches = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
    model, losses, grads = train(folder, [[batch] for batch in batches], compares)
    _, in_windows, _ = train(folder, [batches[i : i + 2] for i in range(0, len(batches), 2)], compares)
    golden = {"losses": losses, "losses of two batches": in_windows, "after": evaluate(model, batches), "grads": grads}
    with open(os.path.join(out, f"{family}.json"), "w", encoding="utf-8") as file:
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{family}: loss {golden['losses'][0]:.6f} to {golden['losses'][-1]:.6f}, after {golden['after']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "pairs"))
    parser.add_argument("--sentence-transformers", action="store_true")
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    for family in arguments.families or FOLDERS:
        make_golden(arguments.out, family, arguments.sentence_transformers)
