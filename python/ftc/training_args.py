"""TrainingArguments with the fields of transformers' that have a meaning here, for those who do not have transformers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


@dataclasses.dataclass
class TrainingArguments:
    """How to train: the fields, defaults and meanings of transformers.TrainingArguments (5.x). Steps below 1 are fractions
    of all steps. What transformers has and this has not (devices, hubs, …) is a TypeError."""

    output_dir: str = "trainer_output"
    do_train: bool = False
    do_eval: bool = False
    eval_strategy: str = "no"
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    eval_delay: float = 0
    learning_rate: float = 5e-5
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    num_train_epochs: float = 3.0
    max_steps: int = -1
    lr_scheduler_type: str = "linear"
    lr_scheduler_kwargs: dict[str, Any] | None = None
    warmup_ratio: float | None = None
    warmup_steps: float = 0
    logging_strategy: str = "steps"
    logging_first_step: bool = False
    logging_steps: float = 500
    save_strategy: str = "steps"
    save_steps: float = 500
    save_total_limit: int | None = None
    save_only_model: bool = False
    seed: int = 42
    data_seed: int | None = None
    bf16: bool = False
    dataloader_drop_last: bool = False
    eval_steps: float | None = None
    disable_tqdm: bool | None = None
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    label_smoothing_factor: float = 0.0
    optim: str = "adamw_torch"
    train_sampling_strategy: str = "random"
    gradient_checkpointing: bool = False
    eval_on_start: bool = False
    prediction_loss_only: bool = False

    def __post_init__(self) -> None:
        for name, choices in {
            "eval_strategy": ("no", "steps", "epoch"),
            "logging_strategy": ("no", "steps", "epoch"),
            "save_strategy": ("no", "steps", "epoch", "best"),
        }.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}: expected one of {', '.join(choices)}")
        if self.eval_strategy == "steps" and not self.eval_steps:
            self.eval_steps = self.logging_steps
        for name in ("logging_steps", "eval_steps", "save_steps"):
            steps = getattr(self, name)
            if getattr(self, name.replace("steps", "strategy")) == "steps" and not (steps and steps > 0):
                raise ValueError(f"{name} is {steps!r}: expected a number above 0")
        by_metric = self.load_best_model_at_end or self.lr_scheduler_type == "reduce_lr_on_plateau"
        if by_metric and self.metric_for_best_model is None:
            self.metric_for_best_model = "loss"
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = not self.metric_for_best_model.endswith("loss")
        if self.load_best_model_at_end and self.save_strategy != "best" and self.eval_strategy != self.save_strategy:
            raise ValueError(
                "load_best_model_at_end needs a checkpoint at each evaluation: make eval_strategy and save_strategy the same"
            )
        self.do_eval = self.do_eval or self.eval_strategy != "no"

    def get_warmup_steps(self, steps: int) -> int:
        """The steps of warm-up in a training of so many."""
        warmup = self.warmup_steps or self.warmup_ratio or 0
        return int(warmup) if warmup >= 1 else math.ceil(steps * warmup)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
