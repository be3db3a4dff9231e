"""Data as the library `datasets` has them: reviews in Arrow, tokenized by map, shuffled, streamed; beside transformers' Trainer."""

import numpy as np
import pytest
from trainers import assert_same_logs, make_rows

import ftc
from ftc._data import pack

LENGTH = 48


@pytest.fixture(scope="module")
def datasets():
    datasets = pytest.importorskip("datasets", reason="no datasets, for the tests with Arrow")
    datasets.disable_progress_bars()
    return datasets


def packed(dataset, tokenize=None, most=None):
    examples = pack(dataset, name="train_dataset", classes=5, types=True, tokenize=tokenize, most=most)
    return [examples.ids.tolist(), examples.types.tolist(), examples.offsets.tolist(), examples.labels.tolist()]


def test_every_form_of_a_data_set_is_the_same(datasets, tmp_path):
    rows = [{**row, "text": "beside"} for row in make_rows(2500, 1)]  # more than are read at a time
    rows[7]["attention_mask"][-2:] = [0, 0]
    wanted = packed(rows)
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "rows")
    arrow = datasets.load_from_disk(tmp_path / "rows")
    assert packed(arrow) == packed(arrow.with_format("numpy")) == packed(arrow.rename_column("label", "labels")) == wanted
    assert packed(arrow.to_iterable_dataset(), most=2500) == wanted
    assert packed(arrow.to_iterable_dataset(), most=1003) == packed(rows[:1003])
    order = np.random.default_rng(3).permutation(2500)
    assert packed(arrow.select(order)) == packed([rows[i] for i in order])
    lazily = datasets.Dataset.from_dict({"label": [row["label"] for row in rows], "i": range(2500)})
    lazily.set_transform(lambda block: {"input_ids": [rows[i]["input_ids"] for i in block["i"]], "label": block["label"]})
    rows[7]["attention_mask"][-2:] = [1, 1]
    assert packed(lazily) == packed(rows)
    texts = datasets.Dataset.from_dict({"label": [0, 1], "text": ["a", "b"]})
    assert packed(texts, lambda text: {"input_ids": [ord(text)]})[0] == [97, 98]


def test_tensors_of_torch(datasets):
    pytest.importorskip("torch", reason="no torch, for data sets of its tensors")
    rows = make_rows(30, 1)
    arrow = datasets.Dataset.from_list(rows).with_format("torch")
    assert packed(arrow) == packed([arrow[i] for i in range(30)]) == packed(rows)


def test_refuses_rows_by_their_number(datasets, make):
    bad = datasets.Dataset.from_list([*make_rows(1200, 1), {"input_ids": [1, 300], "attention_mask": [1, 1], "label": 0}])
    with pytest.raises(ftc.InputError, match="300"):
        make(train=bad, eval_strategy="no").train()
    with pytest.raises(ftc.InputError, match="example 1200: label is 9"):
        make(train=datasets.Dataset.from_list([*make_rows(1200, 1), {"input_ids": [1], "label": 9}]), eval_strategy="no").train()
    with pytest.raises(ftc.InputError, match="empty"):
        make(train=bad.select([]), eval_strategy="no").train()


@pytest.fixture(scope="module")
def reviews(datasets, hf, models, tiny, tmp_path_factory):
    """The steps of Hugging Face's tutorial."""
    files = {part: str(models / f"data/reviews-{part}.csv") for part in ("train", "test")}
    found = datasets.load_dataset("csv", data_files=files, cache_dir=str(tmp_path_factory.mktemp("cache")))
    tokenizer = hf.BertTokenizerFast(vocab=str(tiny / "vocab.txt"))

    def tokenize(examples):
        return tokenizer(examples["text"], padding="max_length", truncation=True, max_length=LENGTH)

    tokens = found.map(tokenize, batched=True)
    assert sum(ids.count(tokenizer.unk_token_id) for ids in tokens["test"][:50]["input_ids"]) < 1200  # it knows words
    small = {part: tokens[part].shuffle(seed=42).select(range(n)) for part, n in (("train", 60), ("test", 20))}
    return small["train"], small["test"]


def train(hf, kind, tiny, folder, train_dataset, eval_dataset, **arguments):
    model = hf.AutoModelForSequenceClassification.from_pretrained(
        tiny, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    args = hf.TrainingArguments(
        str(folder), eval_strategy="epoch", save_strategy="no", logging_steps=1, learning_rate=1e-3, use_cpu=True,
        report_to="none", disable_tqdm=True, **arguments,
    )  # fmt: skip
    trainer = kind(model=model, args=args, train_dataset=train_dataset, eval_dataset=eval_dataset)
    trainer.train()
    return trainer


def test_the_tutorial_in_arrow(hf, reviews, tiny, tmp_path):
    ours = train(hf, ftc.Trainer, tiny, tmp_path / "ours", *reviews, num_train_epochs=2)
    theirs = train(hf, hf.Trainer, tiny, tmp_path / "theirs", *reviews, num_train_epochs=2)
    assert ours.state.global_step == 16
    assert_same_logs(ours, theirs)


def test_a_stream_of_arrow(hf, reviews, tiny, tmp_path):
    stream = reviews[0].to_iterable_dataset().shuffle(seed=5, buffer_size=20)
    ours = train(hf, ftc.Trainer, tiny, tmp_path / "ours", stream, reviews[1], max_steps=6)
    theirs = train(hf, hf.Trainer, tiny, tmp_path / "theirs", stream, reviews[1], max_steps=6)
    assert_same_logs(ours, theirs)
