#!/usr/bin/env python3
"""Trains masked language models from their directories, and compares every number with that of Hugging Face's models.

For each golden of make_masked.py, whose masks are drawn by a generator written anew: every gradient of the first batch (1e-4,
norm of the difference over norm), the losses of twenty steps (of the first 1e-5 relative, of all 1e-3), loss and masked
accuracy after them, of the same texts masked otherwise; and what `ftc predict` puts in the places of mask tokens (1e-4). Threads, another run, one that is resumed and `ftc eval` draw the same masks. What
is saved has the tensors that transformers saves, the tied ones once, and is what a classifier is fine-tuned from. Texts are
columns of a table, and lines of a plain file, whatever is in them. Heads that are not there are refused by name.

Usage: masked.py FTC [FAMILY ...]
"""

import csv
import json
import os
import subprocess
import sys
import tempfile

import compare
import tensorfile
from check import GRADIENT, LOGITS_BEFORE, LOSS, STEP_1_LOSS, Check, worst
from families import GOLDENS as TEXTS, check_saved

GOLDENS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "masked")
SMALL = "--set hidden=16 --set intermediate=16 --set heads=1 --set layers=1 --set positions=512".split()
MODEL = os.path.join(GOLDENS, "..", "..", "..", "models", "bert-cls.ir")
DATA = ["--train", os.path.join(TEXTS, "train.csv"), "--test", os.path.join(TEXTS, "train.csv"), "--cache", "none"]


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def train(check, scratch, name, golden_dir, golden, *options, data=DATA):
    """The log and the directory of a run that trains as the golden did."""
    metrics, output = os.path.join(scratch, f"{name}.jsonl"), os.path.join(scratch, name)
    training = ["--epochs", 1, "--lr", golden["rate"], "--no-shuffle", "--dropout", 0, "--batch", golden["batch"]]
    check.run(
        "run", "--pretrained", golden_dir, "--task", "mlm", *data, *training, "--metrics", metrics, "--output", output,
        *options,
    )  # fmt: skip
    return lines_of(metrics), output


def losses_of(log):
    return [line["loss"] for line in log if "loss" in line]


def evaluation_of(log):
    return next(line for line in reversed(log) if "eval_loss" in line)


def check_fill(check, name, golden_dir, golden):
    """`ftc predict` puts the tokens in the places of mask tokens that pipeline("fill-mask") does."""
    lines = check.run("predict", golden_dir, "--json", *golden["texts"]).splitlines()
    ours = [one for line in lines for mask in json.loads(line)["masks"] for one in mask]
    theirs = [one for masks in golden["masks"] for mask in masks for one in mask]
    other = [one for one, (token, text, _) in zip(ours, theirs) if (one["token"], one["token_str"]) != (token, text)]
    check.that(f"{name}: other tokens in the places of masks: {other}", len(other) + abs(len(ours) - len(theirs)), 0)
    scores = worst([one["score"] for one in ours], [score for _, _, score in theirs])
    check.that(f"{name}: scores of {len(theirs)} of them", scores, LOGITS_BEFORE)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("".join(text + "\n" for text in golden["texts"]))
        file.flush()
        again = check.run("predict", golden_dir, "--json", "--file", file.name).splitlines()
    check.that(f"{name}: other answers where the texts are lines of a file", again != lines, 0)


def check_family(check, name, scratch):
    golden_dir = os.path.join(GOLDENS, name)
    with open(os.path.join(golden_dir, "golden.json"), encoding="utf-8") as file:
        golden = json.load(file)
    grads = os.path.join(scratch, "grads.safetensors")
    verify = ["verify", "--pretrained", golden_dir, "--task", "mlm", "--batch", golden["batch"], *DATA]
    check.run(*verify, "--dump-grads", grads, statuses=(0, 1))
    theirs = tensorfile.read(os.path.join(golden_dir, "grads.safetensors"))
    worst_name, error, _ = max(compare.errors(tensorfile.read(grads), theirs), key=lambda found: found[1])
    check.that(f"{name}: {len(theirs)} gradients, worst {worst_name}", error, GRADIENT)
    check_fill(check, name, golden_dir, golden["fill"])
    before = json.loads(check.run("eval", golden_dir, "--test", os.path.join(TEXTS, "train.csv"), "--json"))
    check.that(f"{name}: ftc eval before training", worst([before["eval_loss"]], [golden["before"]["loss"]]), STEP_1_LOSS)
    log, output = train(check, scratch, name, golden_dir, golden)
    losses, evaluation = losses_of(log), evaluation_of(log)
    check.that(f"{name}: loss of step 1", worst(losses[:1], golden["losses"][:1]), STEP_1_LOSS)
    check.that(f"{name}: losses of {len(losses)} steps", worst(losses, golden["losses"]), LOSS)
    held_out = f"{name}: of the texts, masked otherwise, after training the"
    check.that(f"{held_out} loss", worst([evaluation["eval_loss"]], [golden["after"]["loss"]]), LOSS)
    check.that(f"{held_out} accuracy", abs(evaluation["eval_masked_accuracy"] - golden["after"]["masked_accuracy"]), 1e-6)
    again = json.loads(check.run("eval", output, "--test", os.path.join(TEXTS, "train.csv"), "--json"))
    check.that(f"{name}: ftc eval masks as the run did", abs(again["eval_loss"] - evaluation["eval_loss"]), 1e-6)
    check_saved(check, name, golden_dir, output)
    return golden_dir, golden, losses, output


def check_blocks(check, scratch, golden_dir, golden, losses):
    """The scores of the vocabulary in blocks, the last of which is not full; none of the memory is for all of them."""
    blocks = ["--set", "vocab_block=77"]
    log, _ = train(check, scratch, "blocks", golden_dir, golden, *blocks)
    check.that("the vocabulary in blocks: losses", worst(losses_of(log), losses), 1e-6)
    grads = os.path.join(scratch, "blocks.safetensors")
    verify = ["verify", "--pretrained", golden_dir, "--task", "mlm", "--batch", golden["batch"], *DATA, *blocks]
    check.run(*verify, "--dump-grads", grads, statuses=(0, 1))
    theirs = tensorfile.read(os.path.join(golden_dir, "grads.safetensors"))
    error = max(error for _, error, _ in compare.errors(tensorfile.read(grads), theirs))
    check.that("the vocabulary in blocks: gradients", error, GRADIENT)
    # 8 texts of 512 tokens, each of which may be masked: the scores of 15261 tokens would be 250 MB.
    arena = []
    for size in (30522, 15261):
        model = [MODEL, "--task", "mlm", "--batch", 8, "--set", f"vocab={size}"]
        lines = check.run("inspect", *model, *SMALL).splitlines()
        arena.append(next(float(line.split()[2]) for line in lines if line.split()[:1] == ["step"]))
    check.that("MB of the arena for 15261 more tokens of the vocabulary", arena[0] - arena[1], 30)


def check_draws(check, scratch, golden_dir, golden, losses):
    """The same masks by another number of threads, and behind a checkpoint."""
    log, _ = train(check, scratch, "threads", golden_dir, golden, "--threads", 1)
    check.that("one thread: the same losses", worst(losses_of(log), losses), 1e-6)
    log, output = train(check, scratch, "resumed", golden_dir, golden, "--save-strategy", "steps", "--save-steps", 8, "--save-total-limit", 0)
    checkpoint = os.path.join(output, "checkpoint-8")
    log, _ = train(check, scratch, "rest", golden_dir, golden, "--resume-from-checkpoint", checkpoint)
    check.that("resumed: the same losses", worst(losses_of(log)[-12:], losses[-12:]), 0)
    log, _ = train(check, scratch, "seed", golden_dir, golden, "--seed", 7)
    check.that("another seed: other masks", losses_of(log)[0] == losses[0], 0)
    log, _ = train(check, scratch, "never", golden_dir, golden, "--mlm-probability", 0)
    check.that("nothing masked: no loss", sum(losses_of(log)), 0)


def check_use(check, scratch, output, golden_dir, golden):
    """A classifier, whose directory is returned, is fine-tuned from what was saved; plain text is read as lines."""
    classifier = os.path.join(scratch, "classifier")
    check.run("run", "--pretrained", output, *DATA, "--epochs", 1, "--output", classifier)
    with open(os.path.join(classifier, "config.json"), encoding="utf-8") as file:
        theirs = json.load(file)["architectures"]
    check.that(f"fine-tuned from masked: {theirs}", theirs != ["BertForSequenceClassification"], 0)
    lines = os.path.join(scratch, "texts.txt")
    with open(os.path.join(TEXTS, "train.csv"), encoding="utf-8", newline="") as file:
        texts = "\n".join(row["text"] for row in csv.DictReader(file)).split("\n")
    with open(lines, "w", encoding="utf-8") as file:
        file.write('text\n"an open quote\ta tab\n\n' + "\n".join(texts) + "\n")
    log, _ = train(check, scratch, "lines", golden_dir, golden, data=["--train", lines, "--cache", "none"])
    check.that("a plain file: steps of its lines", len(losses_of(log)) - (len(texts) + 2 + 3) // 4, 0)
    return classifier


def check_adapters(check, scratch, golden_dir, golden, classifier):
    """Adapters train alone: the head is the base's, since PEFT cannot save one that is tied to the embeddings. A classifier has
    none."""
    log, output = train(check, scratch, "adapters", golden_dir, golden, "--lora", "query,value", "--lora-rank", 2)
    with open(os.path.join(output, "adapter_config.json"), encoding="utf-8") as file:
        parts = json.load(file)["modules_to_save"]
    others = [name for name in tensorfile.read(os.path.join(output, "adapter_model.safetensors")) if ".lora_" not in name]
    check.that(f"adapters: parts that are saved beside them: {parts}, {others}", len(parts or []) + len(others), 0)
    again = json.loads(check.run("eval", output, "--test", os.path.join(TEXTS, "train.csv"), "--json"))
    check.that("adapters: ftc eval", abs(again["eval_loss"] - evaluation_of(log)["eval_loss"]), 1e-6)
    check.that("adapters: loss after training over that before", again["eval_loss"] / golden["before"]["loss"], 0.999)
    headless = ["run", "--pretrained", classifier, "--task", "mlm", *DATA, "--lora", "query,value"]
    done = subprocess.run([check.ftc, *headless], check=False, capture_output=True, text=True, cwd=scratch)
    named = done.returncode == 2 and "lacks cls.predictions" in done.stderr
    check.that("adapters: a directory without the head is refused", not named, 0)


def check_refused(check):
    """Heads that a family's text has not, by the entry of config.json that asks for them."""
    for name, setting, entry in (("bert", "tied=false", "tie_word_embeddings"), ("deberta-v2", "legacy=false", "legacy")):
        command = [check.ftc, "compile", "--pretrained", os.path.join(GOLDENS, name), "--task", "mlm", "--set", setting]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        named = done.returncode == 2 and f"{entry} is false" in done.stderr
        check.that(f"{name}: {setting} is refused", not named, 0)


def main():
    check = Check(sys.argv[1])
    names = sys.argv[2:] or sorted(os.listdir(GOLDENS))
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            golden_dir, golden, losses, output = check_family(check, name, scratch)
            if name == "bert":
                check_blocks(check, scratch, golden_dir, golden, losses)
                check_draws(check, scratch, golden_dir, golden, losses)
                classifier = check_use(check, scratch, output, golden_dir, golden)
                check_adapters(check, scratch, golden_dir, golden, classifier)
    check_refused(check)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
