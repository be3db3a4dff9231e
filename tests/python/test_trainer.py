"""ftc.Trainer: by itself (NumPy alone), and beside transformers.Trainer where torch and transformers are."""

import json
import os
import re
import signal
import sys
import threading
import types
import warnings

import numpy as np
import pytest
from trainers import LABELS, accuracy, assert_same_logs, make_rows

import ftc


def losses(trainer):
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def test_trains_a_directory(make, tmp_path):
    trainer = make()
    out = trainer.train()
    assert out.global_step == 21 and trainer.state.epoch == 3 and len(losses(trainer)) == 21
    assert out.training_loss == pytest.approx(np.mean(losses(trainer)))
    evaluations = [line for line in trainer.state.log_history if "eval_loss" in line]
    assert [line["step"] for line in evaluations] == [7, 14, 21] and "eval_accuracy" in evaluations[0]
    first = trainer.state.log_history[0]
    assert set(first) == {"loss", "grad_norm", "learning_rate", "epoch", "step"} and first["learning_rate"] == 1e-3
    metrics = trainer.evaluate()
    predicted = trainer.predict(make_rows(20, 2))
    assert predicted.predictions.shape == (20, LABELS) and predicted.label_ids.dtype == np.int64
    assert predicted.metrics["test_loss"] == metrics["eval_loss"]
    trainer.save_model(tmp_path / "saved")
    trainer.save_state()
    again = make(tmp_path / "saved")
    assert again.evaluate()["eval_loss"] == metrics["eval_loss"]
    assert np.array_equal(again.predict(make_rows(20, 2)).predictions, predicted.predictions)
    assert json.loads((tmp_path / "out/trainer_state.json").read_text())["global_step"] == 21


def test_labels_may_be_missing_in_prediction_alone(make):
    rows = [{"input_ids": row["input_ids"]} for row in make_rows(10, 3)]
    trainer = make()
    predicted = trainer.predict(rows)
    assert predicted.label_ids is None and "test_loss" not in predicted.metrics
    with pytest.raises(ftc.InputError, match="no labels"):
        make(train=rows).train()


def test_masked_tokens_and_texts(make, models):
    trainer = make()
    rows = make_rows(10, 3)
    padded = [
        {"input_ids": [*row["input_ids"], 0, 0, 0], "attention_mask": [*row["attention_mask"], 0, 0, 0], "label": row["label"]}
        for row in rows
    ]
    assert np.array_equal(trainer.predict(padded).predictions, trainer.predict(rows).predictions)
    texts = [{"text": "The soup was wonderful."}, {"text": "Never again!"}]
    tokenizer = ftc.Tokenizer(trainer.model)
    tokens = [{"input_ids": tokenizer(row["text"])[0]} for row in texts]
    assert np.array_equal(trainer.predict(texts).predictions, trainer.predict(tokens).predictions)


def test_a_longer_data_set_compiles_again(make):
    trainer = make()
    trainer.train()
    before, net = trainer.evaluate(), trainer.net
    long = [{"input_ids": [7] * 60, "label": 1}]
    assert np.isfinite(trainer.evaluate(long)["eval_loss"]) and trainer.net is not net
    assert trainer.evaluate()["eval_loss"] == pytest.approx(before["eval_loss"], rel=1e-6)


def test_resumes_to_the_same_bits(make):
    whole = make(save_strategy="steps", save_steps=5, max_steps=12, weight_decay=0.1)
    whole.train()
    checkpoint = os.path.join(whole.args.output_dir, "checkpoint-5")
    assert {"model.safetensors", "optimizer.safetensors", "trainer_state.json"} <= set(os.listdir(checkpoint))
    resumed = make(save_strategy="no", max_steps=12, weight_decay=0.1)
    resumed.train(resume_from_checkpoint=checkpoint)
    assert losses(resumed) == losses(whole)
    assert resumed.state.total_flos == whole.state.total_flos > 0
    for name in whole.net.parameters:
        assert np.array_equal(whole.net.parameters[name], resumed.net.parameters[name]), name
    last = make(save_strategy="no", max_steps=12)
    last.train(resume_from_checkpoint=True)
    assert last.state.global_step == 12


def test_passes_over_what_lacks_files(make):
    make(save_strategy="steps", save_steps=5, max_steps=12).train()
    resumed = make(save_strategy="no", max_steps=12)
    newest = os.path.join(resumed.args.output_dir, "checkpoint-12")
    os.remove(os.path.join(newest, "optimizer.safetensors"))
    with pytest.warns(UserWarning, match="checkpoint-12 has no optimizer.safetensors and is passed over; .*checkpoint-10"):
        resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 12
    with pytest.raises(ftc.InputError, match="checkpoint-12 has no optimizer.safetensors: it is no checkpoint of ftc"):
        resumed.train(resume_from_checkpoint=newest)
    for step in (5, 10):
        os.remove(os.path.join(resumed.args.output_dir, f"checkpoint-{step}", "trainer_state.json"))
    with pytest.raises(ValueError, match="no checkpoint to resume from .*checkpoint-10 has no trainer_state.json and is passed over"):
        resumed.train(resume_from_checkpoint=True)


def test_resumes_a_plateau(make):
    arguments = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps", "eval_steps": 1, "max_steps": 12}
    arguments["lr_scheduler_kwargs"] = {"factor": 0.5, "patience": 2, "threshold": 0.9}
    whole = make(save_strategy="steps", save_steps=5, **arguments)
    whole.train()
    rates = [line["learning_rate"] for line in whole.state.log_history if "loss" in line]
    assert rates == [1e-3] * 4 + [5e-4] * 3 + [2.5e-4] * 3 + [1.25e-4] * 2
    resumed = make(**arguments)
    resumed.train(resume_from_checkpoint=os.path.join(whole.args.output_dir, "checkpoint-5"))
    assert [line["learning_rate"] for line in resumed.state.log_history if "loss" in line] == rates
    assert losses(resumed) == losses(whole)


def test_refuses_schedules(make):
    with pytest.raises(NotImplementedError, match="lr_scheduler_kwargs mode of reduce_lr_on_plateau: there are factor"):
        make(lr_scheduler_type="reduce_lr_on_plateau", lr_scheduler_kwargs={"mode": "max"})
    with pytest.raises(NotImplementedError, match="power of linear: there are none"):
        make(lr_scheduler_kwargs={"power": 2})
    with pytest.raises(ValueError, match="reduce_lr_on_plateau goes by evaluations"):
        make(lr_scheduler_type="reduce_lr_on_plateau", eval_strategy="no")
    for keywords in ({"decay_type": 1}, {"num_decay_steps": "2"}):
        with pytest.raises(TypeError, match="lr_scheduler_kwargs .* expected a"):
            make(lr_scheduler_type="warmup_stable_decay", lr_scheduler_kwargs=keywords)
    with pytest.raises(ftc.InputError, match="give either"):
        make(lr_scheduler_type="cosine_with_min_lr").train()
    with pytest.raises(ftc.InputError, match="num_decay_steps"):
        make(lr_scheduler_type="warmup_stable_decay").train()
    with pytest.raises(ftc.InputError, match='schedule_fall is "round": expected one of linear'):
        make(lr_scheduler_type="warmup_stable_decay", lr_scheduler_kwargs={"num_decay_steps": 2, "decay_type": "round"}).train()


def test_saves_metrics(make, capsys):
    trainer = make(eval_strategy="no")
    trainer.log_metrics("train", {"train_loss": 0.123456, "epoch": 3.0})
    assert capsys.readouterr().out == "***** train metrics *****\n  epoch      = 3.0\n  train_loss = 0.1235\n"
    trainer.save_metrics("train", {"train_loss": 0.5})
    trainer.save_metrics("eval", {"eval_loss": 0.25})
    trainer.save_metrics("test", {"test_loss": 0.75}, combined=False)
    read = {name: json.loads(open(f"{trainer.args.output_dir}/{name}_results.json").read()) for name in ("all", "eval", "test")}
    assert read == {"all": {"train_loss": 0.5, "eval_loss": 0.25}, "eval": {"eval_loss": 0.25}, "test": {"test_loss": 0.75}}


def test_says_what_is_instead_of_what_is_absent(make):
    trainer = make(eval_strategy="no")
    with pytest.raises(AttributeError, match="has no hyperparameter_search: make a Trainer for each"):
        trainer.hyperparameter_search()
    with pytest.raises(AttributeError, match="has no get_train_dataloader: the compiled step and its loop"):
        trainer.get_train_dataloader()
    assert not hasattr(trainer, "anything_else")


def test_pushes_to_the_hub(make, monkeypatch):
    trainer, calls = make(eval_strategy="no"), []
    directory = os.path.abspath(trainer.args.output_dir)
    trainer.args.hub_model_id, trainer.args.hub_token = "me/mine", "secret"

    def create_repo(name, **options):
        if trainer.args.hub_private_repo is False:
            raise ConnectionError("offline")
        calls.append((name, options))
        return types.SimpleNamespace(repo_id=name)

    def upload_folder(**options):
        assert os.path.exists(os.path.join(options["folder_path"], "model.safetensors"))
        calls.append(options)
        return "done"

    hub = types.SimpleNamespace(create_repo=create_repo, upload_folder=upload_folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert trainer.push_to_hub("a message", blocking=False) == "done"
    assert calls[0] == ("me/mine", {"token": "secret", "private": None, "exist_ok": True})
    assert (calls[1]["repo_id"], calls[1]["folder_path"], calls[1]["commit_message"]) == ("me/mine", directory, "a message")
    assert calls[1]["run_as_future"] and "checkpoint-*" in calls[1]["ignore_patterns"]
    trainer.args.hub_private_repo = False
    with pytest.raises(ConnectionError, match="offline") as told:
        trainer.push_to_hub()
    assert f"the model is saved in {directory}, but not pushed" in told.value.__notes__[0]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError) as told:
        trainer.push_to_hub()
    assert "needs the package huggingface_hub" in told.value.__notes__[0]


def make_several(n, seed):
    return [{**row, "label": [float(i in row["input_ids"]) for i in range(5, 5 + LABELS)]} for row in make_rows(n, seed)]


def test_several_labels(make, tiny, tmp_path):
    config = json.loads((tiny / "config.json").read_text())
    for name in os.listdir(tiny):
        (tmp_path / name).symlink_to(tiny / name)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    trainer = make(tmp_path, train=make_several(50, 1), test=make_several(20, 2), eval_strategy="no")
    trainer.compute_metrics = lambda p: {"right": float(((p.predictions > 0) == p.label_ids).mean())}
    trainer.train()
    assert losses(trainer)[-1] < losses(trainer)[0] < 0.9
    found = trainer.predict(make_several(20, 2))
    assert found.label_ids.shape == (20, LABELS) and found.label_ids.dtype == np.float32 and found.metrics["test_right"] > 0.7
    wanted = -np.log(1 / (1 + np.exp(-found.predictions * (2 * found.label_ids - 1)))).mean()
    assert found.metrics["test_loss"] == pytest.approx(wanted, rel=1e-5)
    for label in (1, [1, 0], [0, 0, 0, 0, 2], ["a"] * LABELS):
        with pytest.raises(ftc.InputError, match="expected 5 numbers from 0 to 1"):
            trainer.predict([{"input_ids": [5], "label": label}])
    trainer._weights.task = "classification"
    with pytest.raises(ftc.InputError, match="takes several labels a text, but these examples have one"):
        trainer.predict(make_rows(8, 1))
    with pytest.raises(ftc.InputError, match="problem_type"):
        make(train=make_several(8, 1)).train()


def test_keeps_the_best(make):
    trainer = make(
        save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="loss", greater_is_better=True, save_total_limit=1,
        learning_rate=2e-2,
    )
    trainer.train()
    evaluations = {line["step"]: line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line}
    best = max(evaluations, key=evaluations.get)
    assert trainer.state.best_model_checkpoint.endswith(f"checkpoint-{best}")
    assert trainer.evaluate()["eval_loss"] == pytest.approx(evaluations[best], rel=1e-6)
    kept = {name for name in os.listdir(trainer.args.output_dir) if name.startswith("checkpoint")}
    assert kept == {f"checkpoint-{best}"} and best < 21


class Recorder(ftc.TrainerCallback):
    def __init__(self, stop_at=None):
        self.events, self.stop_at = [], stop_at


def _recording(name):
    def record(self, args, state, control, **kwargs):
        self.events.append(name)
        if name == "step_end" and state.global_step == self.stop_at:
            control.should_training_stop = True

    return record


for _name in "train_begin epoch_begin step_begin substep_end pre_optimizer_step optimizer_step step_end epoch_end train_end".split():
    setattr(Recorder, f"on_{_name}", _recording(_name))


def test_callbacks_come_in_order(make):
    recorder = Recorder(stop_at=3)
    trainer = make(callbacks=[recorder], gradient_accumulation_steps=4, eval_strategy="no")
    trainer.train()
    step = ["step_begin", *["substep_end"] * 3, "pre_optimizer_step", "optimizer_step", "step_end"]
    last = ["step_begin", *["substep_end"] * 2, "pre_optimizer_step", "optimizer_step", "step_end"]  # 7 batches an epoch
    epoch = ["epoch_begin", *step, *last, "epoch_end"]
    assert recorder.events == ["train_begin", *epoch, "epoch_begin", *step, "epoch_end", "train_end"]
    assert trainer.state.global_step == 3


class Watching(ftc.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        pass


@pytest.mark.parametrize("callback, each_step", [(Watching(), True), (ftc.EarlyStoppingCallback(99), False), (None, False)])
def test_syncs_for_those_who_look(make, callback, each_step):
    """Rows of the embeddings that no batch has had are brought up to date where a callback may look at them, since it costs."""
    trainer = make(metric_for_best_model="loss", weight_decay=0.1, callbacks=[callback] if callback else [])
    synced, sync = [], trainer.sync
    trainer.sync = lambda: (synced.append(trainer.state.global_step), sync())
    trainer.train()
    assert (set(synced) >= set(range(1, 22))) == each_step and {7, 14, 21} <= set(synced)


def test_stops_early(make):
    stopping = ftc.EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=10)
    trainer = make(callbacks=[stopping], metric_for_best_model="loss", num_train_epochs=9)
    trainer.train()
    assert trainer.state.global_step == 14


def test_errors_of_callbacks_come_out(make):
    class Failing(ftc.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 4:
                raise ZeroDivisionError("mine")

    trainer = make(callbacks=[Failing()])
    with pytest.raises(ZeroDivisionError, match="mine"):
        trainer.train()
    assert trainer.state.global_step == 4
    trainer.pop_callback(Failing)
    assert trainer.train().global_step == 21

    def fails(prediction):
        raise KeyError("mine")

    trainer.compute_metrics = fails
    with pytest.raises(KeyError, match="mine"):
        trainer.train()


def test_ctrl_c_ends_a_training(make):
    class Interrupting(ftc.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()

    trainer = make(num_train_epochs=3000, eval_strategy="no", logging_strategy="no", callbacks=[Interrupting()])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.state.global_step > 0 and np.isfinite(trainer.evaluate()["eval_loss"])


class Stream:
    """A data set with an order and no length."""

    def __iter__(self):
        return iter(make_rows(1000, 1))


def test_a_data_set_without_length(make):
    trainer = make(train=Stream(), max_steps=5, eval_strategy="no")
    rows = make(n=40, max_steps=5, eval_strategy="no", train_sampling_strategy="sequential", train=make_rows(1000, 1)[:40])
    trainer.train(), rows.train()
    assert losses(trainer) == losses(rows)
    with pytest.raises(ValueError, match="max_steps"):
        make(train=Stream()).train()


def test_no_whole_batch_to_evaluate(make):
    trainer = make(test=make_rows(3, 2), per_device_eval_batch_size=4, dataloader_drop_last=True)
    with pytest.warns(UserWarning, match="leaves none of the 3 rows, in batches of 4"):
        metrics = trainer.evaluate()
    assert "eval_loss" not in metrics and "eval_accuracy" not in metrics


def test_several_data_sets_to_evaluate(make):
    metrics = make(test={"a": make_rows(8, 3), "b": make_rows(8, 4)}).evaluate()
    assert {"eval_a_loss", "eval_b_loss", "eval_a_accuracy"} <= set(metrics)


def test_tells_that_processes_train_apart(make, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.warns(UserWarning, match="OMPI_COMM_WORLD_SIZE is 2, but it trains in this process alone"):
        make()


def test_refuses_at_construction(make, tiny):
    class Own(ftc.Trainer):
        def compute_loss(self, model, inputs):
            return 0

    with pytest.raises(NotImplementedError, match="Own.compute_loss.*compiled step"):
        make(kind=Own)
    with pytest.raises(NotImplementedError, match="data_collator Own"):
        ftc.Trainer(tiny, data_collator=make_own())
    with pytest.raises(NotImplementedError, match="optimizers"):
        ftc.Trainer(tiny, optimizers=(object(), None))
    with pytest.raises(NotImplementedError, match="optim='lion'"):
        make(optim="lion")
    with pytest.raises(TypeError, match="int"):
        ftc.Trainer(5)
    with pytest.raises(ftc.InputError, match="config.json"):
        ftc.Trainer("nowhere")
    with pytest.raises(ValueError, match="no eval_dataset"):
        ftc.Trainer(tiny, ftc.TrainingArguments(eval_strategy="epoch"), train_dataset=make_rows(8, 1))
    with pytest.raises(TypeError):
        ftc.TrainingArguments(learning_rat=1)


def make_own():
    class Own:
        pass

    return Own()


BAD_ROWS = [
    ([], ftc.InputError, "empty"),
    ([{"input_ids": [1, 2], "label": 5}], ftc.InputError, "example 0: label is 5: expected 0 to 4"),
    ([{"input_ids": [1, 2], "label": 5}], ftc.InputError, "num_labels"),
    ([{"input_ids": [1, 2], "label": -1}], ftc.InputError, "label is -1.*where it says that there is no label, remove"),
    ([{"input_ids": [1, 2], "label": float("nan")}], ftc.InputError, "example 0: label is nan.*remove the row"),
    ([{"input_ids": [1, 2], "label": "good"}], ftc.InputError, "label is 'good': expected 0 to 4; number the names"),
    ([{"input_ids": [1, 2], "label": None}, {"input_ids": [1], "label": 0}], ftc.InputError, "example 1 has a label.*fill it in"),
    ([{"text": "a", "label": 0}, {"review": "a", "label": 0}], ftc.InputError, "example 1 has texts in review, .* in text"),
    ([{"text": "a", "label": 0}, {"label": 0, "text": "a", "pair": "b"}], ftc.InputError, "example 1 has texts in text, pair"),
    ([{"a": "a", "b": "b", "c": "c", "label": 0}], ftc.InputError, "has the texts a, b, c"),
    ([{"input_ids": [1, 300], "label": 0}], ftc.InputError, "300"),
    ([{"input_ids": [1, 1 << 40], "label": 0}], ftc.InputError, "int32"),
    ([{"input_ids": [[1, 2]], "label": 0}], TypeError, "2 axes"),
    ([{"input_ids": "text", "label": 0}], TypeError, "0 axes"),
    ([{"input_ids": [1.5], "label": 0}], TypeError, "float64"),
    ([{"input_ids": [1, 2], "attention_mask": [1], "label": 0}], ftc.InputError, "attention_mask"),
    ([{"input_ids": [1, 2], "attention_mask": [0, 0], "label": 0}], ftc.InputError, "no tokens"),
    ([{"input_ids": [1] * 97, "label": 0}], ftc.InputError, "97"),
    ([{"input_ids": [1], "label": 0}, {"input_ids": [1]}], ftc.InputError, "example 1 has no label"),
    ([{"label": 0}], ftc.InputError, "neither input_ids nor a text"),
    ([[1, 2]], TypeError, "expected a dict"),
]


@pytest.mark.parametrize("rows, kind, message", BAD_ROWS)
def test_refuses_rows(make, rows, kind, message):
    with pytest.raises(kind, match=message):
        make(train=rows, eval_strategy="no", test=[]).train()


def test_a_missing_second_text_is_empty(make):
    trainer = make(eval_strategy="no")
    rows = [{"text": "The soup", "text_pair": "was good"}, {"text_pair": None, "text": "The soup"}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = trainer.predict(rows).predictions
    tokenizer = ftc.Tokenizer(trainer.model)
    tokens = [dict(zip(("input_ids", "token_type_ids"), tokenizer(*pair))) for pair in (("The soup", "was good"), ("The soup", ""))]
    assert np.array_equal(scores, trainer.predict(tokens).predictions)


def test_tells_what_may_be_no_text(make):
    with pytest.warns(UserWarning, match="test_dataset: id and text are taken as a pair of texts; if id is none, leave it out"):
        make(eval_strategy="no").predict([{"id": f"r{i}", "text": "The soup"} for i in range(3)])
    for pair in (("premise", "hypothesis"), ("question", "sentence"), ("sentence1", "sentence2"), ("a", "b")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make(eval_strategy="no").predict([{name: "The soup" for name in pair}])


# --- beside transformers -----------------------------------------------------------------------------------


def tutorial(hf, kind, tiny, output, **arguments):
    """The tutorial's code; `kind` is the one import that differs."""
    import torch

    model = hf.AutoModelForSequenceClassification.from_pretrained(
        tiny, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    arguments = {"learning_rate": 1e-3, "eval_strategy": "epoch", "save_strategy": "epoch"} | arguments
    args = hf.TrainingArguments(
        str(output), logging_steps=1, use_cpu=True, report_to="none", disable_tqdm=True, **arguments
    )

    def collate(rows):
        n = max(len(row["input_ids"]) for row in rows)
        padded = {key: torch.tensor([row[key] + [0] * (n - len(row[key])) for row in rows]) for key in ("input_ids", "attention_mask")}
        return {**padded, "labels": torch.tensor([row["label"] for row in rows])}

    trainer = kind(
        model=model,
        args=args,
        train_dataset=make_rows(50, 1),
        eval_dataset=make_rows(20, 2),
        compute_metrics=accuracy,
        **({} if kind is ftc.Trainer else {"data_collator": collate}),
    )
    trainer.train()
    return trainer


RUNS = [
    {},
    {"train_sampling_strategy": "group_by_length", "data_seed": 7, "eval_strategy": "no"},
    {"train_sampling_strategy": "sequential"},
    {"train_sampling_strategy": "sequential", "gradient_accumulation_steps": 7, "weight_decay": 0.1, "warmup_steps": 2},
    {"train_sampling_strategy": "sequential", "lr_scheduler_type": "cosine", "max_grad_norm": 0.0, "max_steps": 9},
    {"train_sampling_strategy": "sequential", "label_smoothing_factor": 0.1, "dataloader_drop_last": True},
    {"lr_scheduler_type": "cosine_with_min_lr", "warmup_steps": 3, "lr_scheduler_kwargs": {"min_lr": 2e-4, "num_cycles": 0.7}},
    {
        "lr_scheduler_type": "warmup_stable_decay",
        "warmup_steps": 5,
        "lr_scheduler_kwargs": {"num_decay_steps": 9, "warmup_type": "cosine", "decay_type": "1-sqrt", "min_lr_ratio": 0.1},
    },
    {
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"factor": 0.5, "patience": 1, "threshold": 0.05, "cooldown": 1, "min_lr": 2e-4},
        "eval_strategy": "steps",
        "eval_steps": 2,
    },
]


def test_several_labels_as_transformers(hf, tiny, tmp_path):
    def train(kind, folder):
        model = hf.AutoModelForSequenceClassification.from_pretrained(
            tiny, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, problem_type="multi_label_classification"
        )
        args = hf.TrainingArguments(
            str(folder), logging_steps=1, use_cpu=True, report_to="none", disable_tqdm=True, eval_strategy="epoch",
            save_strategy="no", learning_rate=1e-3, per_device_train_batch_size=1, per_device_eval_batch_size=1, max_steps=12,
        )  # fmt: skip
        trainer = kind(model=model, args=args, train_dataset=make_several(30, 1), eval_dataset=make_several(9, 2))
        trainer.train()
        return trainer

    assert_same_logs(train(ftc.Trainer, tmp_path / "ours"), train(hf.Trainer, tmp_path / "theirs"))


@pytest.mark.parametrize("arguments", RUNS)
def test_equals_transformers(hf, tiny, tmp_path, arguments):
    theirs = tutorial(hf, hf.Trainer, tiny, tmp_path / "theirs", **arguments)
    ours = tutorial(hf, ftc.Trainer, tiny, tmp_path / "ours", **arguments)
    assert isinstance(ours.state, hf.TrainerState)
    assert_same_logs(ours, theirs, arguments.get("gradient_accumulation_steps", 1))
    if arguments.get("lr_scheduler_type") == "reduce_lr_on_plateau":  # otherwise it shows nothing
        assert len({line["learning_rate"] for line in ours.state.log_history if "learning_rate" in line}) > 1
    for (name, mine), right in zip(ours.model.named_parameters(), theirs.model.parameters()):
        if "key.bias" not in name:  # whose gradient is zero but for rounding, which Adam makes large
            assert np.allclose(mine.detach().numpy(), right.detach().numpy(), atol=5e-4), name
    rows = make_rows(20, 3)
    mine = ours.predict(rows)
    assert isinstance(mine, hf.trainer_utils.PredictionOutput) and mine.metrics["test_accuracy"] >= 0
    # The saved files.
    saved = sorted(os.listdir(tmp_path / "theirs"))
    assert sorted(os.listdir(tmp_path / "ours")) == saved
    last = saved[-1]
    assert set(os.listdir(tmp_path / "ours" / last)) >= {"config.json", "model.safetensors", "trainer_state.json"}
    again = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours" / last)
    assert again.config.to_dict()["id2label"] == theirs.model.config.to_dict()["id2label"]


def test_accumulation_clips_the_mean(hf, tiny, tmp_path):
    """transformers clips the sum over micro-batches: the same steps with the bound divided by their number."""

    def evaluations(kind, bound):
        shape = {"gradient_accumulation_steps": 3, "per_device_train_batch_size": 4, "train_sampling_strategy": "sequential"}
        trainer = tutorial(hf, kind, tiny, tmp_path / f"{kind.__module__}-{bound}", max_grad_norm=bound, save_strategy="no", **shape)
        return [line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line]

    theirs = evaluations(hf.Trainer, 5.0)
    assert evaluations(ftc.Trainer, 5.0 / 3) == pytest.approx(theirs, rel=1e-4)
    assert evaluations(ftc.Trainer, 5.0) != pytest.approx(theirs, rel=1e-3)  # otherwise it shows nothing


def test_weights_are_views(hf, tiny, tmp_path):
    """Of a PreTrainedModel: what PyTorch writes the compiled step reads, and what that writes PyTorch sees."""
    import torch

    trainer = tutorial(hf, ftc.Trainer, tiny, tmp_path, train_sampling_strategy="sequential", save_strategy="no", weight_decay=0.5)
    rows = make_rows(6, 5)
    scores = trainer.predict(rows).predictions
    for row, right in zip(rows, scores):
        with torch.no_grad():
            got = trainer.model.eval()(torch.tensor([row["input_ids"]])).logits[0].numpy()
        assert np.allclose(got, right, atol=1e-4)
    with torch.no_grad():
        trainer.model.classifier.bias += 1
    assert np.allclose(trainer.predict(rows).predictions, scores + 1, atol=1e-4)


def test_callbacks_of_transformers(hf, tiny, tmp_path):
    class Watching(hf.TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            self.norm = float(model.classifier.weight.detach().norm())
            control.should_training_stop = state.global_step == 5

    model = hf.AutoModelForSequenceClassification.from_pretrained(tiny)
    args = hf.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no")
    watching = Watching()
    trainer = ftc.Trainer(model=model, args=args, train_dataset=make_rows(50, 1), callbacks=[watching])
    trainer.add_callback(hf.PrinterCallback)
    trainer.train()
    assert trainer.state.global_step == 5 and watching.norm == float(model.classifier.weight.detach().norm())


def test_writes_the_card_of_transformers(hf, tiny, tmp_path):
    cards = []
    for kind in (ftc.Trainer, hf.Trainer):
        trainer = tutorial(hf, kind, tiny, tmp_path / kind.__module__, max_steps=7)
        trainer.create_model_card(model_name="reviews", language="en", dataset="reviews", tags="soup")
        cards.append((tmp_path / kind.__module__ / "README.md").read_text())
    assert "\n# reviews\n" in cards[0] and "Accuracy: " in cards[0]
    words = [re.sub(r"[-:|]{3,}|\d+\.\d+|  +", "", card) for card in cards]  # numbers are compared by the runs
    assert words[0] == words[1]


def test_the_card_of_a_directory(hf, make, tiny, tmp_path):
    args = hf.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True)
    ftc.Trainer(model=tiny, args=args, train_dataset=make_rows(8, 1)).create_model_card(model_name="reviews")
    assert "\n# reviews\n" in (tmp_path / "README.md").read_text()
    with pytest.raises(NotImplementedError, match="create_model_card: it takes the TrainingArguments of transformers"):
        make().create_model_card()


def test_refuses_other_models(hf, tiny, tmp_path):
    model = hf.AutoModel.from_pretrained(tiny)
    with pytest.raises(NotImplementedError, match="BertModel.*ForSequenceClassification"):
        ftc.Trainer(model=model)

    class Own(hf.BertForSequenceClassification):
        pass

    Own.__name__ = "OwnForSequenceClassification"
    with pytest.raises(NotImplementedError, match="of one's own"):
        ftc.Trainer(model=Own.from_pretrained(tiny))
    model = hf.BertForSequenceClassification.from_pretrained(tiny)
    args = hf.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", optim="adafactor")
    with pytest.raises(NotImplementedError, match="optim='adafactor'"):
        ftc.Trainer(model=model, args=args)
    with pytest.warns(UserWarning, match="bfloat16 are converted"):
        ftc.Trainer(model=model.to(dtype=__import__("torch").bfloat16))


UNUSUAL = {
    "eval_do_concat_batches": False,
    "include_num_input_tokens_seen": "all",
    "skip_memory_metrics": False,
    "debug": "underflow_overflow",
    "label_names": ["target"],
    "length_column_name": "n",
    "batch_eval_metrics": True,
    "ignore_data_skip": True,
    "neftune_noise_alpha": 5.0,
    "accelerator_config": {"use_seedable_sampler": False},
}


def test_ignores_no_argument(hf, tiny, tmp_path):
    """Every field of transformers' TrainingArguments is honoured, known to change nothing, or refused by name."""
    import dataclasses

    theirs = {field.name: field for field in dataclasses.fields(hf.TrainingArguments) if field.init}
    ours = {field.name: field.default for field in dataclasses.fields(ftc.TrainingArguments)}
    assert theirs.keys() - ours.keys() == set()
    for name, default in ours.items():  # a value here is theirs
        if default is not None and name in theirs and name not in ("output_dir", "optim"):  # adamw_torch and its fused form are one
            assert theirs[name].default in (default, None), name
    for name, value in UNUSUAL.items():
        args = hf.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", **{name: value})
        with pytest.raises(NotImplementedError, match=name):
            ftc.Trainer(tiny, args)

    @dataclasses.dataclass
    class Later(hf.TrainingArguments):
        of_tomorrow: int = 0

    Later.__module__ = hf.TrainingArguments.__module__
    ftc.Trainer(tiny, Later(str(tmp_path), use_cpu=True, report_to="none"))
    with pytest.raises(NotImplementedError, match="of_tomorrow=1: it is not known here"):
        ftc.Trainer(tiny, Later(str(tmp_path), use_cpu=True, report_to="none", of_tomorrow=1))


def test_frozen_parameters(hf, tiny, tmp_path):
    model = hf.BertForSequenceClassification.from_pretrained(tiny)
    for parameter in model.bert.parameters():
        parameter.requires_grad = False
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    args = hf.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no", max_steps=3)
    ftc.Trainer(model=model, args=args, train_dataset=make_rows(50, 1)).train()
    for name, parameter in model.named_parameters():
        assert bool((parameter == before[name]).all()) == name.startswith("bert."), name
