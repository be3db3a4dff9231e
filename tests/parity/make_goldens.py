#!/usr/bin/env python3
"""Makes the goldens that ftc's training is compared with, by PyTorch and Hugging Face's BERT.

Needs torch and transformers (bench/peers.sh sets them up). A golden is a folder:

    model/              a Hugging Face directory with random weights, head included
    train.csv test.csv  the texts, in the order of the batches
    grads.safetensors   the gradient of the first batch's loss, under Hugging Face's names
    golden.json         batches as token ids, losses and learning rates of every step, logits afterwards

PyTorch computes in double, so that a difference is ftc's alone; golden.json also says how far PyTorch's own float32 is
from it, and what PyTorch's autocast to bfloat16 makes of the gradients and of the runs in AUTOCAST. Dropout is 0; RECIPES
below says how each run trains.

Usage: make_goldens.py                                    the tiny BERT of tests/golden/parity/tiny
       make_goldens.py --pretrained DIR --out DIR         the same for a pretrained BERT, with a random head
"""

import argparse
import csv
import io
import json
import math
import os
import shutil
import subprocess
import sys

import torch
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
    get_scheduler,
)

from premises import check_dropout, check_ids

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
DATA = os.path.join(ROOT, "models", "data")

LABELS = 5
BATCHES = 20
BATCH = 4
TEST_ROWS = 12

# How a run trains. The first is what `ftc run` does with no options; the second moves a tiny model far enough to show
# a wrong optimizer; the third goes through everything that Trainer adds; of the others each shows one thing of it alone.
TUTORIAL = {
    "name": "tutorial",
    "epochs": 1,
    "lr": 5e-5,
    "weight_decay": 0.01,
    "schedule": "linear",
    "warmup": 0,
    "accumulate": 1,
    "max_grad_norm": None,
    "decay_all": True,
}
FAST = {**TUTORIAL, "name": "fast", "lr": 2e-3}
TRAINER = {
    "name": "trainer",
    "epochs": 3,
    "lr": 1e-3,
    "weight_decay": 0.1,
    "schedule": "cosine",
    "warmup": 5,
    "accumulate": 3,  # 20 batches: the last window of an epoch has two
    "max_grad_norm": 0.5,
    "decay_all": False,
}
PLAIN = {
    **TUTORIAL,
    "lr": 1e-3,
    "weight_decay": 0.0,
    "schedule": "constant",
    "decay_all": False,
}
ALONE = [
    {"name": "accumulation", "epochs": 3, "accumulate": 3},
    {"name": "clipping", "max_grad_norm": 0.5},
    {"name": "weight decay", "weight_decay": 0.5},
    {"name": "label smoothing", "label_smoothing": 0.1},
    {"name": "betas and epsilon", "betas": [0.8, 0.95], "eps": 1e-4},
    {"name": "linear schedule", "schedule": "linear", "warmup": 4},
    {"name": "cosine schedule", "schedule": "cosine", "warmup": 4},
    {
        "name": "restarting schedule",
        "schedule": "cosine_with_restarts",
        "warmup": 4,
        "kwargs": {"num_cycles": 2},
    },
    {"name": "polynomial schedule", "schedule": "polynomial", "kwargs": {"power": 2.0, "lr_end": 1e-5}},
    {"name": "warm-up alone", "schedule": "constant_with_warmup", "warmup": 6},
    {"name": "inverse square root", "schedule": "inverse_sqrt", "warmup": 4},
    {
        "name": "resumed",  # the whole state goes through a file after step 10
        "schedule": "cosine",
        "weight_decay": 0.1,
        "max_grad_norm": 0.5,
        "resume_after": 10,
    },
]
AUTOCAST = ["tutorial", "fast"]
RECIPES = {
    "tiny": [TUTORIAL, FAST, TRAINER, *({**PLAIN, **recipe} for recipe in ALONE)],
    "pretrained": [TUTORIAL],
}


def rows_of(name, count):
    with open(os.path.join(DATA, name), encoding="utf-8", newline="") as source:
        rows = [(int(row["label"]), row["text"]) for row in csv.DictReader(source)]
    return rows[:count]


def write_csv(path, rows, columns=("label", "text")):
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def training_rows():
    rows = rows_of("reviews-train.csv", BATCHES * BATCH)
    rows[1] = (rows[1][0], "Ok")  # the shortest beside the longest: a ragged batch
    rows[2] = (rows[2][0], " ".join(text for _, text in rows[4:10]))  # truncated
    rows[3] = (
        rows[3][0],
        "The [PAD] was good, the [MASK] was not.",
    )  # attended to, but no gradient for [PAD]
    return rows


def make_tiny(directory):
    """A tiny BERT whose every parameter, biases and LayerNorm included, is random and matters."""
    subprocess.run(
        [sys.executable, os.path.join(ROOT, "models", "tools", "make_vocab.py"), "--size", "300"]
        + ["--max-length", "96", "--out", directory],
        check=True,
    )
    with open(os.path.join(directory, "vocab.txt"), encoding="utf-8") as file:
        vocabulary = file.read().split()
    torch.manual_seed(1)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=96,
            num_labels=LABELS,
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            parameter.copy_(centre + 0.2 * torch.randn_like(parameter))
    model.save_pretrained(directory)


def make_pretrained(source, directory):
    """The pretrained weights with a random head, saved so that both sides read the very same numbers."""
    torch.manual_seed(1)
    BertForSequenceClassification.from_pretrained(source, num_labels=LABELS).save_pretrained(directory)
    for name in ("vocab.txt", "tokenizer_config.json", "tokenizer.json"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copy(os.path.join(source, name), directory)


def load(directory, dtype):
    model = BertForSequenceClassification.from_pretrained(
        directory,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.0,
        attn_implementation="eager",
    )
    return model.to(dtype)


def padded(ids):
    """Token ids of different lengths as a matrix and its attention mask."""
    longest = max(map(len, ids))
    matrix = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return {"input_ids": matrix, "attention_mask": mask}


def loss_of(model, batch, smoothing=0.0, autocast=False):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        output = model(**padded(batch["input_ids"]), labels=torch.tensor(batch["labels"]))
    if not smoothing:
        return output.loss
    logs = output.logits.log_softmax(-1)  # as transformers' LabelSmoother weighs it
    return (1 - smoothing) * output.loss - smoothing * logs.mean(-1).mean()


def first_gradients(directory, batch, dtype, autocast=False):
    model = load(directory, dtype)
    loss = loss_of(model, batch, autocast=autocast)
    loss.backward()
    return loss.item(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def parameter_groups(model, recipe):
    """All parameters decay in torch's own AdamW; Trainer spares biases and LayerNorm."""
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[recipe["decay_all"] or not ("bias" in name or "LayerNorm" in name)].append(parameter)
    return [
        {"params": groups[True], "weight_decay": recipe["weight_decay"]},
        {"params": groups[False], "weight_decay": 0.0},
    ]


def train(directory, batches, test_ids, recipe, dtype, autocast=False):
    """A native loop: the gradient of a step is the mean over the batches that its window really has."""
    size = recipe["accumulate"]
    windows = [batches[i : i + size] for i in range(0, len(batches), size)] * recipe["epochs"]

    def start():
        model = load(directory, dtype)
        adam = {"betas": recipe.get("betas", [0.9, 0.999]), "eps": recipe.get("eps", 1e-8)}
        optimizer = torch.optim.AdamW(parameter_groups(model, recipe), lr=recipe["lr"], **adam)
        extras = recipe.get("kwargs")
        schedule = get_scheduler(recipe["schedule"], optimizer, recipe["warmup"], len(windows), extras)
        return model, optimizer, schedule

    model, optimizer, schedule = start()
    losses, rates, norms = [], [], []
    for number, window in enumerate(windows):
        if number == recipe.get("resume_after"):
            file = io.BytesIO()
            torch.save([part.state_dict() for part in (model, optimizer, schedule)], file)
            file.seek(0)
            model, optimizer, schedule = start()
            for part, state in zip((model, optimizer, schedule), torch.load(file)):
                part.load_state_dict(state)
        optimizer.zero_grad()
        loss = 0.0
        for batch in window:
            part = loss_of(model, batch, recipe.get("label_smoothing", 0.0), autocast) / len(window)
            part.backward()
            loss += part.item()
        limit = recipe["max_grad_norm"] or math.inf
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), limit).item())
        rates.append(optimizer.param_groups[0]["lr"])
        losses.append(loss)
        optimizer.step()
        schedule.step()
    assert not recipe["max_grad_norm"] or max(norms) > recipe["max_grad_norm"], "nothing is clipped"
    assert recipe["schedule"] == "constant" or len(set(rates)) > 1, "the learning rate never changes"
    return {"loss": losses, "learning_rate": rates, "grad_norm": norms, **evaluate(model, test_ids)}


def options_of(recipe):
    """The recipe in ftc's words: flags of `ftc run`, or the fields of training_args.json where those are needed."""
    if recipe["decay_all"]:
        flags = ["--epochs", recipe["epochs"], "--lr", recipe["lr"], "--weight-decay", recipe["weight_decay"]]
        return {"flags": [*map(str, flags), "--batch", str(BATCH)]}
    adam = recipe.get("betas", [0.9, 0.999])
    extras = {"lr_scheduler_kwargs": recipe["kwargs"]} if "kwargs" in recipe else {}
    return {
        "resume_after": recipe.get("resume_after"),
        "training_args": {
            "num_train_epochs": recipe["epochs"],
            "per_device_train_batch_size": BATCH,
            "learning_rate": recipe["lr"],
            "weight_decay": recipe["weight_decay"],
            "lr_scheduler_type": recipe["schedule"],
            "warmup_steps": recipe["warmup"],
            "gradient_accumulation_steps": recipe["accumulate"],
            "max_grad_norm": recipe["max_grad_norm"] or 0,
            "label_smoothing_factor": recipe.get("label_smoothing", 0.0),
            "adam_beta1": adam[0],
            "adam_beta2": adam[1],
            "adam_epsilon": recipe.get("eps", 1e-8),
            "logging_steps": 1,
            **extras,
        },
    }


def evaluate(model, test_ids):
    model.eval()
    with torch.no_grad():
        return {"logits": [model(input_ids=torch.tensor([ids])).logits[0].tolist() for ids in test_ids]}


def relative(ours, reference):
    ours, reference = torch.as_tensor(ours).double(), torch.as_tensor(reference).double()
    return ((ours - reference).norm() / reference.norm()).item()


def make_run(directory, batches, test_ids, recipe):
    run = train(directory, batches, test_ids, recipe, torch.float64)
    single = train(directory, batches, test_ids, recipe, torch.float32)
    error = {
        "loss": max(abs(a - b) / b for a, b in zip(single["loss"], run["loss"])),
        "grad_norm": max(abs(a - b) / b for a, b in zip(single["grad_norm"], run["grad_norm"])),
        "logits": relative(single["logits"], run["logits"]),
    }
    rounded = {}
    if recipe["name"] in AUTOCAST:
        rounded["autocast_loss"] = train(directory, batches, test_ids, recipe, torch.float32, autocast=True)[
            "loss"
        ]
    return {"name": recipe["name"], **options_of(recipe), **run, **rounded, "float32_error": error}


def gradient_errors(directory, batch, grads, autocast=False):
    """Of every parameter but those whose gradient is zero in theory: softmax ignores a shift of all keys."""
    _, single = first_gradients(directory, batch, torch.float32, autocast)
    return {name: relative(single[name], grads[name]) for name in grads if not name.endswith("key.bias")}


def make_golden(out, kind, tokenizer):
    model_dir = os.path.join(out, "model")
    train_rows, test_rows = training_rows(), rows_of("reviews-test.csv", TEST_ROWS)
    write_csv(os.path.join(out, "train.csv"), train_rows)
    write_csv(os.path.join(out, "test.csv"), test_rows)

    limit = min(tokenizer.model_max_length, BertConfig.from_pretrained(model_dir).max_position_embeddings)
    encode = lambda text: tokenizer(text, truncation=True, max_length=limit)["input_ids"]
    batches = [
        {"input_ids": [encode(text) for _, text in rows], "labels": [label for label, _ in rows]}
        for rows in (train_rows[i : i + BATCH] for i in range(0, len(train_rows), BATCH))
    ]
    test_ids = [encode(text) for _, text in test_rows]
    check_ids(tokenizer, [row for batch in batches for row in batch["input_ids"]] + test_ids)
    check_dropout(load(model_dir, torch.float64), padded(batches[0]["input_ids"]), drops=False)
    assert {label for batch in batches for label in batch["labels"]} == set(range(LABELS)), "a label is missing"

    loss, grads = first_gradients(model_dir, batches[0], torch.float64)
    runs = [make_run(model_dir, batches, test_ids, recipe) for recipe in RECIPES[kind]]
    save_file({name: grad.float() for name, grad in grads.items()}, os.path.join(out, "grads.safetensors"))
    golden = {
        "made_with": {"torch": torch.__version__.split("+")[0], "script": "tests/parity/make_goldens.py"},
        "batch": BATCH,
        "max_length": limit,
        "loss": loss,
        "before": evaluate(load(model_dir, torch.float64), test_ids),
        "runs": runs,
        "float32_gradient_error": max(gradient_errors(model_dir, batches[0], grads).values()),
        "autocast_gradient_error": gradient_errors(model_dir, batches[0], grads, autocast=True),
        "batches": batches,
        "test_ids": test_ids,
    }
    with open(os.path.join(out, "golden.json"), "w", encoding="utf-8") as file:
        entries = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
        file.write("{\n" + ",\n".join(entries) + "\n}\n")
    print(
        f"{out}: loss {loss:.6f}; PyTorch's float32: gradients off by {golden['float32_gradient_error']:.1e}"
    )
    for run in runs:
        print(f"  {run['name']}: {run['float32_error']}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pretrained", help="a Hugging Face directory of a BERT; without it, the tiny BERT is made"
    )
    parser.add_argument("--out", default=os.path.join(HERE, "..", "golden", "parity", "tiny"))
    args = parser.parse_args()

    model_dir = os.path.join(args.out, "model")
    os.makedirs(model_dir, exist_ok=True)
    if args.pretrained:
        make_pretrained(args.pretrained, model_dir)
        make_golden(args.out, "pretrained", AutoTokenizer.from_pretrained(args.pretrained))
    else:
        make_tiny(model_dir)
        make_golden(
            args.out, "tiny", BertTokenizer(os.path.join(model_dir, "vocab.txt"), model_max_length=96)
        )


if __name__ == "__main__":
    main()
