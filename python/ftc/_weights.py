"""Where a Trainer's weights come from and go to: a model of transformers, one with adapters of PEFT, or a directory."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
import warnings
from types import SimpleNamespace
from typing import Any

from ._library import InputError
from .net import Net
from .training_args import refuse

# What labels are of, by how the names of a model's classes end.
TASKS = {"ForSequenceClassification": "classification", "ForTokenClassification": "tokens", "ForMaskedLM": "mlm"}
# What sentence-transformers trains is not Trainer's.
_PAIRS = "vectors of sentence pairs are trained by `ftc run --task pairs`, or a loop over ftc.compile(directory, task='pairs')"


def _are_placeholders(names: list[str]) -> bool:
    """Whether these are what transformers calls classes without a name."""
    return names == [f"LABEL_{i}" for i in range(len(names))]


def _task(name: str, problem_type: str | None) -> str | None:
    """The task of a model whose class has this name; None: none that is compiled."""
    task = next((task for suffix, task in TASKS.items() if name.endswith(suffix)), None)
    return "multi_label" if task == "classification" and problem_type == "multi_label_classification" else task


class ModelWeights:
    """The weights of a PreTrainedModel, in ftc's memory."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._base = self._base_model()
        self.config = self._base.config
        self.classes = int(self.config.num_labels)
        self._check()

    def _base_model(self) -> Any:
        """The model whose class and configuration say what is computed."""
        return self.model

    def _parameters(self) -> dict[str, Any]:
        """Those that the net has, under its names."""
        return dict(self.model.named_parameters())

    @property
    def task(self) -> str | None:
        return _task(type(self._base).__name__, getattr(self.config, "problem_type", None))

    def take_names(self, names: list[str]) -> None:
        """Calls the classes so, where the configuration has but placeholders for them."""
        if _are_placeholders([str(self.config.id2label.get(i)) for i in range(self.classes)]):
            self.config.id2label = dict(enumerate(names))
            self.config.label2id = {name: i for i, name in enumerate(names)}

    def _check(self) -> None:
        kind = type(self._base)
        if self.task is None:
            refuse(f"the model is a {kind.__name__}", f"only {', '.join('…' + name for name in TASKS)} are compiled; {_PAIRS}")
        if not kind.__module__.startswith("transformers."):
            refuse(
                f"the model is a {kind.__module__}.{kind.__name__}", "a class of one's own may compute something else"
            )
        for name in ("output_hidden_states", "output_attentions"):
            if getattr(self.config, name, False):
                refuse(f"the configuration's {name}=True", "predictions are the scores alone")
        narrow = sorted({str(p.dtype) for p in self.model.parameters() if str(p.dtype) != "torch.float32"})
        if narrow:
            warnings.warn(f"ftc.Trainer: parameters of {', '.join(narrow)} are converted to float32", stacklevel=4)

    def _options(self) -> dict[str, Any]:
        """What the net is compiled with, beside the configuration."""
        return {"task": "mlm"} if self.task == "mlm" else {}  # else others are fine-tuned from this class

    def note_problem(self) -> None:
        """As transformers does where labels come to a model that does not say what they are; it is saved."""
        if self.task == "classification" and self.config.problem_type is None:
            self.config.problem_type = "regression" if self.classes == 1 else "single_label_classification"

    def frozen(self) -> list[str]:
        """The parameters that do not train, as options --freeze."""
        trains = {name: parameter.requires_grad for name, parameter in self._parameters().items()}
        return [] if all(trains.values()) else [name if not trained else "!" + name for name, trained in trains.items()]

    def net(self, **options: Any) -> Net:
        config = {**self.config.to_dict(), "num_labels": self.classes, "architectures": [type(self._base).__name__]}
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "config.json").write_text(json.dumps(config, default=str))
            return Net(folder, weights=False, **options, **self._options())

    def give(self, net: Net) -> None:
        """Copies the weights into the net's memory and makes each `param.data` a view of it."""
        import torch

        parameters = self._parameters()
        net.assign({name: p.detach().to(torch.float32).cpu().numpy() for name, p in parameters.items()})
        views = net._parameters()
        for name, parameter in parameters.items():
            parameter.data = torch.from_numpy(views[name])

    def renew(self, net: Net) -> None:
        """Takes the weights over that somebody has given other memory since: another Trainer of the same model, `.to(…)`."""
        views = net._parameters()
        if any(p.data_ptr() != views[name].ctypes.data for name, p in self._parameters().items()):
            self.give(net)

    def load(self, net: Net, directory: str) -> None:
        """Reads what `save` has written."""
        net.load(directory)

    def save(self, net: Net, directory: str, processing_class: Any) -> None:
        self.model.save_pretrained(directory)
        if hasattr(processing_class, "save_pretrained"):
            processing_class.save_pretrained(directory)


class AdapterWeights(ModelWeights):
    """Those of a PeftModel with adapters of low rank (LoRA): of the base model, which is frozen, of the adapters, and of the
    modules that PEFT copies to train and save them (modules_to_save)."""

    # Fields of LoraConfig that the compiled step honours, and those that have no part in training: which modules have
    # adapters, and how these begin, the model itself tells by now.
    _HONOURED = "r lora_alpha lora_dropout modules_to_save".split()
    _HARMLESS = (
        "task_type peft_type auto_mapping peft_version base_model_name_or_path revision inference_mode target_modules "
        "exclude_modules layers_to_transform layers_pattern init_lora_weights runtime_config ensure_weight_tying megatron_core "
        "loftq_config eva_config corda_config lora_ga_config qalora_group_size"
    ).split()

    def _base_model(self) -> Any:
        return self.model.get_base_model()

    def _check(self) -> None:
        super()._check()
        configs = self.model.peft_config
        if len(configs) != 1:
            refuse(f"the adapters {', '.join(configs)}", "one is trained: delete the others by model.delete_adapter(…)")
        ((self._adapter, self._lora),) = configs.items()
        if type(self._lora).__name__ != "LoraConfig":
            refuse(f"adapters by {type(self._lora).__name__}", "there is LoraConfig")
        for field in dataclasses.fields(self._lora):
            value = getattr(self._lora, field.name)
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            if field.name not in (*self._HONOURED, *self._HARMLESS) and value and value != default:
                refuse(f"LoraConfig {field.name}={value!r}", "only plain adapters of low rank are compiled")

        others = [name.partition(".lora_embedding_")[0] for name in self._parameters() if ".lora_embedding_" in name]
        if others:
            refuse(
                f"adapters of other modules than linear ones: {', '.join(dict.fromkeys(others))}",
                "they are not compiled",
            )

    def _parameters(self) -> dict[str, Any]:
        found = {}
        for name, parameter in self._base.named_parameters():
            if ".original_module." in name:
                continue  # of a module that is copied
            name = name.replace(f".modules_to_save.{self._adapter}.", ".").replace(".base_layer.", ".")
            for factor in ("lora_A", "lora_B"):
                name = name.replace(f".{factor}.{self._adapter}.", f".{factor}.")
            found[name] = parameter
        return found

    def _options(self) -> dict[str, Any]:
        lora = self._lora
        modules = [
            name.removesuffix(".lora_A.weight") for name in self._parameters() if name.endswith(".lora_A.weight")
        ]
        return super()._options() | {
            "lora": ",".join(modules),
            "lora_rank": lora.r,
            "lora_alpha": lora.lora_alpha,
            "lora_dropout": lora.lora_dropout,
        }

    def load(self, net: Net, directory: str) -> None:
        import peft

        peft.set_peft_model_state_dict(self.model, peft.load_peft_weights(directory, device="cpu"), self._adapter)


class DirectoryWeights:
    """The weights of a Hugging Face directory."""

    def __init__(self, path: str) -> None:
        self.path, self.model = path, None
        try:
            config = json.loads((pathlib.Path(path) / "config.json").read_text())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}: config.json") from None
        labels = config.get("id2label") or {}
        self.names = [labels[str(i)] for i in range(len(labels))] if labels else None
        self.classes = int(config.get("num_labels") or len(labels) or 2)
        self.config = SimpleNamespace(**config)
        problem = config.get("problem_type")
        names = config.get("architectures") or [""]
        task = _task(names[0], problem)
        self.task = (
            _task("ForSequenceClassification", problem) if task in (None, "mlm") else task
        )  # as the directory is compiled

    def take_names(self, names: list[str]) -> None:
        if self.names is None or _are_placeholders(self.names):
            self.names = names

    def net(self, **options: Any) -> Net:
        return Net(self.path, **options)

    def note_problem(self) -> None:
        pass  # libftc writes it

    def frozen(self) -> list[str]:
        return []

    def give(self, net: Net) -> None:
        pass  # it has loaded them

    def renew(self, net: Net) -> None:
        pass  # nobody else has them

    def load(self, net: Net, directory: str) -> None:
        net.load(directory)

    def save(self, net: Net, directory: str, processing_class: Any) -> None:
        vocabularies = ("tokenizer.json", "vocab.txt", "vocab.json")
        given = hasattr(processing_class, "save_pretrained")  # by which the texts were cut
        copied = not given and any((pathlib.Path(self.path) / name).exists() for name in vocabularies)
        net.save(directory, tokenizer=self.path if copied else None, labels=self.names)
        if given:
            processing_class.save_pretrained(directory)


def weights_of(model: Any) -> ModelWeights | DirectoryWeights:
    """Refuses what cannot be compiled."""
    if isinstance(model, (str, os.PathLike)):
        return DirectoryWeights(os.fspath(model))
    if type(model).__module__.startswith("sentence_transformers."):
        refuse(f"the model is a {type(model).__name__}", _PAIRS)
    if not hasattr(model, "named_parameters") or not hasattr(model, "config"):
        raise TypeError(
            f"the model is a {type(model).__name__}: expected a PreTrainedModel, a PeftModel or a directory"
        )
    return (
        AdapterWeights(model)
        if hasattr(model, "peft_config") and hasattr(model, "get_base_model")
        else ModelWeights(model)
    )
