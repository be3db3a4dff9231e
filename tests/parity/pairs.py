#!/usr/bin/env python3
"""Trains on sentence pairs by in-batch negatives, and compares every number with PyTorch's.

For each golden of make_pairs.py: the loss of the first batch (1e-5 relative), the losses of twenty steps (1e-3), loss, accuracy and
cosines after them (1e-3), and each gradient of the first batch by its norm and a sum of its cells by cosines (1e-4 of the norm).
Steps of several micro-batches, and of several shards, each of which has its own negatives. What is saved is the encoder alone, as a
folder of sentence-transformers; answers are cosines and vectors. Standard library only; the goldens are committed.

Usage: pairs.py FTC [FAMILY ...]
"""

import csv
import json
import os
import sys
import tempfile

import tensorfile
from check import LOGITS_AFTER, LOSS, STEP_1_LOSS, Check, relative, worst
from tasks import check_gradients

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDENS = os.path.join(HERE, "..", "golden")
TEXTS = os.path.join(GOLDENS, "families", "train.csv")
FAMILIES = ["albert", "camembert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta", "xlm-roberta"]
FOLDERS = {name: os.path.join(GOLDENS, "families", name) for name in FAMILIES}
FOLDERS["bert"] = os.path.join(GOLDENS, "parity", "tiny", "model")

BATCH, RATE, LENGTH, SCALE, SHOWN = 4, 2e-3, 40, 20.0, 8
PREFIXES = ("albert.", "bert.", "deberta.", "distilbert.", "electra.", "model.", "mpnet.", "roberta.")
COLUMNS = ["--text-column", "text", "--pair-column", "pair"]


def rows_of():
    with open(TEXTS, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def check_windows(check, golden, scratch, *arguments):
    """Of each micro-batch and shard the loss is over its own negatives; a step has their mean."""
    metrics = os.path.join(scratch, "windows.jsonl")
    for option in ("--accumulation", "--shards"):
        check.run("run", *arguments, option, 2, "--metrics", metrics, "--output", os.path.join(scratch, "windows"), "--overwrite")
        losses = [line["loss"] for line in lines_of(metrics) if "loss" in line]
        check.that(f"{option} 2: losses of {len(losses)} steps", worst(losses, golden["losses of two batches"]), LOSS)


def check_adapters(check, scratch, *arguments):
    """Adapters have the names that they have in the encoder's own class; they answer as the merged model does."""
    scores = []
    for name, more in (("adapters", []), ("merged", ["--lora-merge"])):
        output = os.path.join(scratch, name)
        check.run("run", *arguments, "--lora", "query,value", *more, "--output", output)
        told = check.run("predict", output, "--file", TEXTS, *COLUMNS, "--json").splitlines()
        scores.append([json.loads(line)["score"] for line in told])
    check.that("cosines by adapters and merged", relative(*scores), 1e-5)
    names = tensorfile.read(os.path.join(scratch, "adapters", "adapter_model.safetensors"))
    within = sum(name.startswith("base_model.model.encoder.layer.") for name in names)
    check.that(f"{len(names)} tensors of adapters in the encoder's class", len(names) - within, 0)
    with open(os.path.join(scratch, "adapters", "adapter_config.json"), encoding="utf-8") as file:
        kind = json.load(file)["task_type"]
    check.that(f"PEFT's task {kind}", kind != "FEATURE_EXTRACTION", 0)


def check_saved(check, family, output):
    """The encoder alone, and the pooling."""
    configs = []
    for name in ("config.json", "modules.json", os.path.join("1_Pooling", "config.json")):
        with open(os.path.join(output, name), encoding="utf-8") as file:
            configs.append(json.load(file))
    config, modules, pooling = configs
    types = [module["type"].split(".")[-1] for module in modules]
    check.that(f"{family}: {config['architectures']}, {types}", types != ["Transformer", "Pooling", "Normalize"], 0)
    check.that(f"{family}: pooling is the mean", not pooling["pooling_mode_mean_tokens"] or pooling["pooling_mode_cls_token"], 0)
    heads = [name for name in tensorfile.read(os.path.join(output, "model.safetensors")) if not name.startswith(PREFIXES)]
    check.that(f"{family}: tensors of a head {heads}", len(heads), 0)


def check_answers(check, family, output, after):
    """Cosines of a file's pairs, and of a text with others; vectors of an odd number of texts."""
    told = check.run("predict", output, "--file", TEXTS, *COLUMNS, "--json").splitlines()[:SHOWN]
    cosines = [json.loads(line)["score"] for line in told]
    check.that(f"{family}: cosines after training", relative(cosines, after["cosines"]), LOGITS_AFTER)
    pairs = [(row["text"], row["pair"]) for row in rows_of()[:2]]
    others = check.run("predict", output, pairs[0][0], pairs[0][1], pairs[1][1], "--csv").splitlines()
    row, score = others[1].split(",")[:2]
    check.that(f"{family}: cosine of a text and another", abs(float(score) - cosines[0]) + (len(others) != 3) + int(row), 1e-5)
    texts = [*pairs[0], pairs[1][0]]
    vectors = [json.loads(line)["embedding"] for line in check.run("predict", output, *texts, "--embeddings").splitlines()]
    product = sum(a * b for a, b in zip(vectors[0], vectors[1], strict=True))
    check.that(f"{family}: product of {len(vectors)} vectors", abs(product - cosines[0]) + (len(vectors) != 3), 1e-5)
    lengths = max(abs(sum(x * x for x in vector) - 1) for vector in vectors)
    check.that(f"{family}: vectors are of length 1", lengths, 1e-5)


def check_family(check, family, scratch):
    with open(os.path.join(GOLDENS, "pairs", f"{family}.json"), encoding="utf-8") as file:
        golden = json.load(file)
    grads, metrics, output = (os.path.join(scratch, name) for name in ("grads.safetensors", "metrics.jsonl", family))
    model = ["--pretrained", FOLDERS[family], "--task", "pairs", "--max-length", LENGTH, "--batch", BATCH]
    data = ["--train", TEXTS, *COLUMNS, "--cache", "none"]
    check.run("verify", *model, *data, "--dump-grads", grads, statuses=(0, 1))
    check_gradients(check, family, grads, golden["grads"])
    training = ["--epochs", 1, "--lr", RATE, "--no-shuffle", "--dropout", 0, "--test", TEXTS]
    check.run("run", *model, *data, *training, "--metrics", metrics, "--output", output)
    log, after = lines_of(metrics), golden["after"]
    losses = [line["loss"] for line in log if "loss" in line]
    evaluation = next(line for line in log if "eval_loss" in line)
    check.that(f"{family}: loss of step 1", worst(losses[:1], golden["losses"][:1]), STEP_1_LOSS)
    check.that(f"{family}: losses of {len(losses)} steps", worst(losses, golden["losses"]), LOSS)
    check.that(f"{family}: loss after training", worst([evaluation["eval_loss"]], [after["loss"]]), LOSS)
    check.that(f"{family}: accuracy after training", abs(evaluation["eval_accuracy"] - after["accuracy"]), 1e-6)
    again = json.loads(check.run("eval", output, "--test", TEXTS, *COLUMNS, "--cache", "none", "--json"))
    check.that(f"{family}: ftc eval", worst([again["eval_loss"]], [after["loss"]]), LOSS)
    check_saved(check, family, output)
    check_answers(check, family, output, after)
    if family == "bert":
        check_windows(check, golden, scratch, *model, *data, *training)
        check_adapters(check, scratch, *model, *data, *training)


def main():
    check = Check(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        for family in sys.argv[2:] or sorted(FOLDERS):
            check_family(check, family, scratch)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
