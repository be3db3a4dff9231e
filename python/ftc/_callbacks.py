"""The names of transformers.trainer_callback and trainer_utils that the Trainer uses, for those who do not have it."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from typing import Any, NamedTuple

import numpy as np


class EvalPrediction:
    """What compute_metrics gets: `predictions` and `label_ids`. Unpacks into these two."""

    def __init__(self, predictions: np.ndarray, label_ids: np.ndarray, inputs: Any = None, losses: Any = None) -> None:
        self.predictions, self.label_ids, self.inputs, self.losses = predictions, label_ids, inputs, losses

    def __iter__(self) -> Any:
        return iter((self.predictions, self.label_ids))

    def __getitem__(self, i: int) -> Any:
        return (self.predictions, self.label_ids)[i]


class PredictionOutput(NamedTuple):
    predictions: np.ndarray
    label_ids: np.ndarray | None
    metrics: dict[str, float] | None


class TrainOutput(NamedTuple):
    global_step: int
    training_loss: float
    metrics: dict[str, float]


@dataclasses.dataclass
class TrainerState:
    epoch: float = 0
    global_step: int = 0
    max_steps: int = 0
    logging_steps: int = 500
    eval_steps: int = 500
    save_steps: int = 500
    train_batch_size: int | None = None
    num_train_epochs: int = 0
    num_input_tokens_seen: int = 0
    total_flos: float = 0
    log_history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False
    trial_name: str | None = None
    trial_params: dict[str, Any] | None = None
    stateful_callbacks: Any = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.stateful_callbacks, list):
            self.stateful_callbacks = {type(cb).__name__: cb.state() for cb in self.stateful_callbacks}

    def compute_steps(self, args: Any, max_steps: int) -> None:
        for kind in ("logging", "eval", "save"):
            steps = getattr(args, f"{kind}_steps")
            if steps is not None:
                setattr(self, f"{kind}_steps", math.ceil(max_steps * steps) if steps < 1 else int(steps))

    def save_to_json(self, path: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file, indent=2, sort_keys=True)
            file.write("\n")

    @classmethod
    def load_from_json(cls, path: str) -> TrainerState:
        with open(path, encoding="utf-8") as file:
            return cls(**json.load(file))


class ExportableState:
    """A callback whose state checkpoints keep."""

    def state(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclasses.dataclass
class TrainerControl:
    """What callbacks set to say what is due."""

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False


_EVENTS = (
    "init_end train_begin train_end epoch_begin epoch_end step_begin pre_optimizer_step optimizer_step substep_end "
    "step_end evaluate predict save log prediction_step"
).split()


class TrainerCallback:
    """Its methods are called as transformers' are: on_train_begin(args, state, control, **kwargs), on_step_end, on_log, …"""


def _nothing(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
    return None


for _event in _EVENTS:
    setattr(TrainerCallback, f"on_{_event}", _nothing)


class CallbackHandler:
    def __init__(self, callbacks: list, model: Any, processing_class: Any, optimizer: Any, lr_scheduler: Any) -> None:
        self.callbacks: list = []
        self.model, self.processing_class = model, processing_class
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.train_dataloader = self.eval_dataloader = None
        for callback in callbacks:
            self.add_callback(callback)

    def add_callback(self, callback: Any) -> None:
        self.callbacks.append(callback() if isinstance(callback, type) else callback)

    def pop_callback(self, callback: Any) -> Any:
        for one in self.callbacks:
            if one is callback or (isinstance(callback, type) and isinstance(one, callback)):
                self.callbacks.remove(one)
                return one
        return None

    def remove_callback(self, callback: Any) -> None:
        self.pop_callback(callback)

    def call_event(self, event: str, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        for callback in self.callbacks:
            result = getattr(callback, event)(
                args,
                state,
                control,
                model=self.model,
                processing_class=self.processing_class,
                optimizer=self.optimizer,
                lr_scheduler=self.lr_scheduler,
                train_dataloader=self.train_dataloader,
                eval_dataloader=self.eval_dataloader,
                **kwargs,
            )
            control = control if result is None else result
        return control

    def __getattr__(self, event: str) -> Any:
        if not event.startswith("on_"):
            raise AttributeError(event)

        def call(args: Any, state: Any, control: Any, *metrics: Any) -> Any:
            _reset(event, control)
            named = {"logs" if event == "on_log" else "metrics": metrics[0]} if metrics else {}
            return self.call_event(event, args, state, control, **named)

        return call


def _reset(event: str, control: TrainerControl) -> None:
    cleared = {
        "on_train_begin": ("should_training_stop",),
        "on_epoch_begin": ("should_epoch_stop",),
        "on_step_begin": ("should_save", "should_evaluate", "should_log"),
        "on_evaluate": ("should_evaluate",),
        "on_save": ("should_save",),
        "on_log": ("should_log",),
    }
    for name in cleared.get(event, ()):
        setattr(control, name, False)


class DefaultFlowCallback(TrainerCallback):
    """Says when to log, evaluate and save, by the arguments."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        step, last = state.global_step, state.global_step >= state.max_steps
        if (step == 1 and args.logging_first_step) or (args.logging_strategy == "steps" and step % state.logging_steps == 0):
            control.should_log = True
        if args.eval_strategy == "steps" and args.eval_delay <= step and (step % state.eval_steps == 0 or last):
            control.should_evaluate = True
        if args.save_strategy == "steps" and (step % state.save_steps == 0 or last):
            control.should_save = True
        control.should_training_stop = control.should_training_stop or last
        return control

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        if args.logging_strategy == "epoch":
            control.should_log = True
        if args.eval_strategy == "epoch" and args.eval_delay <= state.epoch:
            control.should_evaluate = True
        if args.save_strategy == "epoch":
            control.should_save = True
        return control


class PrinterCallback(TrainerCallback):
    """Prints what is logged."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        print({**logs})


class ProgressCallback(PrinterCallback):
    """A line on standard error that tells the step, and what is logged."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if sys.stderr.isatty():
            print(f"\r{state.global_step}/{state.max_steps}", end="", file=sys.stderr, flush=True)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)


class EarlyStoppingCallback(TrainerCallback, ExportableState):
    """Ends the training after `early_stopping_patience` evaluations without a gain of metric_for_best_model."""

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0) -> None:
        self.patience, self.threshold, self.stale = early_stopping_patience, early_stopping_threshold, 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if args.metric_for_best_model is None or args.eval_strategy == "no":
            raise ValueError("EarlyStoppingCallback needs metric_for_best_model and an eval_strategy")

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        value = metrics.get(f"eval_{args.metric_for_best_model.removeprefix('eval_')}")
        if value is None:
            return
        best, sign = state.best_metric, 1 if args.greater_is_better else -1
        gains = best is None or (sign * (value - best) > 0 and abs(value - best) > self.threshold)
        self.stale = 0 if gains else self.stale + 1
        control.should_training_stop = control.should_training_stop or self.stale >= self.patience

    def state(self) -> dict[str, Any]:
        return {
            "args": {"early_stopping_patience": self.patience, "early_stopping_threshold": self.threshold},
            "attributes": {"stale": self.stale},
        }
