#!/usr/bin/env python3
"""What ftc has saved goes on in Hugging Face's libraries: pipeline, Trainer(resume_from_checkpoint=...), ModelCard.

Trains the tiny BERT, with a checkpoint in the middle of an epoch. Says so and ends with status 77 where torch,
transformers or accelerate are missing. Usage: reload.py FTC MODEL.ir
"""

import csv
import json
import os
import subprocess
import sys
import tempfile

try:
    import accelerate  # noqa: F401, Trainer needs it
    import torch
    import transformers
    from huggingface_hub import ModelCard
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

TINY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "parity", "tiny")
BATCH, STEPS, AT = 4, 20, 10


def rows_of(name):
    with open(os.path.join(TINY, name), encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def train(ftc, model, folder):
    output = os.path.join(folder, "output")
    data = [f"--{name}={os.path.join(TINY, name)}.csv" for name in ("train", "test")]
    options = ["--lr=1e-3", f"--batch={BATCH}", "--epochs=1", "--dropout=0", "--save-strategy=steps"]
    options += [f"--save-steps={AT}", "--save-total-limit=0", f"--output={output}", "--metrics=/dev/null"]
    model_options = ["--pretrained", os.path.join(TINY, "model")]
    subprocess.run([ftc, "run", model, *model_options, *data, *options], check=True, capture_output=True)
    return output


def check_pipeline(ftc, output):
    texts = [row["text"] for row in rows_of("test.csv")]
    told = subprocess.run(
        [ftc, "predict", output, "--json", *texts], check=True, capture_output=True, text=True
    )
    ours = [json.loads(line) for line in told.stdout.splitlines()]
    theirs = transformers.pipeline("text-classification", model=output, device="cpu")(texts, truncation=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert str(mine["label"]) == other["label"], (mine, other)
        score = torch.tensor(mine["logits"]).softmax(-1).max().item()
        assert abs(score - other["score"]) < 1e-5, (mine, other)
    print(f"ok   pipeline: {len(ours)} texts, labels and scores")


def check_trainer(output):
    checkpoint = os.path.join(output, f"checkpoint-{AT}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    rows = [
        {**tokenizer(row["text"], truncation=True, max_length=96), "label": int(row["label"])}
        for row in rows_of("train.csv")
    ]
    arguments = transformers.TrainingArguments(
        output_dir=os.path.join(output, "of-trainer"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=1e-3,
        logging_steps=1,
        save_steps=AT,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        restore_callback_states_from_checkpoint=True,
    )
    trainer = transformers.Trainer(
        model=transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint),
        args=arguments,
        train_dataset=rows,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    losses = [line["step"] for line in trainer.state.log_history if "loss" in line]
    assert trainer.state.global_step == STEPS, trainer.state.global_step
    assert losses == list(range(1, STEPS + 1)), losses
    print(f"ok   Trainer: resumed after step {AT}, ended at {STEPS}")


def check_card(output):
    card = ModelCard.load(os.path.join(output, "README.md"))
    results = card.data.eval_results
    assert any(result.metric_type == "accuracy" for result in results), results
    print(f"ok   ModelCard: {len(results)} results")


def check_spans(ftc, model, folder):
    """A model that labels tokens: the same spans with the same scores, where both cut a text into the same words."""
    data, output = os.path.join(TINY, "..", "..", "families", "tokens"), os.path.join(folder, "spans")
    options = ["--train", os.path.join(data, "train.jsonl"), "--pretrained", os.path.join(data, "bert"), "--lr=2e-3"]
    subprocess.run([ftc, "run", model, *options, "--output", output, "--metrics=/dev/null"], check=True, capture_output=True)
    texts = ["The food was good .", "I want my money back", "What a poor collection !"]
    told = subprocess.run([ftc, "predict", output, "--json", *texts], check=True, capture_output=True, text=True)
    pipeline = transformers.pipeline("token-classification", model=output, device="cpu", aggregation_strategy="first")
    count = 0
    for text, line, theirs in zip(texts, told.stdout.splitlines(), pipeline(texts), strict=True):
        for mine, other in zip(json.loads(line)["spans"], theirs, strict=True):
            found = (other["entity_group"], text[other["start"] : other["end"]])
            assert (mine["label"], mine["text"]) == found, (mine, other)
            assert abs(mine["score"] - other["score"]) < 1e-5, (mine, other)
            count += 1
    assert count, "no span was found"
    print(f"ok   pipeline: {count} spans")


def check_vectors(ftc, model, folder):
    """An encoder of pairs: AutoModel's mean of the tokens, of length 1."""
    output = os.path.join(folder, "pairs")
    options = ["--task=pairs", "--train", os.path.join(TINY, "..", "..", "families", "train.csv"), "--text-column=text"]
    options += ["--pair-column=pair", "--pretrained", os.path.join(TINY, "model"), "--lr=2e-3", "--output", output]
    subprocess.run([ftc, "run", model, *options, "--metrics=/dev/null"], check=True, capture_output=True)
    texts = [row["text"] for row in rows_of("test.csv")]
    told = subprocess.run([ftc, "predict", output, "--embeddings", *texts], check=True, capture_output=True, text=True)
    tokenizer, encoder = (kind.from_pretrained(output) for kind in (transformers.AutoTokenizer, transformers.AutoModel))
    for text, line in zip(texts, told.stdout.splitlines(), strict=True):
        with torch.no_grad():
            tokens = encoder(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state[0]
        theirs = torch.nn.functional.normalize(tokens.mean(0), dim=0)
        off = (torch.tensor(json.loads(line)["embedding"]) - theirs).abs().max().item()
        assert off < 1e-5, (text, off)
    print(f"ok   AutoModel: {len(texts)} vectors")


def main():
    ftc, model = sys.argv[1:3]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        output = train(ftc, model, folder)
        check_pipeline(ftc, output)
        check_trainer(output)
        check_card(output)
        check_spans(ftc, model, folder)
        check_vectors(ftc, model, folder)


if __name__ == "__main__":
    main()
