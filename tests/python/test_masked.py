"""ftc.Trainer of models that predict masked tokens: rows that are masked already beside transformers.Trainer, and the runtime's masks."""

import numpy as np
import pytest
from trainers import assert_same_logs, make_rows, quiet_arguments

import ftc

MASK = 103


def make_masked_rows(n, seed):
    """Every fourth token is masked."""
    rows = []
    for row in make_rows(n, seed):
        ids = row["input_ids"]
        labels = [one if i % 4 == 1 else -100 for i, one in enumerate(ids)]
        ids = [MASK if label >= 0 else one for one, label in zip(ids, labels)]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    return rows


def make_plain_rows(n, seed):
    return [{"input_ids": row["input_ids"], "attention_mask": row["attention_mask"]} for row in make_rows(n, seed)]


def train(hf, kind, directory, output, rows=make_masked_rows, collator=None, model=None, **arguments):
    import torch

    torch.manual_seed(0)
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = model or hf.AutoModelForMaskedLM.from_pretrained(directory, **dropouts)
    args = quiet_arguments(hf, output, **arguments)
    collator = collator or hf.DataCollatorForTokenClassification(hf.AutoTokenizer.from_pretrained(directory))
    trainer = kind(model=model, args=args, data_collator=collator, train_dataset=rows(40, 1), eval_dataset=rows(13, 2))
    trainer.train()
    return trainer


def test_equals_transformers_on_masked_rows(hf, tiny, tmp_path):
    theirs = train(hf, hf.Trainer, tiny, tmp_path / "theirs")
    ours = train(hf, ftc.Trainer, tiny, tmp_path / "ours")
    assert_same_logs(ours, theirs)
    for (name, mine), right in zip(ours.model.named_parameters(), theirs.model.parameters()):
        if "key.bias" not in name:  # whose gradient is zero but for rounding, which Adam makes large
            assert np.allclose(mine.detach(), right.detach(), atol=5e-4), name
    ours.save_model()
    again = hf.AutoModelForMaskedLM.from_pretrained(tmp_path / "ours")
    for (name, mine), saved in zip(ours.model.named_parameters(), again.parameters()):
        assert np.array_equal(mine.detach(), saved.detach()), name


def losses(trainer):
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def test_masks_as_the_collator_says(hf, tiny, tmp_path):
    """A token that is chosen, and stays, is one whose label is itself: so all the runtime's shares can be told apart."""
    tokenizer = hf.AutoTokenizer.from_pretrained(tiny)

    def collate(*shares, seed=None):
        names = ("mlm_probability", "mask_replace_prob", "random_replace_prob")
        return hf.DataCollatorForLanguageModeling(tokenizer, seed=seed, **dict(zip(names, shares)))

    def run(name, collator, rows=make_plain_rows, **arguments):
        return train(hf, ftc.Trainer, tiny, tmp_path / name, rows, collator, **arguments)

    def make_copied_rows(n, seed):
        return [{**row, "labels": row["input_ids"]} for row in make_plain_rows(n, seed)]

    stays = run("all", collate(1.0, 0.0, 0.0))
    copied = run("copied", None, make_copied_rows)
    assert losses(stays) == losses(copied)
    assert stays.evaluate()["eval_loss"] == copied.evaluate()["eval_loss"]
    usual, same = run("usual", collate(0.3, 0.8, 0.1)), run("same", collate(0.3, 0.8, 0.1))
    other = run("other", collate(0.3, 0.8, 0.1, seed=5))
    hidden = run("hidden", collate(0.3, 1.0, 0.0))
    assert losses(usual) == losses(same) and usual.evaluate()["eval_loss"] == usual.evaluate()["eval_loss"]
    assert losses(usual) != losses(other) and losses(usual) != losses(hidden)
    named = run("named", collate(0.3, 0.8, 0.1), make_copied_rows)  # whose labels the collator overwrites
    assert losses(named) == losses(usual)


def test_refuses_what_there_is_not(hf, tiny, tmp_path):
    tokenizer = hf.AutoTokenizer.from_pretrained(tiny)
    collator = hf.DataCollatorForLanguageModeling(tokenizer)
    args = hf.TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    model = hf.AutoModelForMaskedLM.from_pretrained(tiny)
    with pytest.raises(NotImplementedError, match="compute_metrics: the scores of masked tokens are never there"):
        ftc.Trainer(model, args, collator, compute_metrics=lambda p: {})
    with pytest.raises(NotImplementedError, match="with mlm=True"):
        ftc.Trainer(model, args, hf.DataCollatorForLanguageModeling(tokenizer, mlm=False))
    with pytest.raises(NotImplementedError, match="it is for a …ForMaskedLM"):
        ftc.Trainer(hf.AutoModelForSequenceClassification.from_pretrained(tiny), args, collator)
    with pytest.raises(NotImplementedError, match="predict: the scores of masked tokens"):
        ftc.Trainer(model, args, collator).predict(make_plain_rows(2, 1))
    with pytest.raises(NotImplementedError, match="label_smoothing_factor: the loss of bert_cls has none"):
        smooth = hf.TrainingArguments(str(tmp_path), report_to="none", use_cpu=True, label_smoothing_factor=0.1)
        ftc.Trainer(model, smooth, collator).evaluate(make_plain_rows(2, 1))
    with pytest.raises(ftc.InputError, match="nothing says which"):
        ftc.Trainer(model, args).evaluate(make_plain_rows(2, 1))
