#!/usr/bin/env python3
"""Trains by the TrainingArguments of tests/golden/parity/trainer_runs.json and compares with what Trainer did.

Each run goes twice: by its arguments as they are, for the log, the checkpoints and the model that it ends with, and
with every step logged, for the loss and the learning rate of each. Standard library only; make_trainer_runs.py makes the golden.

Usage: trainer_runs.py FTC MODEL.ir [NAME | --without-pairs]
"""

import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden", "parity")
TINY = os.path.join(GOLDEN, "tiny")
DATA = [f"--{name}={os.path.join(TINY, name)}.csv" for name in ("train", "test")]

LOSS, RATE = 1e-3, 1e-6
# Scores are fractions of a dozen texts; a norm takes every gradient into account.
TOLERANCES = {
    "epoch": 1e-6,
    "learning_rate": RATE,
    "eval_accuracy": 1e-6,
    "eval_f1": 1e-6,
    "total_flos": 1e-6,
    "grad_norm": 5e-3,
}


def near(ours, theirs, tolerance):
    if theirs is None or ours is None:
        return ours is theirs
    return abs(ours - theirs) <= tolerance * max(abs(theirs), 1e-12)


class Run:
    """One run of the golden, and what differs."""

    def __init__(self, ftc, artifact, golden, scratch):
        self.ftc, self.artifact, self.golden = ftc, artifact, golden
        self.output = os.path.join(scratch, "output")
        self.arguments = os.path.join(scratch, "arguments.json")
        self.metrics = os.path.join(scratch, "metrics.jsonl")
        self.resume_after = golden["arguments"].get("resume_after")
        self.wrong = []
        with open(self.arguments, "w", encoding="utf-8") as file:
            own = {key: value for key, value in golden["arguments"].items() if key != "resume_after"}
            json.dump(own, file)

    def command(self, *arguments):
        done = subprocess.run([self.ftc, *map(str, arguments)], check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{self.golden['name']}: ftc {arguments}: status {done.returncode}:\n{done.stderr}")
        return done.stdout

    def train(self, output, *more):
        options = [*DATA, "--args", self.arguments, "--dropout", 0, "--metrics", self.metrics]
        self.command("run", self.artifact, *options, "--no-report", "--output", output, *more)
        with open(self.metrics, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def train_all(self, output, *more):
        lines = self.train(output, *more)
        if self.resume_after:  # another process goes on from the checkpoint
            lines = [line for line in lines if line["step"] <= self.resume_after]
            path = os.path.join(output, f"checkpoint-{self.resume_after}")
            with open(self.metrics, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
            lines = self.train(output, "--resume-from-checkpoint", path, "--overwrite", *more)
        return lines

    def expect(self, what, ours, theirs, tolerance=0):
        same = near(ours, theirs, tolerance) if tolerance else ours == theirs
        if not same:
            self.wrong.append(f"{what}: {ours}, Trainer has {theirs}")

    def check_steps(self):
        output = self.output + "-steps"
        lines = self.train_all(output, "--logging-strategy", "steps", "--logging-steps", 1)
        steps = [line for line in lines if "loss" in line]
        self.expect("steps", len(steps), len(self.golden["steps"]))
        for line, (rate, loss) in zip(steps, self.golden["steps"]):
            self.expect(f"learning rate of step {line['step']}", line["learning_rate"], rate, RATE)
            self.expect(f"loss of step {line['step']}", line["loss"], loss, LOSS)

    def check_log(self):
        lines, theirs = self.train_all(self.output), self.golden["log"]
        self.expect("lines of the log", len(lines), len(theirs))
        for ours, golden in zip(lines, theirs):
            self.expect("step of a line", ours["step"], golden["step"])
            for key in golden.keys() - {"step"}:
                if key == "train_loss" and self.resume_after:
                    continue  # Trainer counts the steps of its last call
                clips = self.golden["arguments"].get("max_grad_norm", 1)
                if key == "grad_norm" and not clips:
                    continue  # nobody has use for it
                what, tolerance = f"{key} of the line of step {golden['step']}", TOLERANCES.get(key, LOSS)
                self.expect(what, ours.get(key), golden[key], tolerance)

    def check_checkpoints(self):
        names = (re.fullmatch(r"checkpoint-(\d+)", entry) for entry in os.listdir(self.output))
        left = sorted(int(match[1]) for match in names if match)
        self.expect("checkpoints", left, self.golden["checkpoints"])
        best = self.golden["best"]
        if not left or not best:
            return
        with open(os.path.join(self.output, f"checkpoint-{left[-1]}", "trainer_state.json")) as file:
            state = json.load(file)
        path = state["best_model_checkpoint"]
        self.expect("best metric", state["best_metric"], best["metric"], LOSS)
        self.expect("best step", state["best_global_step"], best["step"])
        self.expect("best checkpoint", path and os.path.basename(path), best["checkpoint"])

    def check_model(self):
        scores = json.loads(self.command("eval", self.output, DATA[1], "--json"))
        smoothing = self.golden["arguments"].get("label_smoothing_factor", 0)
        if not smoothing:
            self.expect("loss of the model", scores["eval_loss"], self.golden["ends_with"], LOSS)


def main():
    ftc, model = sys.argv[1:3]
    with open(os.path.join(GOLDEN, "trainer_runs.json"), encoding="utf-8") as file:
        runs = json.load(file)
    if sys.argv[3:] == ["--without-pairs"]:
        runs = [run for run in runs if not run["name"].startswith("pairs ")]
    elif sys.argv[3:]:
        runs = [run for run in runs if run["name"] == sys.argv[3]]
    failed, checked = 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        artifact = os.path.join(scratch, "model.ftc")
        subprocess.run(
            [ftc, "compile", model, "--pretrained", os.path.join(TINY, "model"), "-o", artifact],
            check=True,
            capture_output=True,
        )
        for golden in runs:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                run = Run(ftc, artifact, golden, folder)
                for check in (run.check_steps, run.check_log, run.check_checkpoints, run.check_model):
                    check()
            checked += 1
            failed += bool(run.wrong)
            print(f"{'FAIL' if run.wrong else 'ok  '} {golden['name']}")
            for line in run.wrong[:8]:
                print(f"     {line}")
    print(f"{checked - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
