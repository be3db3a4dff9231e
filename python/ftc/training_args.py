"""TrainingArguments with the fields of transformers', for those who do not have it, and which values are refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

# Fields of transformers' TrainingArguments that ask for what there is not, with the values that ask for nothing.
_REFUSED: dict[str, tuple] = {
    "fp16": (None, False),
    "fp16_full_eval": (None, False),
    "bf16_full_eval": (None, False),
    "deepspeed": (None,),
    "fsdp": (None, False, "", [], {}),
    "parallelism_config": (None,),
    "neftune_noise_alpha": (None, 0),
    "batch_eval_metrics": (None, False),
    "eval_do_concat_batches": (None, True),
    "use_liger_kernel": (None, False),
    "auto_find_batch_size": (None, False),
    "optim_target_modules": (None,),
    "include_for_metrics": (None, []),
    "include_num_input_tokens_seen": (None, False, "no"),
    "skip_memory_metrics": (None, True),
    "debug": (None, "", []),
    "ignore_data_skip": (None, False),
    "restore_callback_states_from_checkpoint": (None, False),
    "enable_jit_checkpoint": (None, False),
    "label_names": (None, ["labels"], ["label"]),
    "length_column_name": (None, "length"),
}
# Fields of transformers' alone that Trainer or the callbacks go by.
_HONOURED = (
    "activation_checkpointing optim_args do_predict report_to run_name project trackio_space_id trackio_bucket_id "
    "trackio_static_space_id push_to_hub hub_token hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision"
).split()
# Those that change neither what is computed nor what is told of it: devices and processes that there are not, how PyTorch
# reads data and compiles, what a script reads itself; and logging_nan_inf_filter, since such a loss is an error.
_HARMLESS = (
    "average_tokens_across_devices tf32 activation_checkpointing_kwargs gradient_checkpointing_kwargs torch_compile "
    "torch_compile_backend torch_compile_mode liger_kernel_config use_cache torch_empty_cache_steps log_on_each_node "
    "logging_nan_inf_filter log_level log_level_replica eval_use_gather_object eval_accumulation_steps save_on_each_node "
    "full_determinism use_cpu accelerator_config dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers "
    "dataloader_prefetch_factor dataloader_multiprocessing_context dataloader_in_order remove_unused_columns "
    "ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp_config "
    "resume_from_checkpoint local_rank"
).split()


# By name alone, and None unless they are given.
_others = [(name, Any, None) for name in (*_REFUSED, *_HONOURED, *_HARMLESS)]
_OtherFields: Any = dataclasses.make_dataclass("_OtherFields", _others, kw_only=True)


@dataclasses.dataclass
class TrainingArguments(_OtherFields):
    """How to train: the fields, defaults and meanings of transformers.TrainingArguments (5.x). Steps below 1 are fractions
    of all steps. The first ones, up to prediction_loss_only, have a meaning here; of the others ftc.Trainer ignores what changes
    nothing (devices, workers, …) and refuses by name what it cannot do. `report_to` takes transformers' own class."""

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


def refuse(what: str, why: str) -> None:
    raise NotImplementedError(f"ftc.Trainer: {what}: {why}")


def refused_arguments(args: Any) -> Iterator[tuple[str, str]]:
    """What `args` ask for that there is not, each with the reason: nothing that changes a training is ignored. Fields that
    are not known here, of a later transformers, may only have their defaults."""
    for name, usual in _REFUSED.items():
        value = getattr(args, name, None)
        if value not in usual:
            yield f"{name}={value!r}", "there is no such thing here"
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    for field in dataclasses.fields(args) if dataclasses.is_dataclass(args) else ():
        if field.name in known or not field.init:
            continue
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if getattr(args, field.name) != default:
            yield f"{field.name}={getattr(args, field.name)!r}", "it is not known here; leave it at its default"
    reports = getattr(args, "report_to", None)
    if isinstance(args, TrainingArguments) and reports not in (None, "none", [], ["none"]):
        yield f"report_to={reports!r}", "it takes the TrainingArguments of transformers, whose callbacks do this"
    config = getattr(args, "accelerator_config", None)
    if getattr(config, "use_seedable_sampler", True) is False:
        yield "accelerator_config use_seedable_sampler=False", "examples are shuffled by the seed"
