#!/usr/bin/env python3
"""Writes tests/golden/parity/trainer_runs.json: what Hugging Face's own Trainer does under many TrainingArguments.

Needs torch, transformers and accelerate. Each run trains the tiny BERT (make_goldens.py) in double, without dropout, with
the examples in Trainer's own order. Written down: loss and learning rate of every step, the log, the checkpoints that are
left with what the newest says of the best model, and the loss of the weights that the run ends with. Trainer of
transformers 5 adds up what accumulates for heads like BERT's; model_accepts_loss_kwargs = False has the mean instead,
as ftc does.
"""

import csv
import itertools
import json
import os
import random
import re
import sys
import tempfile

import numpy as np
import transformers
from transformers import (
    BertForSequenceClassification,
    BertTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from premises import check_ids

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(HERE, "..", "golden", "parity", "tiny")

BASE = {
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "num_train_epochs": 1,
    "learning_rate": 1e-3,
    "logging_steps": 5,
    "save_strategy": "no",
}
EVALUATED = {"eval_strategy": "steps", "eval_steps": 5}
RUNS = {
    "two epochs": {"num_train_epochs": 2},
    "another seed": {"seed": 7, "num_train_epochs": 2},
    "another seed of the data": {"data_seed": 3, "num_train_epochs": 2},
    "batches of one length": {"train_sampling_strategy": "group_by_length", "num_train_epochs": 2},
    "batches of one length, accumulated": {
        "train_sampling_strategy": "group_by_length",
        "gradient_accumulation_steps": 3,
        "num_train_epochs": 2,
    },
    "batches of one length, evaluated": {
        "train_sampling_strategy": "group_by_length",
        "num_train_epochs": 2,
        "eval_on_start": True,
        **EVALUATED,
    },
    "in the order of the file": {"train_sampling_strategy": "sequential"},
    "full batches": {"per_device_train_batch_size": 7, "dataloader_drop_last": True, "num_train_epochs": 2},
    "a partial batch": {"per_device_train_batch_size": 7, "num_train_epochs": 2},
    "accumulation": {"gradient_accumulation_steps": 3, "num_train_epochs": 2},
    "accumulation of full batches, clipped": {
        "gradient_accumulation_steps": 2,
        "dataloader_drop_last": True,
        "per_device_train_batch_size": 3,
        "max_grad_norm": 0.5,
    },
    "clipping": {"max_grad_norm": 0.5},
    "no clipping": {"max_grad_norm": 0},
    "weight decay": {"weight_decay": 0.5, "num_train_epochs": 2},
    "betas and epsilon": {"adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-4},
    "label smoothing": {"label_smoothing_factor": 0.1, **EVALUATED},
    "a warm-up": {"warmup_steps": 10},
    "a fraction of warm-up, cosine": {"lr_scheduler_type": "cosine", "warmup_steps": 0.1},
    "restarts": {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
    "polynomial": {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 2.0, "lr_end": 1e-5}},
    "constant": {"lr_scheduler_type": "constant"},
    "constant after a warm-up": {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 5},
    "inverse square root": {"lr_scheduler_type": "inverse_sqrt", "warmup_steps": 4},
    "a least rate": {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-4}},
    "a stable rate": {
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {"num_decay_steps": 8, "decay_type": "linear", "min_lr_ratio": 0.1},
        "warmup_steps": 4,
    },
    "reduced on plateaus": {
        "learning_rate": 3e-3,
        "num_train_epochs": 2,
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"patience": 0, "factor": 0.5},
        **EVALUATED,
    },
    "one and a half epochs": {"num_train_epochs": 1.5, "logging_strategy": "epoch", "eval_strategy": "epoch"},
    "a number of steps": {"max_steps": 30, "eval_strategy": "epoch"},
    "the first step logged": {"logging_first_step": True, "logging_steps": 7},
    "evaluated from the start": {"eval_on_start": True, "eval_delay": 12, **EVALUATED},
    "evaluated at the end, too": {"eval_strategy": "steps", "eval_steps": 10},
    "fractions of all steps": {
        "logging_steps": 0.1,
        "eval_strategy": "steps",
        "eval_steps": 0.2,
        "save_strategy": "steps",
        "save_steps": 0.4,
    },
    "two checkpoints": {"save_strategy": "steps", "save_steps": 7, "save_total_limit": 2},
    "checkpoints of the model": {"save_strategy": "epoch", "num_train_epochs": 2, "save_only_model": True},
    "the best of the epochs": {
        "num_train_epochs": 3,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "accuracy",
    },
    "the best is saved": {
        "save_strategy": "best",
        "metric_for_best_model": "f1",
        "save_total_limit": 2,
        **EVALUATED,
    },
    "the worst is saved": {
        "save_strategy": "best",
        "metric_for_best_model": "eval_loss",
        "greater_is_better": True,
        "load_best_model_at_end": True,
        **EVALUATED,
    },
    "the best is in no checkpoint": {
        "learning_rate": 2e-3,
        "num_train_epochs": 2,
        "save_strategy": "steps",
        "save_steps": 20,
        "load_best_model_at_end": True,
        **EVALUATED,
    },
    "the best without an evaluation": {"load_best_model_at_end": True},
    "early stopping": {
        "num_train_epochs": 3,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "constant",
        "save_strategy": "steps",
        "save_steps": 5,
        "load_best_model_at_end": True,
        "early_stopping_patience": 2,
        "early_stopping_threshold": 0.01,
        **EVALUATED,
    },
    "resumed": {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 10, "resume_after": 10},
    "resumed, accumulated": {
        "num_train_epochs": 2,
        "gradient_accumulation_steps": 3,
        "lr_scheduler_type": "cosine",
        "save_strategy": "steps",
        "save_steps": 12,
        "resume_after": 12,
    },
    "SGD": {"optim": "sgd", "learning_rate": 0.1},
    "Adafactor": {"optim": "adafactor"},
    "much at once": {
        "num_train_epochs": 2.5,
        "gradient_accumulation_steps": 2,
        "weight_decay": 0.1,
        "max_grad_norm": 0.3,
        "label_smoothing_factor": 0.2,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.2,
        "train_sampling_strategy": "group_by_length",
        "seed": 11,
        "logging_first_step": True,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_strategy": "steps",
        "save_steps": 8,
        "save_total_limit": 1,
        "load_best_model_at_end": True,
    },
}
# Of each group one entry is chosen: every two entries of different groups meet in one of the runs that pairs() makes.
LOAD_BEST = {"load_best_model_at_end": True, **EVALUATED}
GROUPS = [
    [
        {},
        {"save_strategy": "steps", "save_steps": 7, "save_total_limit": 2},
        {"eval_strategy": "epoch", "save_strategy": "epoch", "save_only_model": True, "eval_on_start": True},
        {"eval_steps": 0.2, "eval_strategy": "steps", "save_strategy": "best", "metric_for_best_model": "f1"},
        {"save_strategy": "steps", "save_steps": 5, "save_total_limit": 1, "eval_delay": 6, **LOAD_BEST},
        {"save_strategy": "steps", "save_steps": 5, "early_stopping_patience": 1, "early_stopping_threshold": 0.02, **LOAD_BEST},
        {"save_strategy": "steps", "save_steps": 5, "resume_after": 5, **EVALUATED},
    ],
    [
        {},
        {"lr_scheduler_type": "cosine", "warmup_steps": 0.2},
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 2.0}, "warmup_steps": 3},
        {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 2},
        {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 4}, "warmup_steps": 3},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0, "factor": 0.5}},
    ],
    [{}, {"num_train_epochs": 1.5}, {"num_train_epochs": 2}, {"max_steps": 13}],
    [
        {},
        {"seed": 7, "data_seed": 3},
        {"train_sampling_strategy": "group_by_length"},
        {"train_sampling_strategy": "sequential"},
    ],
    [{}, {"gradient_accumulation_steps": 2}, {"gradient_accumulation_steps": 3}],
    [{}, {"per_device_train_batch_size": 7}, {"per_device_train_batch_size": 7, "dataloader_drop_last": True}],
    [{}, {"adam_beta1": 0.8, "adam_epsilon": 1e-4}, {"optim": "sgd", "learning_rate": 0.05}, {"optim": "adafactor"}],
    [{}, {"max_grad_norm": 0.5}, {"max_grad_norm": 0}],
    [{}, {"weight_decay": 0.3}],
    [{}, {"label_smoothing_factor": 0.1}],
    [{}, {"logging_steps": 7, "logging_first_step": True}, {"logging_strategy": "epoch"}, {"logging_steps": 0.1}],
]
NOT_TRAINERS = ("early_stopping_patience", "early_stopping_threshold", "resume_after")
LOGGED = ("step", "epoch", "loss", "grad_norm", "learning_rate", "train_loss", "total_flos")
LOGGED += ("eval_loss", "eval_accuracy", "eval_f1")


def agrees(i, a, j, b):
    """Whether two entries may meet: plateaus are of evaluations, and a resumed Trainer forgets losses not yet logged."""
    both = {**GROUPS[i][a], **GROUPS[j][b]}
    has_no_plateau = both.get("lr_scheduler_type") == "reduce_lr_on_plateau" and i == 0 and "eval_strategy" not in both
    forgets = "resume_after" in both and any(key.startswith("logging") for key in both)
    return not has_no_plateau and not forgets


def pairs():
    """Runs in which every two entries of different groups meet that may: each run the best of many at random."""
    chance = random.Random(1)
    sizes = [range(len(group)) for group in GROUPS]
    left = {
        (i, a, j, b)
        for i, j in itertools.combinations(range(len(GROUPS)), 2)
        for a, b in itertools.product(sizes[i], sizes[j])
        if agrees(i, a, j, b)
    }
    chosen = {}
    while left:
        best, gained = None, set()
        first = min(left)
        for _ in range(300):
            entries = [chance.choice(size) for size in sizes]
            entries[first[0]], entries[first[2]] = first[1], first[3]
            places = list(itertools.combinations(enumerate(entries), 2))
            if all(agrees(i, a, j, b) for (i, a), (j, b) in places):
                gains = left & {(i, a, j, b) for (i, a), (j, b) in places}
                best, gained = (entries, gains) if len(gains) > len(gained) else (best, gained)
        left -= gained
        arguments = [group[entry] for group, entry in zip(GROUPS, best)]
        chosen[f"pairs {len(chosen) + 1}"] = {key: value for part in arguments for key, value in part.items()}
    return chosen


class Watched(Trainer):
    """Notes the loss and the learning rate of every step."""

    def __init__(self, **rest):
        super().__init__(**rest)
        self.model_accepts_loss_kwargs = False
        self.steps, self.window = {}, 0.0
        watched = self

        class Watch(TrainerCallback):
            def on_pre_optimizer_step(self, args, state, control, **rest):
                rate = watched.optimizer.param_groups[0]["lr"]
                watched.steps[state.global_step + 1] = [float(rate), watched.window]
                watched.window = 0.0

        self.add_callback(Watch())

    def training_step(self, *rest, **more):
        loss = super().training_step(*rest, **more)
        self.window += loss.item()
        return loss


def examples(tokenizer, name):
    with open(os.path.join(TINY, name), encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    return [{**tokenizer(row["text"], truncation=True), "label": int(row["label"])} for row in rows]


def scores(prediction):
    guess, truth = prediction.predictions.argmax(-1), prediction.label_ids
    f1 = []
    for label in np.union1d(guess, truth):
        hits = np.sum((guess == label) & (truth == label))
        f1.append(2 * hits / (np.sum(guess == label) + np.sum(truth == label)))
    return {"accuracy": float(np.mean(guess == truth)), "f1": float(np.mean(f1))}


def rounded(value):
    return float(f"{value:.7g}")


class Maker:
    def __init__(self):
        model_dir = os.path.join(TINY, "model")
        self.tokenizer = BertTokenizer(os.path.join(model_dir, "vocab.txt"), model_max_length=96)
        self.train, self.test = examples(self.tokenizer, "train.csv"), examples(self.tokenizer, "test.csv")
        check_ids(self.tokenizer, [row["input_ids"] for row in self.train + self.test])

    def trainer(self, arguments, output):
        own = {key: value for key, value in arguments.items() if key not in NOT_TRAINERS}
        parts = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        trainer = Watched(
            model=BertForSequenceClassification.from_pretrained(
                os.path.join(TINY, "model"), **dict.fromkeys(parts, 0.0)
            ).double(),
            args=TrainingArguments(output_dir=output, use_cpu=True, report_to="none", disable_tqdm=True, **own),
            train_dataset=self.train,
            eval_dataset=self.test,
            data_collator=DataCollatorWithPadding(self.tokenizer),
            compute_metrics=scores,
        )
        if "early_stopping_patience" in arguments:
            trainer.add_callback(
                EarlyStoppingCallback(
                    arguments["early_stopping_patience"], arguments["early_stopping_threshold"]
                )
            )
        return trainer

    def run(self, name, arguments):
        with tempfile.TemporaryDirectory() as output:
            trainer = self.trainer(arguments, output)
            trainer.train()
            steps = dict(trainer.steps)
            after = arguments.get("resume_after")
            if after:
                trainer = self.trainer(arguments, output)
                trainer.train(resume_from_checkpoint=os.path.join(output, f"checkpoint-{after}"))
                steps = {number: steps[number] for number in range(1, after + 1)} | trainer.steps
            log = [
                {key: rounded(line[key]) for key in LOGGED if key in line} for line in trainer.state.log_history
            ]
            left = sorted(int(entry[11:]) for entry in os.listdir(output) if re.match(r"checkpoint-\d+$", entry))
            best = {}
            if left:
                with open(os.path.join(output, f"checkpoint-{left[-1]}", "trainer_state.json")) as file:
                    state = json.load(file)
                path = state["best_model_checkpoint"]
                best = {
                    "metric": state["best_metric"],
                    "step": state["best_global_step"],
                    "checkpoint": path and os.path.basename(path),
                }
            ends_with = trainer.evaluate()["eval_loss"]
        assert list(steps) == list(range(1, len(steps) + 1)), steps
        return {
            "name": name,
            "arguments": arguments,
            "steps": [[rounded(x) for x in step] for step in steps.values()],
            "log": log,
            "checkpoints": left,
            "best": best,
            "ends_with": rounded(ends_with),
        }


def main():
    maker = Maker()
    transformers.logging.set_verbosity_error()
    runs = []
    for name, arguments in {**RUNS, **pairs()}.items():
        runs.append(maker.run(name, {**BASE, **arguments}))
        print(name, len(runs[-1]["steps"]), runs[-1]["checkpoints"], runs[-1]["best"], file=sys.stderr)
    with open(os.path.join(TINY, "..", "trainer_runs.json"), "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(map(json.dumps, runs)) + "\n]\n")


if __name__ == "__main__":
    main()
