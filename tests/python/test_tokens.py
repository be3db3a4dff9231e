"""ftc.Trainer where each token has a label: by itself, and beside transformers.Trainer."""

import pathlib

import numpy as np
import pytest
from trainers import assert_same_logs, quiet_arguments

import ftc

FAMILIES = pathlib.Path(__file__).resolve().parents[1] / "golden/families/tokens"
CLASSES = 3


def make_tagged_rows(n, seed):
    """Special tokens and every third one have no label."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        ids = random.integers(5, 300, random.integers(4, 20)).tolist()
        labels = [-100 if i in (0, len(ids) - 1) or i % 3 == 2 else one % CLASSES for i, one in enumerate(ids)]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    return rows


def labelled_accuracy(prediction):
    scores, labels = prediction
    assert scores.shape == (*labels.shape, CLASSES)
    return {"accuracy": float((scores.argmax(-1) == labels)[labels != -100].mean())}


def make_tagger(model, output, train=None, test=None, **arguments):
    arguments = {"learning_rate": 1e-3, "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1} | arguments
    args = ftc.TrainingArguments(str(output), **arguments)
    test = make_tagged_rows(10, 2) if test is None else test
    train = make_tagged_rows(30, 1) if train is None else train
    return ftc.Trainer(model, args, train_dataset=train, eval_dataset=test, compute_metrics=labelled_accuracy)


def test_trains_a_directory(tmp_path):
    trainer = make_tagger(
        FAMILIES / "bert", tmp_path / "out", num_train_epochs=8, eval_strategy="epoch", learning_rate=5e-3
    )
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]
    rows = make_tagged_rows(10, 2)
    found = trainer.predict(rows)
    longest = max(len(row["input_ids"]) for row in rows)
    assert found.predictions.shape == (10, longest, CLASSES) and found.label_ids.dtype == np.int64
    for scores, labels, row in zip(found.predictions, found.label_ids, rows):
        n = len(row["input_ids"])
        assert labels[:n].tolist() == row["labels"] and np.all(labels[n:] == -100) and np.all(scores[n:] == -100)
    assert found.metrics["test_accuracy"] == trainer.evaluate()["eval_accuracy"]
    trainer.save_model(tmp_path / "saved")
    again = make_tagger(tmp_path / "saved", tmp_path / "out")
    assert np.array_equal(again.predict(rows).predictions, found.predictions)


def test_loss_of_evaluation_is_the_mean_of_batches(tmp_path):
    """Each counts by its examples, as transformers has it, whatever its labelled tokens are."""
    rows = make_tagged_rows(9, 2)
    trainer = make_tagger(FAMILIES / "bert", tmp_path, per_device_eval_batch_size=4)
    each = [trainer.evaluate(part)["eval_loss"] for part in (rows[:4], rows[4:8], rows[8:])]
    assert trainer.evaluate(rows)["eval_loss"] == pytest.approx((4 * each[0] + 4 * each[1] + each[2]) / 9, rel=1e-6)


def test_tokens_without_attention_keep_their_places(tmp_path):
    trainer = make_tagger(FAMILIES / "bert", tmp_path)
    rows = make_tagged_rows(10, 2)
    padded = [
        {
            "input_ids": [0, *row["input_ids"], 0, 0],
            "attention_mask": [0, *row["attention_mask"], 0, 0],
            "labels": [-100, *row["labels"], -100, -100],
        }
        for row in rows
    ]
    plain, found = trainer.predict(rows), trainer.predict(padded)
    assert np.array_equal(found.predictions[:, 1:-2], plain.predictions) and np.all(found.predictions[:, 0] == -100)
    assert np.array_equal(found.label_ids[:, 1:-2], plain.label_ids)
    assert found.metrics["test_loss"] == plain.metrics["test_loss"]


def test_labels_may_be_missing_in_prediction_alone(tmp_path):
    rows = [{"input_ids": row["input_ids"]} for row in make_tagged_rows(4, 3)]
    found = make_tagger(FAMILIES / "bert", tmp_path).predict(rows)
    assert found.label_ids is None and "test_loss" not in found.metrics and found.predictions.ndim == 3
    with pytest.raises(ftc.InputError, match="no labels"):
        make_tagger(FAMILIES / "bert", tmp_path, train=rows).train()


@pytest.mark.parametrize(
    "row, kind, message",
    [
        (
            {"input_ids": [5, 6], "labels": [0, 3]},
            ftc.InputError,
            "example 0, token 1 has the label 3.*0 to 2, or -100",
        ),
        ({"input_ids": [5, 6], "labels": [0, -1]}, ftc.InputError, "has the label -1"),
        ({"input_ids": [5, 6], "labels": [0]}, ftc.InputError, "2 input_ids, but 1 labels: each token needs one, -100"),
        ({"input_ids": [5, 6], "labels": 1}, TypeError, "labels is of type int64 with 0 axes"),
        ({"input_ids": [5, 6], "labels": [0, 0.5]}, TypeError, "float64"),
        (
            {"input_ids": [5, 6], "attention_mask": [1, 0], "labels": [0, 0]},
            ftc.InputError,
            "where its attention_mask is 0",
        ),
        ({"text": "Good food", "labels": [0, 0]}, ftc.InputError, "labels, but no input_ids: tokenize it"),
    ],
)
def test_refuses_rows(tmp_path, row, kind, message):
    with pytest.raises(kind, match=message):
        make_tagger(FAMILIES / "bert", tmp_path, train=[row]).train()


# --- beside transformers -----------------------------------------------------------------------------------


def tag(hf, kind, family, output, **arguments):
    """The tutorial's code for labels of tokens; `kind` is the one import that differs."""
    directory = FAMILIES / family
    config = hf.AutoConfig.from_pretrained(directory).to_dict()
    dropouts = {name: 0.0 for name in config if name.endswith(("dropout", "dropout_prob"))}
    model = hf.AutoModelForTokenClassification.from_pretrained(directory, **dropouts)
    tokenizer = hf.AutoTokenizer.from_pretrained(FAMILIES / "bert")
    args = quiet_arguments(hf, output, **arguments)
    trainer = kind(
        model=model,
        args=args,
        data_collator=hf.DataCollatorForTokenClassification(tokenizer),
        train_dataset=make_tagged_rows(30, 1),
        eval_dataset=make_tagged_rows(13, 2),
        compute_metrics=labelled_accuracy,
    )
    trainer.train()
    return trainer, trainer.predict(make_tagged_rows(13, 3))


@pytest.mark.parametrize(
    "family, arguments", [("bert", {}), ("bert", {"label_smoothing_factor": 0.1}), ("distilbert", {})]
)
def test_equals_transformers(hf, tmp_path, family, arguments):
    theirs, right = tag(hf, hf.Trainer, family, tmp_path / "theirs", **arguments)
    ours, mine = tag(hf, ftc.Trainer, family, tmp_path / "ours", **arguments)
    assert_same_logs(ours, theirs)
    assert np.array_equal(mine.label_ids, right.label_ids) and mine.predictions.shape == right.predictions.shape
    labelled = right.label_ids != -100
    assert np.allclose(mine.predictions[labelled], right.predictions[labelled], atol=2e-3)


def test_preprocessed_scores_are_what_is_predicted(hf, tmp_path):
    model = hf.AutoModelForTokenClassification.from_pretrained(FAMILIES / "bert")
    args = hf.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True)
    trainer = ftc.Trainer(model, args, preprocess_logits_for_metrics=lambda scores, labels: scores.argmax(-1))
    rows = make_tagged_rows(5, 3)
    found = trainer.predict(rows).predictions
    trainer.preprocess_logits_for_metrics = None
    assert np.array_equal(found, trainer.predict(rows).predictions.argmax(-1))


def test_refuses_other_padding_of_labels(hf, tmp_path):
    model = hf.AutoModelForTokenClassification.from_pretrained(FAMILIES / "bert")
    collator = hf.DataCollatorForTokenClassification(
        hf.AutoTokenizer.from_pretrained(FAMILIES / "bert"), label_pad_token_id=0
    )
    with pytest.raises(NotImplementedError, match="label_pad_token_id=0"):
        ftc.Trainer(model, hf.TrainingArguments(str(tmp_path), report_to="none"), data_collator=collator)
