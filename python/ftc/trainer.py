"""transformers.Trainer's interface over the compiled step."""

from __future__ import annotations

import ctypes
import dataclasses
import inspect
import json
import math
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import _callbacks, _hub, _library as c, _notebook
from ._data import LABELS, NO_LABEL, Examples, Loader, Masks, pack
from ._library import InputError, check, library
from ._rows import Rows
from ._weights import weights_of
from .net import Net, Tokenizer
from .training_args import TrainingArguments, refuse, refused_arguments

_OPTIMIZERS = {"adamw_torch": "adamw", "adamw_torch_fused": "adamw", "adamw_hf": "adamw", "sgd": "sgd"}
# What each takes as lr_scheduler_kwargs, with the field of ftc_loop_options.
_SCHEDULES = {
    "linear": {},
    "cosine": {"num_cycles": "cycles"},
    "cosine_with_restarts": {"num_cycles": "cycles"},
    "polynomial": {"lr_end": "end", "power": "power"},
    "constant": {},
    "constant_with_warmup": {},
    "inverse_sqrt": {"timescale": "timescale"},
    "cosine_with_min_lr": {"num_cycles": "cycles", "min_lr": "min_lr", "min_lr_rate": "min_share"},
    "warmup_stable_decay": {
        "num_decay_steps": "decay",
        "num_stable_steps": "stable",
        "warmup_type": "rise",
        "decay_type": "fall",
        "min_lr_ratio": "min_share",
        "num_cycles": "cycles",
    },
    "reduce_lr_on_plateau": {name: name for name in ("factor", "patience", "threshold", "cooldown", "min_lr")},
}
_COLLATORS = ("DataCollatorWithPadding", "DataCollatorForTokenClassification", "default_data_collator", "DefaultDataCollator")
# What a subclass may not replace, since the compiled step does it; nor what else transformers' Trainer has and this one has not.
_COMPILED = (
    "compute_loss training_step prediction_step create_optimizer create_scheduler create_optimizer_and_scheduler "
    "get_train_dataloader get_eval_dataloader get_test_dataloader evaluation_loop _inner_training_loop "
    "get_optimizer_cls_and_kwargs get_decay_parameter_names _prepare_inputs get_batch_samples"
).split()

# What else transformers' Trainer has, with what there is instead.
_ABSENT = {
    "hyperparameter_search": "make a Trainer for each set of arguments",
    **dict.fromkeys(_COMPILED, "the compiled step and its loop do this"),
}

# What is taken from transformers where the arguments are its own, else from _callbacks.
_CALLBACK_NAMES = ("TrainerCallback", "TrainerControl", "TrainerState", "CallbackHandler", "ExportableState")
# The methods of callbacks that each moment of the loop leads to, until the next one that leads to any.
_EVENTS = {
    "epoch_begin": ("on_epoch_begin",),
    "step_begin": ("on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step"),
    "step_end": ("on_step_end",),
}
_HANDLERS = {
    "epoch_begin": "on_epoch_begin",
    "step_begin": "on_step_begin",
    "substep_end": "on_substep_end",
    "pre_update": "on_pre_optimizer_step",
    "updated": "on_optimizer_step",
    "step_end": "on_step_end",
    "epoch_end": "on_epoch_end",
}


@dataclasses.dataclass(frozen=True)
class _Compiled:
    """What a net is compiled for: the most texts of a batch and tokens of a text, the calls, options of `ftc compile`."""

    batch: int
    length: int
    calls: frozenset[str]
    options: Mapping[str, Any]

    def covers(self, wanted: _Compiled) -> bool:
        large = self.batch >= wanted.batch and self.length >= wanted.length and self.calls >= wanted.calls
        return large and all(self.options.get(name) == value for name, value in wanted.options.items())

    def joined(self, other: _Compiled) -> _Compiled:
        """For both; where options differ, with those of this one."""
        options = {**other.options, **self.options}
        sizes = max(self.batch, other.batch), max(self.length, other.length)
        return _Compiled(*sizes, self.calls | other.calls, options)


class _Interrupts:
    """While C calls back, Ctrl-C waits for `raise_pending`: an exception at the very start of a callback would be lost."""

    def __init__(self) -> None:
        self._pending = False
        self._handler: Any = None

    def __enter__(self) -> _Interrupts:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and threading.current_thread() is threading.main_thread():
            self._handler = handler
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        self._pending = True

    def raise_pending(self) -> None:
        """Calls the handler that was there, if a signal has come: Python's raises KeyboardInterrupt."""
        if self._pending:
            self._pending = False
            self._handler(signal.SIGINT, None)

    def __exit__(self, *_: Any) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)


def _masks_of(collator: Any) -> Masks:
    """What a DataCollatorForLanguageModeling masks by."""
    for name in ("whole_word_mask", "tf"):
        if getattr(collator, name, False):
            refuse(f"data_collator with {name}=True", "each token is masked by itself")
    special = np.zeros(len(collator.tokenizer), np.uint8)
    special[[i for i in collator.tokenizer.all_special_ids if i < len(special)]] = 1
    replaced, random = getattr(collator, "mask_replace_prob", 0.8), getattr(collator, "random_replace_prob", 0.1)
    seed = getattr(collator, "seed", None) or 0
    return Masks(collator.mlm_probability, replaced, random, seed, collator.tokenizer.mask_token_id, special)


class Trainer:
    """Trains, evaluates and predicts as transformers.Trainer does, by the compiled step:

        from ftc import Trainer          # was: from transformers import Trainer

    model: a …ForSequenceClassification, …ForTokenClassification or …ForMaskedLM of transformers, one of these with LoRA of
        PEFT, or a Hugging Face directory. ftc owns the weights' memory, and each `param.data` is a view of it. They are up to
        date in every callback that one adds, after an evaluation, a save, an epoch and the training; `sync()` brings them up
        to date at any other time.
    args: transformers.TrainingArguments or ftc.TrainingArguments.
    train_dataset, eval_dataset: anything with rows by number (datasets.Dataset, a torch data set, a list), or with an order
        (IterableDataset, with max_steps). A row is a dict: input_ids, attention_mask (its zeros are dropped; nothing is
        padded), token_type_ids, label or labels (of tokens a list, -100 where one has none; of masked tokens what they were, or
        none with a DataCollatorForLanguageModeling, by which the runtime masks them anew in every step); or texts, which
        processing_class makes tokens of. eval_dataset may be a dict of several.
    compute_metrics: gets an EvalPrediction, gives a dict.
    callbacks: TrainerCallbacks, called where transformers calls them.

    What cannot be had is a NotImplementedError of the constructor that says what and why. The first train, evaluate or predict
    compiles, which takes a second or two.
    """

    def __init__(
        self,
        model: Any = None,
        args: Any = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Any = None,
        compute_loss_func: Any = None,
        compute_metrics: Any = None,
        callbacks: list | None = None,
        optimizers: tuple = (None, None),
        optimizer_cls_and_kwargs: Any = None,
        preprocess_logits_for_metrics: Any = None,
        tokenizer: Any = None,
    ) -> None:
        self.args = args if args is not None else TrainingArguments(output_dir="tmp_trainer")
        if (model is None) == (model_init is None):
            raise ValueError("ftc.Trainer needs a model or a model_init, and not both")
        self.model_init = model_init
        self._take_model(self._new_model() if model is None else model)
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self._name_classes()
        self.processing_class = processing_class if processing_class is not None else tokenizer
        self.data_collator = data_collator
        self.compute_metrics = compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self._masks: Masks | None = None
        self.optimizer = self.lr_scheduler = None
        self._names = self._transformers() or _callbacks
        self._check(data_collator, compute_loss_func, optimizers, optimizer_cls_and_kwargs)
        self._net: Net | None = None
        self._compiled: _Compiled | None = None
        self._packed: dict[int, tuple[Any, Examples]] | None = None  # while there is a training
        self._raised: BaseException | None = None
        self._has_trained = False
        self._make_callbacks(callbacks or [])
        os.makedirs(self.args.output_dir, exist_ok=True)
        self.control = self._names.TrainerControl()
        self.state = self._names.TrainerState(stateful_callbacks=self._stateful())
        self.is_in_train = False
        self.control = self.callback_handler.on_init_end(self.args, self.state, self.control)

    def _new_model(self) -> Any:
        """What model_init gives, by the seed, as in transformers."""
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(self.args.seed)
        np.random.seed(self.args.seed % (1 << 32))
        random.seed(self.args.seed)
        n = len(inspect.signature(self.model_init).parameters)
        if n > 1:
            raise TypeError(f"model_init takes {n} arguments: expected none, or one, which is None here")
        return self.model_init(*[None] * n)

    def _take_model(self, model: Any) -> None:
        self._weights: Any = weights_of(model)
        self.model = model

    # --- what can be had ---

    def _name_classes(self) -> None:
        """Takes the names of the classes over from rows that have them (read_rows)."""
        of_column = getattr(self.train_dataset, "class_names", {}) if isinstance(self.train_dataset, Rows) else {}
        column = next((name for name in LABELS if name in of_column), None)
        if column is None or self._weights.task == "mlm":
            return
        names, classes = of_column[column], self._weights.classes
        if len(names) != classes:
            raise InputError(f'train_dataset: "{column}" has {len(names)} classes ({", ".join(names)}), the model {classes}')
        self._weights.take_names(names)

    def _check(self, collator: Any, loss: Any, optimizers: tuple, optimizer_class: Any) -> None:
        args = self.args
        self._check_methods()
        if loss is not None:
            refuse("compute_loss_func", "the loss is part of the compiled step; change the model's text instead")
        if any(one is not None for one in optimizers) or optimizer_class is not None:
            refuse("optimizers", "the optimizer is part of the compiled step; choose one by args.optim")
        self._check_collator(collator)
        if self._weights.task == "mlm":
            for name in ("compute_metrics", "preprocess_logits_for_metrics"):
                if getattr(self, name) is not None:
                    refuse(name, "the scores of masked tokens are never there at once; eval_loss is what there is")
        self._check_arguments()
        if args.gradient_accumulation_steps > 1 and type(args).__module__.startswith("transformers."):
            warnings.warn(
                "ftc.Trainer: gradients are the mean over gradient_accumulation_steps, as they are documented; transformers 5 "
                "adds them up for this model, so that its losses and norms are so many times as large; max_grad_norm divided by "
                "their number clips where it does",
                stacklevel=3,
            )
        for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "WORLD_SIZE"):  # of mpirun, of torchrun
            if os.environ.get(name, "1") != "1":
                warnings.warn(
                    f"ftc.Trainer: {name} is {os.environ[name]}, but it trains in this process alone, and so does each of the "
                    "others; several train one model together by `mpirun -np N ftc run`",
                    stacklevel=3,
                )
        if getattr(args, "push_to_hub", False):
            warnings.warn("ftc.Trainer: push_to_hub: nothing is pushed while it trains; call push_to_hub() behind it", stacklevel=3)
        if args.eval_strategy != "no" and self.eval_dataset is None:
            strategy = getattr(args.eval_strategy, "value", args.eval_strategy)
            raise ValueError(f"eval_strategy is {strategy}, but there is no eval_dataset")

    def _check_methods(self) -> None:
        """Refuses methods of a subclass that transformers' Trainer would call and this one does not."""
        kinds = [kind for kind in type(self).__mro__ if kind not in (Trainer, object)]
        called = {name for name in vars(Trainer) if not name.startswith("_") or name.endswith("__")}
        theirs = {*_COMPILED, *dir(getattr(self._names, "Trainer", object))} - {*dir(object)}
        for name in dict.fromkeys(name for kind in kinds for name in vars(kind)):
            if name in theirs and name not in called:
                refuse(f"{type(self).__name__}.{name}", "the compiled step does this; change the model's text instead")

    def _check_collator(self, collator: Any) -> None:
        if collator is None:
            return
        kind = getattr(collator, "__name__", type(collator).__name__)
        if kind == "DataCollatorForLanguageModeling":
            if self._weights.task != "mlm" or not collator.mlm:
                refuse(f"data_collator {kind}", "it is for a …ForMaskedLM, with mlm=True")
            self._masks = _masks_of(collator)
            return
        if kind not in _COLLATORS:
            refuse(f"data_collator {kind}", "only padding is known not to change what is trained; tokenize beforehand")
        if getattr(collator, "label_pad_token_id", NO_LABEL) != NO_LABEL:
            refuse(f"data_collator with label_pad_token_id={collator.label_pad_token_id}", "nothing is padded here")

    def _check_arguments(self) -> None:
        """What args ask for; they may have been changed since."""
        args = self.args
        for what, why in refused_arguments(args):
            refuse(what, why)
        for name, choices in (
            ("optim", _OPTIMIZERS),
            ("train_sampling_strategy", ("random", "sequential", "group_by_length")),
        ):
            value = getattr(args, name, None)
            value = getattr(value, "value", value)
            if value is not None and value not in choices:
                refuse(f"{name}={value!r}", f"there are {', '.join(choices)}")
        self._schedule_options()
        if getattr(args, "optim_args", None):
            refuse(f"optim_args={args.optim_args!r}", "set adam_beta1, adam_beta2 and adam_epsilon")

    def _schedule_options(self) -> dict[str, Any]:
        """The schedule and lr_scheduler_kwargs as fields of ftc_loop_options; below 0, or no text: the schedule's own."""
        args = self.args
        schedule = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
        if schedule not in _SCHEDULES:
            refuse(f"lr_scheduler_type={schedule!r}", f"there are {', '.join(_SCHEDULES)}")
        numbers = "cycles power end timescale min_lr min_share decay stable factor threshold patience cooldown"
        options: dict[str, Any] = {f"schedule_{name}": -1 for name in numbers.split()}
        options["schedule"] = schedule.encode()
        fields = _SCHEDULES[schedule]
        for name, value in dict(getattr(args, "lr_scheduler_kwargs", None) or {}).items():
            if name not in fields:
                refuse(f"lr_scheduler_kwargs {name} of {schedule}", f"there are {', '.join(fields) or 'none'}")
            is_text = fields[name] in ("rise", "fall")
            if value is not None and isinstance(value, str) != is_text:  # ctypes takes numbers for addresses of texts
                kind = "text" if is_text else "number"
                raise TypeError(f"lr_scheduler_kwargs {name} is {value!r}: expected a {kind}")
            if value is not None:
                options[f"schedule_{fields[name]}"] = value.encode() if isinstance(value, str) else value
        if schedule == "reduce_lr_on_plateau" and args.eval_strategy == "no":
            raise ValueError("lr_scheduler_type reduce_lr_on_plateau goes by evaluations: set an eval_strategy")
        return options

    def _transformers(self) -> Any:
        """transformers' own classes where the arguments are theirs."""
        if not type(self.args).__module__.startswith("transformers."):
            return None
        from transformers import trainer as t
        from transformers import trainer_callback as events
        from transformers.integrations import get_reporting_integration_callbacks
        from transformers.trainer_utils import EvalPrediction, PredictionOutput, TrainOutput

        return SimpleNamespace(
            **{name: getattr(events, name) for name in _CALLBACK_NAMES},
            Trainer=t.Trainer,
            EvalPrediction=EvalPrediction,
            PredictionOutput=PredictionOutput,
            TrainOutput=TrainOutput,
            defaults=[*t.DEFAULT_CALLBACKS, *get_reporting_integration_callbacks(self.args.report_to)],
            progress=t.DEFAULT_PROGRESS_CALLBACK,
            printer=events.PrinterCallback,
        )

    def _make_callbacks(self, own: list) -> None:
        names = self._names
        quiet = getattr(self.args, "disable_tqdm", None)
        printer = getattr(names, "printer", _callbacks.PrinterCallback)
        own_progress = _notebook.NotebookProgressCallback if _notebook.is_at_hand() else _callbacks.ProgressCallback
        progress = getattr(names, "progress", own_progress)
        defaults = getattr(names, "defaults", [_callbacks.DefaultFlowCallback])
        self.callback_handler = names.CallbackHandler([*defaults, *own], self._weights.model, self.processing_class, None, None)
        self.callback_handler.add_callback(printer if quiet else progress)
        self._blind = (defaults[0], printer, progress)  # which do not look at weights

    def _stateful(self) -> list:
        kind = self._names.ExportableState
        return [one for one in [*self.callback_handler.callbacks, self.control] if isinstance(one, kind)]

    def add_callback(self, callback: Any) -> None:
        """Adds a TrainerCallback, an instance or a class."""
        self.callback_handler.add_callback(callback)

    def _looks(self, *events: str) -> bool:
        """Whether a callback that was added has a method of its own for one of these."""
        bases = (_callbacks.TrainerCallback, self._names.TrainerCallback)
        return any(
            all(getattr(type(one), event, None) is not getattr(base, event) for base in bases)
            for one in self.callback_handler.callbacks
            if type(one) not in self._blind
            for event in events
        )

    def pop_callback(self, callback: Any) -> Any:
        """Removes a callback and gives it."""
        return self.callback_handler.pop_callback(callback)

    def remove_callback(self, callback: Any) -> None:
        """Removes a callback."""
        self.callback_handler.remove_callback(callback)

    def end(self) -> None:
        """Has nothing to end; scripts of transformers call it last."""

    def is_world_process_zero(self) -> bool:
        return True

    def is_local_process_zero(self) -> bool:
        return True

    # --- the net and the data ---

    @property
    def net(self) -> Net | None:
        """The compiled step, once something has run."""
        return self._net

    def sync(self) -> None:
        """Brings the weights that are views (`param.data`) up to date: rows of embeddings that no batch has had."""
        if self._net is not None:
            self._net._sync()

    def _wanted(self, longest: int, trains: bool) -> _Compiled:
        """What a training or an evaluation over examples of at most so many tokens needs."""
        args = self.args
        batch = max(args.per_device_train_batch_size, args.per_device_eval_batch_size)
        positions = int(getattr(self._weights.config, "max_position_embeddings", 1 << 30))
        options: dict[str, Any] = {"precision": "bf16" if getattr(args, "bf16", False) else "fp32"}
        calls = {"eval"}
        if trains:
            clips = args.max_grad_norm and args.max_grad_norm > 0
            calls = {"grad", "update"} if clips or args.gradient_accumulation_steps > 1 else {"step"}
            calls |= {"eval"} if self.eval_dataset is not None else set()
            options |= {"seed": args.seed, "optim": _OPTIMIZERS[getattr(args.optim, "value", args.optim)]}
            options["freeze"] = self._weights.frozen()
            if getattr(args, "gradient_checkpointing", False) or getattr(args, "activation_checkpointing", False):
                options["memory"] = "least"
        return _Compiled(batch, max(min(-(-longest // 16) * 16, positions), longest), frozenset(calls), options)

    def _ready(self, longest: int, trains: bool = False) -> Net:
        """The net for examples of so many tokens; compiled again where it was for less."""
        wanted, has = self._wanted(longest, trains), self._compiled
        if self._net is not None and has is not None:
            if has.covers(wanted):
                self.sync()
                self._weights.renew(self._net)
                self._smooth(self._net)
                return self._net
            if self.is_in_train and not trains:  # the loop goes on with its net
                net = self._compile(wanted)
                self.sync()
                net.assign(self._net._parameters())
                return net
            wanted = wanted.joined(has)
        elif not trains and self.train_dataset is not None and not self.is_in_train:
            wanted = wanted.joined(self._wanted(longest, True))  # which comes next
        old, net = self._net, self._compile(wanted)
        self.sync()
        if old is not None and self._weights.model is None:
            net.assign(old._parameters())
        self._weights.give(net)
        self._net, self._compiled = net, wanted
        return net

    def _compile(self, wanted: _Compiled) -> Net:
        net = self._weights.net(
            batch=wanted.batch, max_length=wanted.length, calls=sorted(wanted.calls), **wanted.options
        )
        self._smooth(net)
        return net

    def _smooth(self, net: Net) -> None:
        smoothing = getattr(self.args, "label_smoothing_factor", 0.0) or 0.0
        if "label_smoothing" in net.arguments:
            net.set(label_smoothing=smoothing)
        elif smoothing:
            refuse("label_smoothing_factor", f"the loss of {net.name} has none")

    def _tokenize(self) -> Any:
        given = self.processing_class
        if given is None and self._weights.model is None:
            given = Tokenizer(self._weights.path)
        if given is None:
            return None
        most = int(getattr(self._weights.config, "max_position_embeddings", 512))
        if isinstance(given, Tokenizer):

            def by_ftc(text: str, pair: str | None = None) -> Mapping[str, Any]:
                ids, types = given(text, pair, most)
                return {"input_ids": ids, "token_type_ids": types}

            return by_ftc
        limit = min(most, int(getattr(given, "model_max_length", most)))
        return lambda *texts: given(*texts, truncation=True, max_length=limit)

    def _examples(self, dataset: Any, name: str, most: int | None = None) -> Examples:
        if self._packed is not None and id(dataset) in self._packed:
            return self._packed[id(dataset)][1]
        types = int(getattr(self._weights.config, "type_vocab_size", 0) or 0) > 1
        examples = pack(
            dataset,
            name=name,
            classes=self._weights.classes,
            types=types,
            task=self._weights.task,
            masks=self._masks,
            tokenize=self._tokenize(),
            most=most,
        )
        if self._packed is not None:
            self._packed[id(dataset)] = (dataset, examples)
        return examples

    # --- training ---

    def _plan(self) -> tuple[Examples, int, int]:
        """The examples, steps of an epoch, steps of all."""
        args = self.args
        if self.train_dataset is None:
            raise ValueError("train: there is no train_dataset")
        most = None
        if not hasattr(self.train_dataset, "__len__"):
            if args.max_steps <= 0:
                raise ValueError("args.max_steps must be above 0 where the train_dataset has no length")
            most = args.max_steps * args.per_device_train_batch_size * args.gradient_accumulation_steps
        examples = self._examples(self.train_dataset, "train_dataset", most)
        if most and len(examples) < most:
            raise InputError(
                f"train_dataset ends after {len(examples)} examples, and max_steps takes {most}: what a second pass over it gives "
                "is not known here; give fewer steps, repeat it (dataset.repeat(None)), or give it a length (a list)"
            )
        if not examples.has_labels:
            raise InputError("train_dataset has no labels (a column label or labels)")
        batch = args.per_device_train_batch_size
        batches = len(examples) // batch if args.dataloader_drop_last else -(-len(examples) // batch)
        per_epoch = max(-(-batches // args.gradient_accumulation_steps), 1)
        total = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * per_epoch)
        return examples, per_epoch, total

    def _loop_options(self, total: int, done: int) -> c.ftc_loop_options:
        args = self.args
        sampling = str(getattr(args, "train_sampling_strategy", "random") or "random")
        if getattr(args, "group_by_length", False):
            sampling = "group_by_length"
        if not hasattr(self.train_dataset, "__len__"):
            sampling = "sequential"
        return c.ftc_loop_options(
            epochs=args.num_train_epochs,
            max_steps=total,
            batch=args.per_device_train_batch_size,
            accumulation=args.gradient_accumulation_steps,
            drop_last=bool(args.dataloader_drop_last),
            order=sampling.encode(),
            seed=args.seed,
            data_seed=args.seed if args.data_seed is None else args.data_seed,
            lr=args.learning_rate,
            warmup_steps=args.get_warmup_steps(total),
            **self._schedule_options(),
            weight_decay=args.weight_decay,
            beta1=args.adam_beta1,
            beta2=args.adam_beta2,
            eps=args.adam_epsilon,
            momentum=0,
            max_grad_norm=args.max_grad_norm or 0,
            label_smoothing=getattr(args, "label_smoothing_factor", 0) or 0,
            dropout=-1,
            steps_done=done,
            evaluated=(ctypes.c_double * len(self._evaluated))(*self._evaluated),
            n_evaluated=len(self._evaluated),
        )

    def train(self, resume_from_checkpoint: Any = None, trial: Any = None, ignore_keys_for_eval: Any = None, **kwargs: Any) -> Any:
        """Trains to the end. resume_from_checkpoint: a directory checkpoint-N, or True for the last one of args.output_dir.
        Gives a TrainOutput(global_step, training_loss, metrics). Ctrl-C ends it after the step, with KeyboardInterrupt."""
        if trial is not None or kwargs:
            refuse("train(" + ", ".join(["trial"] * (trial is not None) + list(kwargs)) + ")", "there is no search here")
        self._check_arguments()
        checkpoint = self._checkpoint(resume_from_checkpoint)
        if self.model_init is not None:
            self._net = None
            self._take_model(self._new_model())
            self._name_classes()
            self.callback_handler.model = self._weights.model
        self._packed = {}
        try:
            return self._train(checkpoint, ignore_keys_for_eval)
        finally:
            self.is_in_train = False
            self._packed = None

    def _train(self, checkpoint: str | None, ignored: Any) -> Any:
        args = self.args
        examples, per_epoch, total = self._plan()
        longest = examples.longest
        if self.eval_dataset is not None and args.eval_strategy != "no":
            several = self.eval_dataset if isinstance(self.eval_dataset, dict) else {"": self.eval_dataset}
            longest = max([longest, *(self._examples(one, "eval_dataset").longest for one in several.values())])
        net = self._ready(longest, trains=True)
        self._begin_state(checkpoint, total)
        net.steps = done = self.state.global_step
        if self._has_trained:
            self._forget(net)
        self._has_trained = True
        self._evaluated: list[float] = []  # what reduce_lr_on_plateau goes by
        if checkpoint:
            self._load_checkpoint(checkpoint)
        loader = Loader(self.train_dataset, len(examples), args.per_device_train_batch_size, bool(args.dataloader_drop_last))
        self.state.num_train_epochs = math.ceil(total / per_epoch)
        self.callback_handler.train_dataloader = loader
        self._start, self._tr_loss, self._total_loss, self._last_logged = time.time(), 0.0, 0.0, done
        self.is_in_train = True
        self.control = self.callback_handler.on_train_begin(args, self.state, self.control)
        if getattr(args, "eval_on_start", False):
            self.evaluate(ignore_keys=ignored)
        self._weights.note_problem()
        if done < total:
            self._run(net, examples, self._loop_options(total, done))
        return self._finish(done, len(examples))

    def _forget(self, net: Net) -> None:
        """Zeroes the optimizer's state."""
        self.sync()
        views = net._borrowed()
        for name in net.moments:
            if name in views:
                views[name][...] = 0

    def _run(self, net: Net, examples: Examples, options: c.ftc_loop_options) -> None:
        interrupts = _Interrupts()

        def moment(_: Any, at: int, standing: Any) -> int:
            try:
                interrupts.raise_pending()
                return self._at(c.MOMENTS[at], standing[0])
            except BaseException as error:  # raised again once C has returned
                self._raised = error
                return 2

        data, called = examples.as_c(), c.ftc_loop_fn(moment)
        self._raised = None
        with net._entered(), interrupts:
            error = library.ftc_trainer_run(
                net._handles.trainer, ctypes.byref(data), ctypes.byref(options), called, None
            )
            if self._raised is None:
                check(error)
            elif error:
                library.ftc_error_free(error)
        interrupts.raise_pending()
        self.sync()
        raised, self._raised = self._raised, None
        if raised is not None:
            net.steps = self.state.global_step
            raise raised

    def _at(self, moment: str, standing: Any) -> int:
        if moment == "step_end":
            self.state.global_step, self.state.epoch = standing.step, standing.epoch
            self.state.num_input_tokens_seen += standing.tokens
            self.state.total_flos += standing.flos
            self._tr_loss += standing.loss
        if moment == "epoch_end" or (moment in _EVENTS and self._looks(*_EVENTS[moment])):
            self.sync()
        self.control = getattr(self.callback_handler, _HANDLERS[moment])(self.args, self.state, self.control)
        if moment in ("step_end", "epoch_end"):
            self._maybe_log_save_evaluate(standing)
        if self.control.should_epoch_stop and not self.control.should_training_stop:
            refuse("control.should_epoch_stop", "an epoch is not cut short; set should_training_stop")
        return 1 if self.control.should_training_stop else 0

    def _maybe_log_save_evaluate(self, standing: Any) -> None:
        steps = self.state.global_step - self._last_logged
        if self.control.should_log and steps > 0:
            logs = {"loss": self._tr_loss / steps}
            if math.isfinite(standing.grad_norm):
                logs["grad_norm"] = standing.grad_norm
            logs["learning_rate"] = standing.learning_rate
            self._total_loss += self._tr_loss
            self._tr_loss, self._last_logged = 0.0, self.state.global_step
            self.log(logs, self._start)
        if self.control.should_evaluate:
            metrics = self.evaluate()
            gained = self._compare_with_best(metrics)
            self._tell_schedule(metrics)
            if self.args.save_strategy == "best":
                self.control.should_save = gained
        if self.control.should_save:
            self._save_checkpoint()
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def _tell_schedule(self, metrics: Mapping[str, float]) -> None:
        if self.args.lr_scheduler_type != "reduce_lr_on_plateau":
            return
        metric = metrics[self._best_metric()]
        check(library.ftc_trainer_evaluated(self._net._handles.trainer, metric))  # type: ignore[union-attr]
        self._evaluated.append(metric)

    def _finish(self, done: int, examples: int) -> Any:
        args, state = self.args, self.state
        steps = state.global_step - done
        loss = (self._total_loss + self._tr_loss) / max(steps, 0.001)
        samples = args.max_steps * args.per_device_train_batch_size * args.gradient_accumulation_steps
        if args.max_steps <= 0:
            samples = examples * args.num_train_epochs
        metrics = _speed("train", self._start, samples * steps / max(state.max_steps, 1), steps)
        metrics["total_flos"] = state.total_flos
        metrics["train_loss"] = loss
        self.log(metrics)
        best = state.best_model_checkpoint
        if args.load_best_model_at_end and best:
            self._weights.load(self._net, best)
        if best and getattr(args, "save_total_limit", None) == 1:
            for path in self._checkpoints():
                if os.path.abspath(path) != os.path.abspath(best):
                    shutil.rmtree(path, ignore_errors=True)
        self.sync()
        self.control = self.callback_handler.on_train_end(args, state, self.control)
        return self._names.TrainOutput(state.global_step, loss, metrics)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds `logs` to state.log_history, with epoch and step, and tells the callbacks."""
        if self.state.epoch is not None:
            logs["epoch"] = self.state.epoch
        self.state.log_history.append({**logs, "step": self.state.global_step})
        if self._looks("on_log"):
            self.sync()
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    # --- checkpoints ---

    def _begin_state(self, checkpoint: str | None, total: int) -> None:
        batch = self.args.per_device_train_batch_size
        self.state = self._names.TrainerState(stateful_callbacks=self._stateful())
        self.state.train_batch_size = batch
        self.state.compute_steps(self.args, total)
        if checkpoint:
            self.state = self._names.TrainerState.load_from_json(os.path.join(checkpoint, "trainer_state.json"))
            best = self.state.best_model_checkpoint
            if best is not None and not os.path.isdir(best):
                warnings.warn(f"ftc.Trainer: the best checkpoint so far, {best}, is not there any more", stacklevel=4)
                self.state.best_model_checkpoint = None
        self.state.max_steps = total

    def _checkpoint(self, resume: Any) -> str | None:
        if resume is None or resume is False:
            return None
        if resume is not True:
            if lacks := _checkpoint_lacks(resume):
                raise InputError(f"{resume} has no {', '.join(lacks)}: it is no checkpoint of ftc that can be resumed")
            return os.fspath(resume)
        passed_over = []
        for path in reversed(self._checkpoints()):
            if not (lacks := _checkpoint_lacks(path)):
                for note in passed_over:
                    warnings.warn(f"{note}; training goes on from {path}", stacklevel=3)
                return path
            passed_over.append(f"{path} has no {', '.join(lacks)} and is passed over")
        raise ValueError("; ".join([f"no checkpoint to resume from in {self.args.output_dir}", *passed_over]))

    def _checkpoints(self) -> list[str]:
        found = []
        for path in pathlib.Path(self.args.output_dir).glob("checkpoint-*"):
            if match := re.fullmatch(r"checkpoint-(\d+)", path.name):
                found.append((int(match[1]), str(path)))
        return [path for _, path in sorted(found)]

    def _load_checkpoint(self, checkpoint: str) -> None:
        net = self._net
        assert net is not None
        self._weights.load(net, checkpoint)
        schedule = pathlib.Path(checkpoint, "scheduler.json")
        if schedule.exists():
            self._evaluated = json.loads(schedule.read_text())["evaluated"]
        path = os.path.join(checkpoint, "optimizer.safetensors")
        with net._entered():
            check(library.ftc_trainer_load_moments(net._handles.trainer, os.fsencode(path)))

    def _save_checkpoint(self) -> None:
        args, state = self.args, self.state
        final = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        part = final + ".part"
        shutil.rmtree(part, ignore_errors=True)
        self.save_model(part)
        if state.best_global_step and args.save_strategy != "no":
            best = os.path.join(args.output_dir, f"checkpoint-{state.best_global_step}")
            if os.path.isdir(best) or best == final:
                state.best_model_checkpoint = best
        if not getattr(args, "save_only_model", False):
            net = self._net
            assert net is not None
            with net._entered():
                path = os.fsencode(os.path.join(part, "optimizer.safetensors"))
                check(library.ftc_trainer_save_moments(net._handles.trainer, path))
            if self._evaluated:
                pathlib.Path(part, "scheduler.json").write_text(json.dumps({"evaluated": self._evaluated}))
        for one in self._stateful():
            state.stateful_callbacks[type(one).__name__] = one.state()
        state.save_to_json(os.path.join(part, "trainer_state.json"))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(part, final)
        limit = getattr(args, "save_total_limit", None)
        if limit:
            found = self._checkpoints()
            keep = {state.best_model_checkpoint, found[-1]}
            for path in [path for path in found if path not in keep][: max(len(found) - limit, 0)]:
                shutil.rmtree(path, ignore_errors=True)

    def _best_metric(self) -> str:
        return f"eval_{self.args.metric_for_best_model.removeprefix('eval_')}"

    def _compare_with_best(self, metrics: Mapping[str, float]) -> bool:
        args, state = self.args, self.state
        if args.metric_for_best_model is None:
            return False
        name = self._best_metric()
        if name not in metrics:
            raise KeyError(f"metric_for_best_model is {name!r}, but the evaluation gave {', '.join(metrics)}")
        value, best = metrics[name], state.best_metric
        if best is not None and not (value > best if args.greater_is_better else value < best):
            return False
        state.best_metric, state.best_global_step = value, state.global_step
        return True

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Saves the model as a Hugging Face directory (args.output_dir unless said), with its tokenizer and training_args.bin
        (of transformers' arguments)."""
        directory = os.fspath(output_dir or self.args.output_dir)
        os.makedirs(directory, exist_ok=True)
        self.sync()
        tokenizer = self.processing_class
        if tokenizer is None:
            tokenizer = getattr(self.data_collator, "tokenizer", None)
        self._weights.save(self._net or self._ready(16), directory, tokenizer)
        if "torch" in sys.modules:
            sys.modules["torch"].save(self.args, os.path.join(directory, "training_args.bin"))

    def create_model_card(self, **about: Any) -> None:
        """Writes args.output_dir/README.md as transformers does, by its keywords (language, license, tags, model_name, …): what
        the arguments were and what the evaluations gave."""
        if self._names is _callbacks:
            refuse("create_model_card", "it takes the TrainingArguments of transformers, which writes the card")
        from transformers.modelcard import TrainingSummary

        named = SimpleNamespace(config=SimpleNamespace(_name_or_path=str(self.model)))
        model = named if self._weights.model is None else self._weights.model
        trainer = SimpleNamespace(
            args=self.args, state=self.state, model=model, train_dataset=self.train_dataset, eval_dataset=self.eval_dataset
        )
        card = TrainingSummary.from_trainer(trainer, **about).to_model_card()
        pathlib.Path(self.args.output_dir, "README.md").write_text(card, encoding="utf-8")

    def push_to_hub(
        self, commit_message: str | None = "End of training", blocking: bool = True, token: Any = None, revision: str | None = None
    ) -> Any:
        """Saves the model into args.output_dir and uploads that by huggingface_hub, as transformers does (no card is made)."""
        self.save_model()
        return _hub.push(self.args, message=commit_message, blocking=blocking, token=token, revision=revision)

    def save_state(self) -> None:
        """Saves `state` as trainer_state.json into args.output_dir."""
        self.state.save_to_json(os.path.join(self.args.output_dir, "trainer_state.json"))

    def log_metrics(self, split: str, metrics: Mapping[str, Any]) -> None:
        """Prints the metrics of a split, "train", "eval" or "test"."""
        width = max(map(len, metrics), default=0)
        print(f"***** {split} metrics *****")
        for name in sorted(metrics):
            value = metrics[name]
            print(f"  {name:<{width}} = {round(value, 4) if isinstance(value, float) else value}")

    def save_metrics(self, split: str, metrics: Mapping[str, Any], combined: bool = True) -> None:
        """Saves the metrics of a split as args.output_dir/SPLIT_results.json, and with `combined` into all_results.json, which has
        those of all splits."""
        folder = pathlib.Path(self.args.output_dir)
        everything = folder / "all_results.json"
        before = json.loads(everything.read_text()) if combined and everything.exists() else {}
        saved = [(folder / f"{split}_results.json", metrics), (everything, {**before, **metrics})]
        for path, values in saved[: 1 + combined]:
            path.write_text(json.dumps(dict(values), indent=4, sort_keys=True))

    def __reduce__(self) -> tuple:
        raise TypeError("a Trainer is neither copied nor pickled, since libftc has its memory: make another one of its model")

    def __getattr__(self, name: str) -> Any:
        why = _ABSENT.get(name)
        raise AttributeError(f"ftc.Trainer has no {name}" + (f": {why}" if why else ""))

    # --- evaluating ---

    def _evaluation(
        self, dataset: Any, name: str, prefix: str, ignore_keys: Any
    ) -> tuple[np.ndarray, np.ndarray | None, dict[str, float], int]:
        if "logits" in (ignore_keys or ()):
            refuse("ignore_keys with 'logits'", "predictions are these alone")
        examples = self._examples(dataset, name)
        net, args = self._ready(examples.longest), self.args
        batch = args.per_device_eval_batch_size
        if args.dataloader_drop_last and len(examples) % batch:  # as transformers does, also here
            rows, examples = len(examples), examples.first(len(examples) // batch * batch)
            if not len(examples):
                warnings.warn(
                    f"ftc.Trainer: {name}: dataloader_drop_last leaves none of the {rows} rows, in batches of {batch}: there is no loss"
                    " and no metric; lower per_device_eval_batch_size",
                    stacklevel=3,
                )
        self.callback_handler.eval_dataloader = Loader(dataset, len(examples), batch)
        of_tokens, has_scores = self._weights.task == "tokens", self._weights.task != "mlm"
        scores = np.empty((examples.offsets[-1] if of_tokens else len(examples), self._weights.classes), np.float32)
        loss, data = ctypes.c_double(), examples.as_c()

        interrupts = _Interrupts()

        def done(_: Any, n: int, total: int) -> int:
            try:
                interrupts.raise_pending()
                self.control = self.callback_handler.on_prediction_step(args, self.state, self.control)
                return 0
            except BaseException as error:  # raised again once C has returned
                raised.append(error)
                return 1

        raised: list[BaseException] = []
        called = c.ftc_evaluate_fn(done)
        with net._entered(), interrupts:
            error = library.ftc_trainer_evaluate(
                net._handles.trainer,
                ctypes.byref(data),
                batch,
                called,
                None,
                ctypes.byref(loss),
                scores.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) if has_scores else None,
            )
            if not raised:
                check(error)
            elif error:
                library.ftc_error_free(error)
        interrupts.raise_pending()
        if raised:
            raise raised[0]
        labels: Any = examples.labels
        if of_tokens:
            scores, labels = examples.padded(scores), None if examples.tags is None else examples.padded(examples.tags)
        if labels is not None and self._weights.classes > 1 and self._weights.task != "multi_label":
            labels = labels.astype(np.int64)
        if self.preprocess_logits_for_metrics is not None:
            import torch

            given = None if labels is None else torch.from_numpy(labels)
            scores = self.preprocess_logits_for_metrics(torch.from_numpy(scores), given).numpy()
        metrics: dict[str, float] = {}
        if len(examples) and self.compute_metrics is not None and labels is not None and not getattr(args, "prediction_loss_only", False):
            metrics = dict(self.compute_metrics(self._names.EvalPrediction(predictions=scores, label_ids=labels)))
        metrics = _plain(metrics)
        if len(examples) and examples.has_labels:
            metrics[f"{prefix}_loss"] = loss.value
        for key in [key for key in metrics if not key.startswith(f"{prefix}_")]:  # behind the loss, as in transformers
            metrics[f"{prefix}_{key}"] = metrics.pop(key)
        return scores, labels, metrics, len(examples)

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Evaluates eval_dataset (the trainer's own unless given; a dict of several, or the name of one of them) and gives the
        metrics: eval_loss, those of compute_metrics, eval_runtime, eval_samples_per_second, eval_steps_per_second, epoch."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if dataset is None:
            raise ValueError("evaluate: there is no eval_dataset")
        if isinstance(dataset, str):
            if not isinstance(self.eval_dataset, dict) or dataset not in self.eval_dataset:
                raise ValueError(f"evaluate: eval_dataset has no {dataset!r}")
            dataset = self.eval_dataset[dataset]
        if isinstance(dataset, dict):
            metrics: dict[str, float] = {}
            for name, one in dataset.items():
                metrics.update(self.evaluate(one, ignore_keys, f"{metric_key_prefix}_{name}"))
            return metrics
        start = time.time()
        _, _, metrics, n = self._evaluation(dataset, "eval_dataset", metric_key_prefix, ignore_keys)
        metrics.update(_speed(metric_key_prefix, start, n, -(-n // self.args.per_device_eval_batch_size)))
        self.log(metrics)
        self.sync()
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def predict(self, test_dataset: Any, ignore_keys: Any = None, metric_key_prefix: str = "test") -> Any:
        """Gives a PredictionOutput: predictions float32 [n, num_labels], label_ids [n] or None, metrics. Of labels of tokens
        [n, longest row, num_labels] and [n, longest row], filled with -100."""
        if self._weights.task == "mlm":
            refuse("predict", "the scores of masked tokens are never there at once; evaluate gives the loss")
        start = time.time()
        scores, labels, metrics, n = self._evaluation(test_dataset, "test_dataset", metric_key_prefix, ignore_keys)
        metrics.update(_speed(metric_key_prefix, start, n, -(-n // self.args.per_device_eval_batch_size)))
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics)
        return self._names.PredictionOutput(predictions=scores, label_ids=labels, metrics=metrics)


def _checkpoint_lacks(path: Any) -> list[str]:
    """The files without which no training can go on from the directory."""
    there = set(os.listdir(path)) if os.path.isdir(path) else set()
    weights = {"model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"}
    lacks = [] if weights & there else ["model.safetensors"]
    return lacks + [name for name in ("optimizer.safetensors", "trainer_state.json") if name not in there]


def _plain(metrics: Any) -> Any:
    """Metrics with Python's numbers in place of NumPy's and PyTorch's."""
    if isinstance(metrics, (list, tuple)):
        return type(metrics)(_plain(one) for one in metrics)
    if isinstance(metrics, dict):
        return {name: _plain(one) for name, one in metrics.items()}
    is_number = isinstance(metrics, np.generic) or (hasattr(metrics, "numel") and metrics.numel() == 1)
    return metrics.item() if is_number else metrics


def _speed(prefix: str, start: float, samples: float, steps: int) -> dict[str, float]:
    seconds = time.time() - start
    found = {f"{prefix}_runtime": round(seconds, 4)}
    if seconds > 0:
        found[f"{prefix}_samples_per_second"] = round(samples / seconds, 3)
        found[f"{prefix}_steps_per_second"] = round(steps / seconds, 3)
    return found
