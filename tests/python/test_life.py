"""What happens around a Trainer's calls: data, arguments and models that change between them, callbacks that call it."""

import copy
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from trainers import LABELS, make_rows, quiet_arguments

import ftc


def predictions(trainer, rows):
    return trainer.predict(rows).predictions


def test_rows_are_read_again(make):
    """Only a training keeps what it has read."""
    trainer, rows = make(), make_rows(5, 3)
    before = predictions(trainer, rows)
    rows[2] = {"input_ids": [7, 8, 9], "label": 1}
    after = predictions(trainer, rows)
    assert np.array_equal(after, predictions(trainer, list(rows))) and not np.array_equal(after[2], before[2])
    assert np.array_equal(after[:2], before[:2]) and trainer._packed is None


def test_arguments_may_change(make):
    """What the step was compiled for before does not bind a later call."""
    trainer, rows = make(eval_strategy="no"), make_rows(40, 3)
    trainer.train()
    scores = predictions(trainer, rows)
    trainer.args.per_device_eval_batch_size = 33
    assert np.allclose(predictions(trainer, rows), scores, atol=1e-5)
    trainer.args.bf16 = True
    assert 1e-5 < np.abs(predictions(trainer, rows) - scores).max() < 0.1
    trainer.args.bf16, trainer.args.max_grad_norm, trainer.args.per_device_train_batch_size = False, 0, 25
    trainer.train()
    assert trainer.state.global_step == 6 and "grad_norm" not in trainer.state.log_history[-2]
    trainer.args.optim = "sgd"
    trainer.train()
    assert all(name.endswith(".momentum_buffer") for name in trainer.net.moments)


def test_trains_after_evaluating(make):
    trainer = make(eval_strategy="no")
    trainer.evaluate()
    net = trainer.net
    trainer.train()
    assert trainer.net is net  # one compilation, since the lengths were enough
    alone = make(eval_strategy="no", test=[])
    alone.eval_dataset = None
    alone.train()
    assert set(alone.net.calls) == {"grad", "update"}
    assert np.array_equal(predictions(trainer, make_rows(9, 3)), predictions(alone, make_rows(9, 3)))


class Predicting(ftc.TrainerCallback):
    """Predicts in the middle of a training, of longer texts than it has."""

    def __init__(self):
        self.trainer, self.scores = None, []

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in (2, 9):
            self.scores.append(predictions(self.trainer, [{"input_ids": [7] * 60}]))


def test_a_callback_predicts_of_longer_texts(make):
    callback = Predicting()
    looked, plain = make(callbacks=[callback], weight_decay=0.1), make(weight_decay=0.1)
    callback.trainer = looked
    looked.train(), plain.train()
    for name in plain.net.parameters:
        assert np.array_equal(plain.net.parameters[name], looked.net.parameters[name]), name
    at_two, at_nine = callback.scores
    assert not np.allclose(at_two, at_nine)
    stopped = make(weight_decay=0.1, callbacks=[Stopping(9)])
    stopped.train()
    assert np.allclose(predictions(stopped, [{"input_ids": [7] * 60}]), at_nine, atol=1e-5)


class Stopping(ftc.TrainerCallback):
    def __init__(self, at):
        self.at = at

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.at


def test_one_of_several_data_sets_by_name(make):
    trainer = make(test={"a": make_rows(8, 3), "b": make_rows(8, 4)})
    assert trainer.evaluate("b", metric_key_prefix="eval_b")["eval_b_loss"] == trainer.evaluate()["eval_b_loss"]
    with pytest.raises(ValueError, match="eval_dataset has no 'c'"):
        trainer.evaluate("c")


def test_metrics_of_any_kind(make):
    trainer = make()
    found = {"f1": np.float32(0.5), "each": np.arange(3.0), "nested": {"n": np.int64(3)}, "list": [np.float64(1)]}
    trainer.compute_metrics = lambda prediction: dict(found)
    metrics = trainer.evaluate()
    assert type(metrics["eval_f1"]) is float and metrics["eval_nested"] == {"n": 3} and metrics["eval_list"] == [1.0]
    assert np.array_equal(metrics["eval_each"], np.arange(3.0))


def test_resumes_where_the_best_is_gone(make):
    arguments = {
        "metric_for_best_model": "loss",
        "greater_is_better": True,
        "load_best_model_at_end": True,
        "max_steps": 12,
    }
    trainer = make(save_strategy="epoch", **arguments)
    trainer.train()
    out = trainer.args.output_dir
    last = f"{out}/checkpoint-12"
    state = json.loads(open(f"{last}/trainer_state.json").read())
    assert state["best_model_checkpoint"].endswith("checkpoint-7")
    shutil.rmtree(f"{out}/checkpoint-7")
    resumed = make(save_strategy="epoch", **arguments | {"max_steps": 14})
    with pytest.warns(UserWarning, match="checkpoint-7, is not there any more"):
        resumed.train(resume_from_checkpoint=last)
    assert resumed.state.global_step == 14


def test_a_stream_that_ends(make):
    class Stream:
        def __iter__(self):
            return iter(make_rows(20, 1))

    with pytest.raises(ftc.InputError, match="ends after 20 examples, and max_steps takes 40"):
        make(train=Stream(), max_steps=5, eval_strategy="no").train()
    assert make(train=Stream(), max_steps=2, eval_strategy="no").train().global_step == 2


def test_copies(make, tiny, models):
    """Nothing is freed twice."""
    tokenizer, net, trainer = ftc.Tokenizer(tiny), ftc.compile(models / "mlp.ir", threads=1), make()
    wanted = tokenizer("The soup")[0]
    for copies in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        assert np.array_equal(copies(tokenizer)("The soup")[0], wanted)
    for one in (net._handles, trainer):
        for copies in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="neither copied nor pickled"):
                copies(one)
    for copies in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a net is neither copied nor pickled"):
            copies(net)
    other, loss = copy.copy(net), net.eval(ids=[[1, 2]], label=[0]).loss
    del net
    assert other.eval(ids=[[1, 2]], label=[0]).loss == loss


def test_ignored_keys(make):
    trainer = make()
    assert trainer.predict(make_rows(3, 3), ignore_keys=["hidden_states"]).predictions.shape == (3, LABELS)
    with pytest.raises(NotImplementedError, match="ignore_keys with 'logits'"):
        trainer.evaluate(ignore_keys=["logits"])


def test_model_init_of_directories(make, tiny):
    made = []

    def model_init(trial):
        made.append(trial)
        return str(tiny)

    args = ftc.TrainingArguments(str(make().args.output_dir), max_steps=3, disable_tqdm=True, save_strategy="no")
    trainer = ftc.Trainer(model_init=model_init, args=args, train_dataset=make_rows(50, 1))
    losses = [trainer.train().training_loss for _ in range(2)]
    assert losses[0] == losses[1] and made == [None] * 3  # each training begins anew
    with pytest.raises(TypeError, match="takes 2 arguments"):
        ftc.Trainer(model_init=lambda a, b: tiny, args=args)


# --- beside transformers -----------------------------------------------------------------------------------


def bert(hf, tiny, **options):
    return hf.BertForSequenceClassification.from_pretrained(
        tiny, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **options
    )


def test_two_trainers_of_one_model(hf, tiny, tmp_path):
    """The model has the weights, whoever trains it."""
    model = bert(hf, tiny)
    args = quiet_arguments(hf, tmp_path, eval_strategy="no", max_steps=3)
    first, second = (ftc.Trainer(model=model, args=args, train_dataset=make_rows(50, seed)) for seed in (1, 2))
    rows = make_rows(9, 3)
    first.train()
    trained = predictions(first, rows)
    assert np.array_equal(predictions(second, rows), trained)
    second.train()
    scores = predictions(second, rows)
    assert np.array_equal(predictions(first, rows), scores) and not np.allclose(scores, trained)
    model.classifier.weight.data = model.classifier.weight.data * 2
    assert not np.allclose(predictions(first, rows), scores)


def test_unfreezes_between_trainings(hf, tiny, tmp_path):
    model = bert(hf, tiny)
    for parameter in model.bert.parameters():
        parameter.requires_grad = False
    args = quiet_arguments(hf, tmp_path, eval_strategy="no", max_steps=2)
    trainer = ftc.Trainer(model=model, args=args, train_dataset=make_rows(50, 1))
    query = model.bert.encoder.layer[0].attention.self.query.weight
    before = query.detach().clone()
    trainer.train()
    assert bool((query == before).all())
    for parameter in model.bert.parameters():
        parameter.requires_grad = True
    trainer.train()
    assert not bool((query == before).all())


def test_model_init_as_transformers(hf, tiny, tmp_path):
    def train(kind):
        def model_init():
            config = hf.BertConfig.from_pretrained(tiny, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
            return hf.BertForSequenceClassification(config)  # all of it is random

        args = quiet_arguments(hf, tmp_path, eval_strategy="no", max_steps=4)
        tokenizer = hf.BertTokenizerFast(vocab=str(tiny / "vocab.txt"))
        trainer = kind(model_init=model_init, args=args, train_dataset=make_rows(50, 1), processing_class=tokenizer)
        return [trainer.train().training_loss for _ in range(2)]

    ours, theirs = train(ftc.Trainer), train(hf.Trainer)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_calls_the_methods_of_subclasses(hf, tiny, tmp_path):
    """Those that transformers would call and ftc does not are refused, whatever they are called."""
    args = quiet_arguments(hf, tmp_path, eval_strategy="no", max_steps=1)

    def kind(**methods):
        return type("Own", (ftc.Trainer,), methods)

    for name in (
        "_get_train_sampler",
        "_save_checkpoint",
        "_prepare_inputs",
        "get_eval_dataloader",
        "floating_point_ops",
    ):
        assert hasattr(hf.Trainer, name)
        with pytest.raises(NotImplementedError, match=f"Own.{name}"):
            kind(**{name: lambda self: None})(tiny, args)
    told = []
    own = kind(
        log=lambda self, logs, start_time=None: told.append(logs), my_helper=lambda self: 5, __len__=lambda self: 3
    )
    own(tiny, args, train_dataset=make_rows(8, 1)).train()
    assert "train_loss" in told[-1]


def test_refuses_outputs_that_it_has_not(hf, tiny):
    with pytest.raises(NotImplementedError, match="output_hidden_states"):
        ftc.Trainer(model=bert(hf, tiny, output_hidden_states=True))
    with pytest.raises(NotImplementedError, match="ftc run --task pairs"):
        ftc.Trainer(model=hf.BertModel.from_pretrained(tiny))


class Telling:
    """Every event with what a callback gets."""

    def __init__(self):
        self.events = []

    def record(self, event, args, state, control, kwargs):
        names = {
            name for name, value in kwargs.items() if name not in ("optimizer", "lr_scheduler") and value is not None
        }
        logged = set(kwargs.get("logs") or kwargs.get("metrics") or ())
        self.events.append((event, state.global_step, round(state.epoch or 0, 6), frozenset(names), frozenset(logged)))


EVENTS = (
    "init_end train_begin train_end epoch_begin epoch_end step_begin pre_optimizer_step optimizer_step substep_end step_end "
    "evaluate predict save log prediction_step push_begin"
).split()


@pytest.mark.parametrize(
    "arguments",
    [
        {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True},
        {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 3, "save_total_limit": 1,
         "load_best_model_at_end": True, "gradient_accumulation_steps": 2, "eval_on_start": True},
        {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "best", "metric_for_best_model": "loss", "max_steps": 9,
         "logging_first_step": True, "logging_steps": 0.4},
    ],
)  # fmt: skip
def test_every_event_as_transformers(hf, tiny, tmp_path, arguments):
    assert {name for name in dir(hf.TrainerCallback) if name.startswith("on_")} == {f"on_{name}" for name in EVENTS}
    told = {}
    for kind in (ftc.Trainer, hf.Trainer):
        telling = Telling()
        methods = {
            f"on_{name}": lambda self, args, state, control, name=name, **kwargs: telling.record(
                name, args, state, control, kwargs
            )
            for name in EVENTS
        }
        args = quiet_arguments(hf, tmp_path / kind.__module__, **{"logging_steps": 1} | arguments)
        tokenizer = hf.BertTokenizerFast(vocab=str(tiny / "vocab.txt"))
        data = {"train_dataset": make_rows(50, 1), "eval_dataset": make_rows(20, 2), "processing_class": tokenizer}
        trainer = kind(
            model=bert(hf, tiny), args=args, callbacks=[type("Own", (hf.TrainerCallback,), methods)()], **data
        )
        trainer.train()
        trainer.predict(make_rows(20, 2))
        told[kind] = telling.events, sorted(os.listdir(args.output_dir)), trainer.state.best_metric
    ours, theirs = told.values()
    assert ours[0] == theirs[0] and ours[1] == theirs[1] and ours[2] == pytest.approx(theirs[2], rel=1e-4)
