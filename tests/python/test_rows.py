"""Rows of Parquet and Arrow files: for Trainer, and as JSON lines for the command."""

import datetime
import json
import subprocess
import sys

import pytest

import ftc

ROWS = [
    {"text": 'The soup, "hot"\nand good.', "label": 1, "score": 0.5, "ids": [1, 2]},
    {"text": "Café fermé: 日本語 🙂", "label": 0, "score": float("nan"), "ids": []},
    {"text": "", "label": None, "score": None, "ids": [3]},
    {"text": "one more", "label": 1, "score": -1e-7, "ids": [4]},
]
AS_JSON = [{**row, "score": None if row["score"] != row["score"] else row["score"]} for row in ROWS]


def rows_command(*paths, **environment):
    command = [sys.executable, "-m", "ftc", "rows", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment or None)


@pytest.fixture
def files(tmp_path):
    """The same rows in each form, by name."""
    pa = pytest.importorskip("pyarrow", reason="no pyarrow, for Parquet and Arrow files")
    import pyarrow.parquet

    table = pa.Table.from_pylist(ROWS)
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    with pa.ipc.new_file(tmp_path / "x.feather", table.schema) as file:
        file.write_table(table)
    with pa.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as file:  # as datasets writes them
        file.write_table(table)
    parts = tmp_path / "parts"
    parts.mkdir()
    pyarrow.parquet.write_table(table.slice(0, 1), parts / "train-00000-of-00002.parquet")
    pyarrow.parquet.write_table(table.slice(1), parts / "train-00001-of-00002.parquet")
    saved = tmp_path / "saved"
    saved.mkdir()
    for name, part in (("b.arrow", table.slice(0, 2)), ("a.arrow", table.slice(2))):
        with pa.ipc.new_stream(saved / name, table.schema) as file:
            file.write_table(part)
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "b.arrow"}, {"filename": "a.arrow"}]}))
    return [tmp_path / "x.parquet", tmp_path / "x.feather", tmp_path / "stream.arrow", parts, saved]


def test_rows_are_those_of_the_file(files):
    for path in files:
        rows = ftc.read_rows(path)
        assert len(rows) == len(ROWS) and rows.column_names == list(ROWS[0]), path
        assert repr(list(rows)) == repr(ROWS) == repr([rows[i] for i in range(len(rows))]), path
        assert repr(rows[-1]) == repr(ROWS[-1]) and repr(rows[1:3]) == repr(ROWS[1:3])
        with pytest.raises(IndexError):
            rows[len(ROWS)]
    assert len(ftc.read_rows(files[0], files[3])) == 2 * len(ROWS)


def test_the_command_prints_json_lines(files):
    for path in files:
        done = rows_command(path)
        assert done.returncode == 0, done.stderr
        assert [json.loads(line) for line in done.stdout.splitlines()] == AS_JSON, path


NAMES = ["neutral", "awful", "très bon"]
FEATURES = {  # as datasets writes them; lists of before 4.0 have the other form
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": NAMES, "_type": "ClassLabel"},
    "tags": {"feature": {"names": ["O", "B-X"], "_type": "ClassLabel"}, "_type": "List"},
    "old": [{"names": ["O", "B-X"], "_type": "ClassLabel"}],
}
CLASSES = [
    {"text": "one", "label": 2, "tags": [0, 1], "old": [1], "n": 1},
    {"text": "two", "label": -1, "tags": [], "old": None, "n": 2},
    {"text": "three", "label": None, "tags": [1], "old": [0], "n": -1},
]


def write_classes(path, rows, features=FEATURES):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(metadata), path)


def test_classes_have_their_names(tmp_path):
    write_classes(tmp_path / "x.parquet", CLASSES)
    rows = ftc.read_rows(tmp_path / "x.parquet")
    assert rows.class_names == {"label": NAMES, "tags": ["O", "B-X"], "old": ["O", "B-X"]} and list(rows) == CLASSES
    done = rows_command(tmp_path / "x.parquet")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"text": "one", "label": "très bon", "tags": ["O", "B-X"], "old": ["B-X"], "n": 1},
        {"text": "two", "label": None, "tags": [], "old": None, "n": 2},
        {"text": "three", "label": None, "tags": ["B-X"], "old": ["O"], "n": -1},
    ]
    assert 'classes of "label" by name: 0 → neutral, 1 → awful, 2 → très bon\n' in done.stderr
    write_classes(tmp_path / "beyond.parquet", [{**CLASSES[0], "label": 3}])
    write_classes(
        tmp_path / "other.parquet", CLASSES, {**FEATURES, "label": {"names": NAMES[::-1], "_type": "ClassLabel"}}
    )
    for names, said in (
        (["beyond.parquet"], 'the column "label" holds the class 3, but names of 3 classes'),
        (["x.parquet", "other.parquet"], 'other.parquet: the classes of "label" have other names than in'),
    ):
        done = rows_command(*(tmp_path / name for name in names))
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_classes_of_datasets_have_their_names(tmp_path):
    datasets = pytest.importorskip("datasets", reason="no datasets, whose files are read")
    kinds = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=NAMES),
            "tags": [datasets.ClassLabel(names=["O", "B-X"])],
        }
    )
    columns = {"text": ["one", "two"], "label": [2, 0], "tags": [[0, 1], [1]]}
    datasets.Dataset.from_dict(columns, features=kinds).to_parquet(tmp_path / "x.parquet")
    datasets.Dataset.from_dict(columns, features=kinds).save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "x.parquet", tmp_path / "saved"):
        assert ftc.read_rows(path).class_names == {"label": NAMES, "tags": ["O", "B-X"]}
        assert json.loads(rows_command(path).stdout.splitlines()[0]) == {
            "text": "one",
            "label": "très bon",
            "tags": ["O", "B-X"],
        }


def test_trainer_takes_names_of_classes(models, tmp_path):
    write_classes(tmp_path / "train.parquet", [{"text": f"row number {i}", "label": i % 3} for i in range(12)])
    rows = ftc.read_rows(tmp_path / "train.parquet")
    args = ftc.TrainingArguments(
        tmp_path / "out", max_steps=1, disable_tqdm=True, save_strategy="no", logging_strategy="no"
    )
    for labels, names in ((3, ["a", "b", "c"]), (3, None), (2, None)):
        small = {"labels": labels, "layers": 1, "hidden": 32, "intermediate": 64}
        net = ftc.compile(models / "bert-cls.ir", set=small, calls=["eval"])
        net.save(tmp_path / "start", tokenizer=models / "data/tokenizer", labels=names)
        if labels == 2:
            with pytest.raises(ftc.InputError, match='train_dataset: "label" has 3 classes .*, the model 2'):
                ftc.Trainer(tmp_path / "start", args, train_dataset=rows)
            continue
        trainer = ftc.Trainer(tmp_path / "start", args, train_dataset=rows)
        trainer.train()
        trainer.save_model(tmp_path / "saved")
        config = json.loads((tmp_path / "saved/config.json").read_text())
        assert config["id2label"] == {str(i): name for i, name in enumerate(names or NAMES)}


def test_a_model_of_transformers_takes_names_of_classes(tmp_path):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    write_classes(tmp_path / "train.parquet", [{"input_ids": [1, 2, i], "label": i % 3} for i in range(12)])
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    model = transformers.BertForSequenceClassification(config)
    args = ftc.TrainingArguments(
        tmp_path / "out", max_steps=1, disable_tqdm=True, save_strategy="no", logging_strategy="no"
    )
    ftc.Trainer(model, args, train_dataset=ftc.read_rows(tmp_path / "train.parquet")).save_model(tmp_path / "saved")
    loaded = transformers.AutoConfig.from_pretrained(tmp_path / "saved")
    assert loaded.id2label == dict(enumerate(NAMES)) and loaded.label2id["awful"] == 1


def test_what_cannot_be_read_is_named(files, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(
        pa.table({"text": ["a"], "when": [datetime.date(2020, 1, 2)]}), tmp_path / "date.parquet"
    )
    assert json.loads(rows_command(tmp_path / "date.parquet").stdout) == {"text": "a", "when": "2020-01-02"}
    pyarrow.parquet.write_table(pa.table({"text": ["a"], "image": [b"\x00"]}), tmp_path / "bytes.parquet")
    (tmp_path / "cut.parquet").write_bytes(files[0].read_bytes()[:100])
    (tmp_path / "text.parquet").write_text("text\n")
    (tmp_path / "empty").mkdir()
    for name, said in (
        ("bytes.parquet", '"image" holds bytes'),
        ("cut.parquet", "cut.parquet: "),
        ("text.parquet", "text.parquet: neither a Parquet nor an Arrow file"),
        ("empty", "empty: has no .parquet"),
        ("none.parquet", "none.parquet"),
    ):
        done = rows_command(tmp_path / name)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    with pytest.raises(ftc.InputError, match="x.parquet, .*date.parquet: "):
        ftc.read_rows(files[0], tmp_path / "date.parquet")


def test_trainer_takes_rows(files, models, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    plain = [{"text": f"row number {i}", "label": i % 2} for i in range(16)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(plain), tmp_path / "train.parquet")
    small = {"labels": 2, "layers": 1, "hidden": 32, "intermediate": 64}
    ftc.compile(models / "bert-cls.ir", set=small, calls=["eval"]).save(
        tmp_path / "start", tokenizer=models / "data/tokenizer"
    )
    losses = []
    for rows in (plain, ftc.read_rows(tmp_path / "train.parquet")):
        args = ftc.TrainingArguments(
            tmp_path / "out", max_steps=4, disable_tqdm=True, save_strategy="no", logging_strategy="no"
        )
        losses.append(ftc.Trainer(tmp_path / "start", args, train_dataset=rows).train().training_loss)
    assert losses[0] == losses[1]


def test_without_pyarrow_it_says_so(tmp_path):
    (tmp_path / "pyarrow.py").write_text("raise ImportError('none')")
    (tmp_path / "x.parquet").write_bytes(b"PAR1\x15\x04")
    import os

    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = rows_command(tmp_path / "x.parquet", **{**os.environ, "PYTHONPATH": path})
    assert done.returncode == 2 and "pip install pyarrow" in done.stderr and "Traceback" not in done.stderr, done.stderr
    done = rows_command()
    assert done.returncode == 2 and "python3 -m ftc rows FILE" in done.stderr
