#!/usr/bin/env python3
"""Runs ftc on a golden of make_goldens.py and compares every number with PyTorch's.

Compares: the loss of step 1 (1e-5 relative), every gradient of step 1 (1e-4, norm of the difference over norm), losses
and learning rates of all steps (1e-3, 1e-7), logits on held-out texts before and after training (1e-4, 1e-3). With
--precision bf16, losses and gradients are compared with those of PyTorch's autocast to bfloat16, and how far both are from
the exact ones. Standard library only; the tiny golden is committed.

Usage: check.py FTC MODEL.ir [GOLDEN_DIR]
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

import compare
import tensorfile

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(HERE, "..", "golden", "parity", "tiny")

STEP_1_LOSS = 1e-5
GRADIENT = 1e-4
LOSS = 1e-3
RATE = 1e-7
LOGITS_BEFORE = 1e-4
# What Trainer logs, in float32.
TRAINER_KEYS = {
    "step": 0,
    "epoch": 1e-8,
    "loss": 1e-5,
    "grad_norm": 1e-5,
    "learning_rate": RATE,
    "eval_loss": 1e-5,
    "eval_accuracy": 1e-8,
    "train_loss": 1e-5,
}
LOGITS_AFTER = 1e-3

# bf16 has 8 bits: a rounding is off by at most 2^-8, in the mean square by 2^-9.3. A number that is the product of n rounded
# ones is off by sqrt(n) times that. In the tiny BERT logits come through n = 26 (two layers of six contractions and the head's
# two, two operands each): 0.8 %, of logits about as large as the loss; the mean over four texts halves it: 0.4 % of the loss.
# Two samples of such an error, ftc's and autocast's, rarely differ by more than twice that.
AUTOCAST_LOSS = 2**-7
# Of all numbers together: the root mean square of ftc's distance from the exact ones over that of autocast's. Of 20 losses it
# is itself off by 1/sqrt(2 * 20) = 16 %, the ratio of two by 22 %, twice that with room for other CPUs; the gradients'
# is a mean over thousands. One tensor's error may be the luck of a few numbers.
AUTOCAST_LOSS_RATIO = 1.5
AUTOCAST_GRADIENT_RATIO = 1.25
AUTOCAST_ONE_GRADIENT_RATIO = 2


class Check:
    """Runs commands, compares numbers, counts what failed."""

    def __init__(self, ftc):
        self.ftc = ftc
        self.passed = self.failed = 0

    def run(self, *arguments, statuses=(0,)):
        command = [self.ftc, *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode not in statuses:
            sys.exit(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stderr}")
        return done.stdout

    def that(self, what, error, tolerance):
        right = error <= tolerance
        self.passed += right
        self.failed += not right
        print(f"{'ok  ' if right else 'FAIL'} {error:9.2e} (at most {tolerance:g})  {what}")


def relative(ours, golden):
    """Norm of the difference over the norm; infinite if there are more or fewer numbers than expected."""
    if len(ours) != len(golden):
        return math.inf
    return math.dist(ours, golden) / math.hypot(*golden)


def worst(ours, golden):
    """The largest relative difference of two lists of numbers."""
    if len(ours) != len(golden):
        return math.inf
    return max(abs(a - b) / max(abs(b), 1e-30) for a, b in zip(ours, golden))


def root_mean_square(errors):
    return math.hypot(*errors) / math.sqrt(len(errors))


def flat(rows):
    return [value for row in rows for value in row]


def texts_of(path):
    with open(path, encoding="utf-8", newline="") as source:
        return [row["text"] for row in csv.DictReader(source)]


def check_logits(check, what, directory, golden_dir, golden, tolerance):
    lines = check.run(
        "predict", directory, "--json", *texts_of(os.path.join(golden_dir, "test.csv"))
    ).splitlines()
    ours = [json.loads(line)["logits"] for line in lines]
    check.that(f"logits {what}", relative(flat(ours), flat(golden["logits"])), tolerance)


def steps_of(metrics):
    with open(metrics, encoding="utf-8") as file:
        return [line for line in map(json.loads, file) if "loss" in line]


def options_of(run, golden_dir, metrics, scratch):
    """What makes `ftc run` train as the golden did, without dropout."""
    options = run.get("flags")
    if options is None:
        options = ["--args", os.path.join(scratch, "training_args.json")]
        with open(options[1], "w", encoding="utf-8") as file:
            json.dump(run["training_args"], file)
    data = ["--train", os.path.join(golden_dir, "train.csv"), "--test", os.path.join(golden_dir, "test.csv")]
    return [*options, *data, "--no-shuffle", "--dropout", 0, "--metrics", metrics]


def check_run(check, artifact, golden_dir, run, scratch):
    """Trains as the golden did and follows it step by step."""
    output, metrics = os.path.join(scratch, run["name"]), os.path.join(scratch, run["name"] + ".jsonl")
    options = options_of(run, golden_dir, metrics, scratch)
    resume_after = run.get("resume_after")
    if (
        resume_after
    ):  # another process goes on from the checkpoint; what the first one did afterwards is forgotten
        first = output + "-first"
        saving = ["--save-strategy", "steps", "--save-steps", resume_after, "--output", first]
        check.run("run", artifact, *options, *saving)
        with open(metrics, encoding="utf-8") as file:
            kept = [line for line in file if json.loads(line)["step"] <= resume_after]
        with open(metrics, "w", encoding="utf-8") as file:
            file.writelines(kept)
        options += ["--resume-from-checkpoint", os.path.join(first, f"checkpoint-{resume_after}")]
    check.run("run", artifact, *options, "--output", output)
    steps = steps_of(metrics)

    def of(key):
        return [line[key] for line in steps]

    label = f"run '{run['name']}'"
    check.that(f"{label}: loss of step 1", worst(of("loss")[:1], run["loss"][:1]), STEP_1_LOSS)
    check.that(f"{label}: losses of {len(run['loss'])} steps", worst(of("loss"), run["loss"]), LOSS)
    check.that(f"{label}: learning rates", worst(of("learning_rate"), run["learning_rate"]), RATE)
    if run.get("training_args", {}).get("max_grad_norm"):  # else nobody has use for the norm, or pays for it
        check.that(f"{label}: norms of the gradient", worst(of("grad_norm"), run["grad_norm"]), LOSS)
    check_logits(check, f"after {label}", output, golden_dir, run, LOGITS_AFTER)


def check_autocast(check, artifact, gradients, golden_dir, golden, scratch):
    """Losses and gradients in bf16 beside those of PyTorch's autocast."""
    exact = tensorfile.read(os.path.join(golden_dir, "grads.safetensors"))
    ours = {name: error for name, error, _ in compare.errors(tensorfile.read(gradients), exact)}
    theirs = golden["autocast_gradient_error"]
    check.that(
        f"bf16: gradients, rms error over autocast's {root_mean_square(theirs.values()):.1e}",
        root_mean_square([ours[name] for name in theirs]) / root_mean_square(theirs.values()),
        AUTOCAST_GRADIENT_RATIO,
    )
    worst_name = max(theirs, key=lambda name: ours[name] / theirs[name])
    ratio = ours[worst_name] / theirs[worst_name]
    check.that(
        f"bf16: error over autocast's, of all gradients {worst_name}", ratio, AUTOCAST_ONE_GRADIENT_RATIO
    )
    for run in golden["runs"]:
        if "autocast_loss" not in run:
            continue
        metrics = os.path.join(scratch, "bf16.jsonl")
        options = options_of(run, golden_dir, metrics, scratch)
        check.run("run", artifact, *options, "--output", os.path.join(scratch, "bf16"))
        losses, label = [line["loss"] for line in steps_of(metrics)], f"bf16, run '{run['name']}'"
        check.that(f"{label}: losses beside autocast's", worst(losses, run["autocast_loss"]), AUTOCAST_LOSS)
        errors = [
            root_mean_square([(a - b) / b for a, b in zip(some, run["loss"])])
            for some in (losses, run["autocast_loss"])
        ]
        what = f"{label}: losses, rms error over autocast's {errors[1]:.1e}"
        check.that(what, errors[0] / errors[1], AUTOCAST_LOSS_RATIO)


def check_trainer(check, artifact, golden_dir, scratch):
    """Trains by the arguments of a run of Hugging Face's Trainer and compares everything that it logged."""
    with open(os.path.join(golden_dir, "trainer.json"), encoding="utf-8") as file:
        golden = json.load(file)
    path, metrics = os.path.join(scratch, "trainer_args.json"), os.path.join(scratch, "trainer.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(golden["training_args"], file)
    data = [f"--{name}={os.path.join(golden_dir, name)}.csv" for name in ("train", "test")]
    output = os.path.join(scratch, "trainer-output")
    check.run(
        "run", artifact, *data, "--args", path, "--dropout", 0, "--metrics", metrics, "--output", output
    )
    with open(metrics, encoding="utf-8") as file:
        ours = [json.loads(line) for line in file]
    theirs = golden["log_history"]
    check.that("Trainer: lines of the log", abs(len(ours) - len(theirs)), 0)
    for key, tolerance in TRAINER_KEYS.items():
        pairs = [(a.get(key, math.inf), b[key]) for a, b in zip(ours, theirs) if key in b]
        check.that(f"Trainer: {key} of {len(pairs)} lines", worst(*zip(*pairs)), tolerance)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ftc")
    parser.add_argument("model")
    parser.add_argument("golden", nargs="?", default=TINY)
    args = parser.parse_args()
    with open(os.path.join(args.golden, "golden.json"), encoding="utf-8") as file:
        golden = json.load(file)
    pretrained = os.path.join(args.golden, "model")

    check = Check(args.ftc)
    with tempfile.TemporaryDirectory() as scratch:
        grads = os.path.join(scratch, "grads.safetensors")
        verify = ["verify", args.model, "--pretrained", pretrained, "--batch", golden["batch"]]
        verify += ["--train", os.path.join(args.golden, "train.csv"), "--dump-grads", grads]
        check.run(*verify)
        compared, failed = compare.compare(grads, os.path.join(args.golden, "grads.safetensors"), GRADIENT)
        check.passed += compared - failed
        check.failed += failed

        check_logits(check, "before training", pretrained, args.golden, golden["before"], LOGITS_BEFORE)
        artifact = os.path.join(scratch, "model.ftc")
        check.run("compile", args.model, "--pretrained", pretrained, "-o", artifact)
        for run in golden["runs"]:
            check_run(check, artifact, args.golden, run, scratch)
        if os.path.exists(os.path.join(args.golden, "trainer.json")):
            check_trainer(check, artifact, args.golden, scratch)

        check.run(*verify, "--precision", "bf16")
        check.run("compile", args.model, "--pretrained", pretrained, "-o", artifact, "--precision", "bf16")
        check_autocast(check, artifact, grads, args.golden, golden, scratch)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
