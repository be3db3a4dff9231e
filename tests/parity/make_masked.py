#!/usr/bin/env python3
"""Makes the goldens that masked language modelling is compared with, by Hugging Face's models with random weights.

As make_families.py, whose vocabulary, shapes and texts these are: a folder in tests/golden/masked for each family. The masks are
drawn here as runtime/data/masking.h says, by a generator written anew, and given to the models of both sides. Of a few texts it is
also told what pipeline("fill-mask") puts in the places of their mask tokens.

Usage: make_masked.py [--out DIR] [FAMILY ...]
"""

import argparse
import csv
import json
import os

import torch
import transformers
from safetensors.torch import save_file

from make_families import BATCH, FAMILIES, HERE, LENGTH, SHAPE, inputs_of, steps_of, write_vocabulary
from premises import check_ids

CLASSES = {
    "bert": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "xlm-roberta": "XLMRobertaForMaskedLM",
    "camembert": "CamembertForMaskedLM",
    "distilbert": "DistilBertForMaskedLM",
    "electra": "ElectraForMaskedLM",
    "albert": "AlbertForMaskedLM",
    "mpnet": "MPNetForMaskedLM",
    "deberta-v2": "DebertaV2ForMaskedLM",
    "modernbert": "ModernBertForMaskedLM",
}
KINDS = {**FAMILIES, "bert": ("BertConfig", {})}
FILL = ["the food was {0}.", "{0} waiter brought the {0} soup twice, and we never came back", "Really {0}"]
PROBABILITY = 0.15
RATE = 1e-2
SEED = 42
CHOOSE, KIND, TOKEN = range(0x7FFFFFF0, 0x7FFFFFF3)
U64, U32 = 2**64 - 1, 2**32 - 1


def fold(h, word):
    x = h ^ (word + 0x9E3779B97F4A7C15 & U64)
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & U64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & U64
    return x ^ x >> 31


def cell(key, j):
    x = j * 0x9E3779B1 + key & U32
    x = (x ^ x >> 16) * 0x21F0AAAD & U32
    x = (x ^ x >> 15) + (key >> 32) & U32
    x = x * 0x735A2D97 & U32
    return (x >> 8 ^ x >> 23) * 2.0**-24


def masked(tokenizer, ids, seed, step, slot):
    """The text's ids as the model sees them, and what it has to predict: -100 where nothing."""
    size, special = len(tokenizer), set(tokenizer.all_special_ids)
    keys = {}
    for site in (CHOOSE, KIND, TOKEN):
        key = seed
        for word in (step, 0, site, slot):
            key = fold(key, word)
        keys[site] = key
    seen, labels = list(ids), [-100] * len(ids)
    for i, token in enumerate(ids):
        if token in special or cell(keys[CHOOSE], i) >= PROBABILITY:
            continue
        labels[i] = token
        what = cell(keys[KIND], i)
        if what < 0.8:
            seen[i] = tokenizer.mask_token_id
        elif what < 0.9:
            seen[i] = int(cell(keys[TOKEN], i) * size)
    return seen, labels


def make_model(folder, name, size):
    kind, changes = KINDS[name]
    shape = {} if "dim" in changes else {key: value for key, value in SHAPE.items() if key != "num_labels"}
    config = getattr(transformers, kind)(**{**shape, "vocab_size": size, **changes})
    torch.manual_seed(1)
    model = getattr(transformers, CLASSES[name])(config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            is_scale = "norm" in parameter_name.lower() and parameter_name.endswith("weight")
            parameter.copy_((1.0 if is_scale else 0.0) + 0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)


def load(folder, name, dtype):
    config = transformers.AutoConfig.from_pretrained(folder)
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    model = getattr(transformers, CLASSES[name]).from_pretrained(
        folder, config=config, attn_implementation="eager", dtype=torch.float32
    )
    return model.to(dtype)


def loss_of(model, batch):
    """The mean over the masked tokens of all texts, by the model's own means over each text's."""
    total, count = 0.0, 0
    for row, (seen, labels) in batch:
        n = sum(label != -100 for label in labels)
        if n:
            inputs = inputs_of(model, {**row, "input_ids": seen})
            total = total + model(**inputs, labels=torch.tensor([labels])).loss * n
        count += n
    return total / max(count, 1)


def accuracy_of(model, batch):
    right = count = 0
    for row, (seen, labels) in batch:
        logits = model(**inputs_of(model, {**row, "input_ids": seen})).logits[0]
        for answer, label in zip(logits.argmax(-1).tolist(), labels):
            right += label != -100 and answer == label
            count += label != -100
    return right / count


def evaluate(model, batch):
    model.eval()
    with torch.no_grad():
        return {"loss": loss_of(model, batch).item(), "masked_accuracy": accuracy_of(model, batch)}


def train(folder, name, batches, tests, dtype):
    model = load(folder, name, dtype)
    losses, _ = steps_of(model, batches, loss_of, RATE)
    return losses, evaluate(model, tests)


def fill(folder, name, tokenizer):
    """What transformers' pipeline puts in the places of the mask tokens of some texts: [token, token_str, score]."""
    model = load(folder, name, torch.float64).eval()
    texts = [text.format(tokenizer.mask_token) for text in FILL]
    answers = [transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)(text) for text in texts]
    lists = [answer if isinstance(answer[0], list) else [answer] for answer in answers]
    told = [[[[one["token"], one["token_str"], one["score"]] for one in top] for top in masks] for masks in lists]
    return {"texts": texts, "masks": told}


def make_golden(out, texts, name):
    kind, changes = KINDS[name]
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    tokenizer, size = write_vocabulary(folder, changes.get("pad_token_id", getattr(transformers, kind)().pad_token_id))
    make_model(folder, name, size)

    with open(texts, encoding="utf-8", newline="") as file:
        rows = [dict(tokenizer(row["text"], truncation=True, max_length=LENGTH)) for row in csv.DictReader(file)]
    check_ids(tokenizer, [row["input_ids"] for row in rows])
    draw = lambda row, seed, step, slot: (row, masked(tokenizer, row["input_ids"], seed, step, slot))
    first = [draw(row, 0, 0, slot) for slot, row in enumerate(rows[:BATCH])]
    batches = [
        [draw(row, SEED, 1 + at // BATCH, slot) for slot, row in enumerate(rows[at : at + BATCH])]
        for at in range(0, len(rows), BATCH)
    ]
    tests = [draw(row, 0, 0, slot) for slot, row in enumerate(rows)]

    model = load(folder, name, torch.float64)
    loss = loss_of(model, first)
    loss.backward()
    tied = model._tied_weights_keys  # by the names that are saved
    grads = {tied.get(key, key): p.grad.float() for key, p in model.named_parameters() if p.grad is not None}
    save_file(grads, os.path.join(folder, "grads.safetensors"))
    losses, after = train(folder, name, batches, tests, torch.float64)
    golden = {
        "made_with": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "batch": BATCH,
        "rate": RATE,
        "masked": [labels for _, (_, labels) in first],
        "before": evaluate(load(folder, name, torch.float64), tests),
        "losses": losses,
        "after": after,
        "fill": fill(folder, name, tokenizer),
    }
    with open(os.path.join(folder, "golden.json"), "w", encoding="utf-8") as file:
        entries = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
        file.write("{\n" + ",\n".join(entries) + "\n}\n")
    print(f"{name}: loss {loss.item():.6f}, {golden['before']} to {after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(HERE, "..", "golden", "masked"))
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    arguments = parser.parse_args()
    texts = os.path.join(HERE, "..", "golden", "families", "train.csv")
    for name in arguments.families or CLASSES:
        make_golden(arguments.out, texts, name)


if __name__ == "__main__":
    main()
