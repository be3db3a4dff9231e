#!/usr/bin/env python3
"""Reads adapters that PEFT has saved, trains them on, and compares every number with PEFT's.

For each golden of make_lora.py: every gradient of the first batch (1e-4, norm of the difference over norm) and none of the
base model, its loss (1e-5 relative), logits before (1e-4) and after twenty steps (1e-3), their losses (1e-3), and the weights
that --lora-merge writes (1e-3). What is saved has the tensors that PEFT saves. Standard library only; the goldens are
committed. With PYTHON, one that has peft, what was saved is loaded there as well.

Usage: lora.py FTC [PYTHON] [NAME ...]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import compare
import tensorfile
from check import GRADIENT, LOGITS_AFTER, LOGITS_BEFORE, LOSS, STEP_1_LOSS, Check, flat, relative, worst
from families import GOLDENS as TEXTS
from families import logits_of, texts

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
GOLDENS = os.path.join(GOLDEN, "lora")

LOAD_IN_PEFT = """
import json, sys, torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from transformers import AutoModelForSequenceClassification, BertTokenizer
base, adapter, merged, labels, *texts = sys.argv[1:]
own = dict(num_labels=int(labels), attn_implementation="eager")
adapted = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base, **own), adapter)
whole = AutoModelForSequenceClassification.from_pretrained(merged, attn_implementation="eager")
length = json.load(open(adapter + "/tokenizer_config.json"))["model_max_length"]
tokenizer = BertTokenizer(base + "/vocab.txt", model_max_length=length)
for model in (adapted, whole):
    model.eval()
    encoded = [tokenizer(text, truncation=True, max_length=length, return_tensors="pt") for text in texts]
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (getattr(whole.config, "type_vocab_size", 0) > 1)
    with torch.no_grad():
        print(json.dumps([model(**{name: e[name] for name in names}).logits[0].tolist() for e in encoded]))
"""


def copy_adapter(name, scratch):
    """The golden with the base model's whole path in its adapter_config.json; both folders."""
    folder = os.path.join(scratch, name)
    shutil.copytree(os.path.join(GOLDENS, name), folder)
    path = os.path.join(folder, "adapter_config.json")
    with open(path, encoding="utf-8") as file:
        entries = json.load(file)
    base = os.path.abspath(os.path.join(GOLDEN, entries["base_model_name_or_path"]))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(entries | {"base_model_name_or_path": base}, file)
    return folder, base


def worst_tensor(ours, theirs):
    return max(compare.errors(ours, theirs), key=lambda found: found[1])[:2]


def check_saved(check, name, folder, output):
    shapes = [
        {
            key: shape
            for key, (shape, _) in tensorfile.read(os.path.join(dir, "adapter_model.safetensors")).items()
        }
        for dir in (folder, output)
    ]
    check.that(f"{name}: tensors that were saved otherwise", len(shapes[0].items() ^ shapes[1].items()), 0)
    with open(os.path.join(output, "adapter_config.json"), encoding="utf-8") as file:
        ours = json.load(file)
    with open(os.path.join(folder, "adapter_config.json"), encoding="utf-8") as file:
        theirs = json.load(file)
    theirs["modules_to_save"] = [module for module in theirs["modules_to_save"] if module != "score"]
    wrong = [key for key in ours if sorted_list(ours[key]) != sorted_list(theirs[key])]
    check.that(f"{name}: entries of adapter_config.json that differ: {wrong}", len(wrong), 0)


def sorted_list(value):
    return sorted(value) if isinstance(value, list) else value


def check_in_peft(check, python, name, base, output, merged, labels):
    command = [python, "-c", LOAD_IN_PEFT, base, output, merged, str(labels), *texts()]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    ours = logits_of(check, output, False)
    for what, line in zip(("PeftModel", "AutoModel of the merged"), done.stdout.splitlines()[-2:]):
        check.that(f"{name}: logits by {what}", relative(flat(json.loads(line)), ours), LOGITS_BEFORE)


def check_adapter(check, name, scratch, python):
    folder, base = copy_adapter(name, scratch)
    output, merged = os.path.join(scratch, f"{name}-output"), os.path.join(scratch, f"{name}-merged")
    with open(os.path.join(folder, "golden.json"), encoding="utf-8") as file:
        golden = json.load(file)
    rows = ["--train", os.path.join(TEXTS, "train.csv"), "--pair-column", "pair", "--batch", golden["batch"]]
    grads, metrics = os.path.join(scratch, "grads.safetensors"), os.path.join(scratch, "metrics.jsonl")
    check.run("verify", "--pretrained", folder, *rows, "--dump-grads", grads, statuses=(0, 1))
    ours, theirs = tensorfile.read(grads), tensorfile.read(os.path.join(folder, "grads.safetensors"))
    check.that(f"{name}: gradients of other tensors", len(set(ours) ^ set(theirs)), 0)
    check.that(
        "{}: {} gradients, worst {}".format(name, len(theirs), *worst_tensor(ours, theirs)[:1]),
        worst_tensor(ours, theirs)[1],
        GRADIENT,
    )
    before = relative(logits_of(check, folder, False), flat(golden["before"]))
    check.that(f"{name}: logits before training", before, LOGITS_BEFORE)
    training = ["--epochs", 1, "--lr", golden["rate"], "--no-shuffle", "--dropout", 0, "--cache", "none"]
    training += ["--pretrained", folder, "--no-report"]
    check.run("run", *rows, *training, "--metrics", metrics, "--output", output)
    with open(metrics, encoding="utf-8") as file:
        losses = [line["loss"] for line in map(json.loads, file) if "loss" in line]
    check.that(f"{name}: loss of step 1", worst(losses[:1], golden["losses"][:1]), STEP_1_LOSS)
    check.that(f"{name}: losses of {len(losses)} steps", worst(losses, golden["losses"]), LOSS)
    after = relative(logits_of(check, output, False), flat(golden["after"]))
    check.that(f"{name}: logits after training", after, LOGITS_AFTER)
    check_saved(check, name, folder, output)
    check.run("run", *rows, *training, "--lora-merge", "--output", merged)
    whole = tensorfile.read(os.path.join(merged, "model.safetensors"))
    theirs = tensorfile.read(os.path.join(folder, "merged.safetensors"))
    tensor, error = worst_tensor({key: whole[key] for key in theirs}, theirs)
    check.that(f"{name}: merged weights, worst {tensor}", error, LOSS)
    left = set(whole) ^ set(tensorfile.read(os.path.join(base, "model.safetensors")))
    check.that(f"{name}: tensors that the base model has and the merged one not, or conversely", len(left), 0)
    check.that(
        f"{name}: logits of the merged model",
        relative(logits_of(check, merged, False), flat(golden["after"])),
        LOGITS_AFTER,
    )
    if python:
        check_in_peft(check, python, name, base, output, merged, len(golden["after"][0]))


def has_peft(python):
    return subprocess.run([python, "-c", "import peft"], check=False, capture_output=True).returncode == 0


def main():
    check = Check(sys.argv[1])
    python = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("FTC_PYTHON", "")
    python = python if python and has_peft(python) else None
    if not python:
        print("skipped: no Python with peft to load what was saved")
    with tempfile.TemporaryDirectory() as scratch:
        for name in sys.argv[3:] or sorted(os.listdir(GOLDENS)):
            check_adapter(check, name, scratch, python)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
