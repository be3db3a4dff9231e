#!/usr/bin/env python3
"""Makes trainer.json beside the tiny golden: what Hugging Face's own Trainer logs of a training, and its arguments.

Needs torch, transformers and accelerate. Usage: make_trainer_history.py, after make_goldens.py.
"""

import csv
import json
import os
import tempfile

from transformers import (
    BertForSequenceClassification,
    BertTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from premises import check_ids

TINY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "parity", "tiny")

ARGUMENTS = {
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "num_train_epochs": 1.5,
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "adam_beta2": 0.99,
    "max_grad_norm": 0.5,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.2,
    "gradient_accumulation_steps": 3,
    "label_smoothing_factor": 0.1,
    "logging_steps": 3,
    "logging_first_step": True,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "eval_on_start": True,
    "save_strategy": "no",
    "train_sampling_strategy": "sequential",
    "report_to": "none",
    "disable_tqdm": True,
}
KEPT = ("step", "epoch", "loss", "grad_norm", "learning_rate", "eval_loss", "eval_accuracy", "train_loss")


def examples(tokenizer, name):
    with open(os.path.join(TINY, name), encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    return [{**tokenizer(row["text"], truncation=True), "label": int(row["label"])} for row in rows]


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def main():
    model_dir = os.path.join(TINY, "model")
    none = {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout": 0.0,
    }
    tokenizer = BertTokenizer(os.path.join(model_dir, "vocab.txt"), model_max_length=96)
    train, test = examples(tokenizer, "train.csv"), examples(tokenizer, "test.csv")
    check_ids(tokenizer, [row["input_ids"] for row in train + test])
    with tempfile.TemporaryDirectory() as output:
        trainer = Trainer(
            model=BertForSequenceClassification.from_pretrained(model_dir, **none),
            args=TrainingArguments(output_dir=output, use_cpu=True, **ARGUMENTS),
            train_dataset=train,
            eval_dataset=test,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=accuracy,
        )
        trainer.model_accepts_loss_kwargs = False  # else some versions sum accumulated gradients
        trainer.train()
    history = [{key: float(line[key]) for key in KEPT if key in line} for line in trainer.state.log_history]
    with open(os.path.join(TINY, "trainer.json"), "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(line) for line in history)
        file.write(f'{{"training_args": {json.dumps(ARGUMENTS)},\n"log_history": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
