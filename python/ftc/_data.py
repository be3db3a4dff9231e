"""Data sets as Python has them, packed as libftc takes them: nothing is padded."""

from __future__ import annotations

import copy
import ctypes
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from . import _library as c
from ._library import InputError

LABELS = ("labels", "label", "label_ids")
_COLUMNS = ("input_ids", "attention_mask", "token_type_ids", *LABELS)
NO_LABEL = -100  # of a token
_BLOCK = 1000  # rows that are taken from Arrow at a time


class Masks(NamedTuple):
    """How the runtime masks tokens that a model is to predict, anew in every step: each that is not special with this
    probability. Of the chosen ones such a part is replaced by the mask token, such a part by a random one; the rest stays."""

    probability: float
    replaced: float
    random: float
    seed: int
    mask_id: int
    special: np.ndarray  # uint8 [vocabulary]

    def as_c(self) -> c.ftc_mask_options:
        """Borrows the array."""
        special = self.special.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        return c.ftc_mask_options(*self[:5], len(self.special), special)


class Examples:
    """Token ids of all examples one after the other: ids, types int32 [tokens], offsets int64 [n + 1], labels float32 [n],
    or where a text has several, [n, labels]; or where tokens have labels, tags int32 [tokens]. `kept`: where they do, which
    tokens of its row each example has. `masks`: how they are masked, for a model that predicts masked tokens."""

    masks: Masks | None = None

    def __init__(
        self,
        ids: list[np.ndarray],
        types: list[np.ndarray] | None,
        labels: list | None,
        kept: list[np.ndarray] | None = None,
    ) -> None:
        lengths = np.fromiter((len(one) for one in ids), np.int64, len(ids))
        self.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self.ids = np.ascontiguousarray(np.concatenate(ids) if ids else [], np.int32)
        self.types = None if types is None else np.ascontiguousarray(np.concatenate(types) if types else [], np.int32)
        self.labels = self.tags = None
        if labels is not None and kept is None:
            self.labels = np.asarray(labels, np.float32)
        elif labels is not None:
            self.tags = np.ascontiguousarray(np.concatenate(labels), np.int32)
        if kept is not None:
            self._places = np.concatenate([np.flatnonzero(mask) for mask in kept])
            self._width = max(map(len, kept))
        self.longest = int(lengths.max(initial=0))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def first(self, n: int) -> Examples:
        """The first n of them, which share the arrays."""
        part = copy.copy(self)
        part.offsets, part.labels = self.offsets[: n + 1], None if self.labels is None else self.labels[:n]
        return part

    @property
    def has_labels(self) -> bool:
        return self.labels is not None or self.tags is not None or self.masks is not None

    def padded(self, values: np.ndarray) -> np.ndarray:
        """Values of tokens [tokens, …] as rows of them [n, longest row, …], filled with NO_LABEL as by transformers' Trainer."""
        rows = np.full((len(self), self._width, *values.shape[1:]), NO_LABEL, values.dtype)
        tokens = self.offsets[-1]
        rows[np.repeat(np.arange(len(self)), np.diff(self.offsets)), self._places[:tokens]] = values[:tokens]
        return rows

    def as_c(self) -> c.ftc_examples:
        """Borrows the arrays."""

        def pointer(array: np.ndarray | None, kind: Any) -> Any:
            return None if array is None else array.ctypes.data_as(ctypes.POINTER(kind))

        return c.ftc_examples(
            len(self),
            pointer(self.offsets, ctypes.c_int64),
            pointer(self.ids, ctypes.c_int32),
            pointer(self.types, ctypes.c_int32),
            pointer(self.labels, ctypes.c_float),
            0 if self.labels is None or self.labels.ndim == 1 else self.labels.shape[1],
            pointer(self.tags, ctypes.c_int32),
            None if self.masks is None else ctypes.pointer(self.masks.as_c()),
        )


class Loader:
    """What callbacks get as a data loader: its length in batches."""

    def __init__(self, dataset: Any, n: int, batch_size: int, drop_last: bool = False) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self._batches = n // batch_size if drop_last else -(-n // batch_size)

    def __len__(self) -> int:
        return self._batches


def _blocks(dataset: Any, size: int) -> Iterator[Mapping[str, Any]]:
    """The rows of a datasets.Dataset or IterableDataset, read in blocks; columns without a meaning here are left in Arrow."""
    columns = getattr(dataset, "column_names", None) or []
    is_transformed = (getattr(dataset, "format", None) or {}).get("type") == "custom"  # from columns that may be any
    if "input_ids" in columns and not is_transformed:
        dataset = dataset.select_columns([name for name in columns if name in _COLUMNS])
    for block in dataset.iter(batch_size=size):
        for values in zip(*block.values()):
            yield dict(zip(block, values))


def _rows(dataset: Any, most: int | None) -> Iterator[Mapping[str, Any]]:
    if type(dataset).__module__.partition(".")[0] == "datasets":
        yield from itertools.islice(_blocks(dataset, min(_BLOCK, most or _BLOCK)), most)
    elif hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
        for i in range(len(dataset)):
            yield dataset[i]
    elif hasattr(dataset, "__iter__"):
        yield from itertools.islice(dataset, most)
    else:
        raise TypeError(f"a data set of type {type(dataset).__name__} has neither rows by number nor an order")


def _numbers(value: Any, what: str) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise TypeError(f"{what} is of type {array.dtype} with {array.ndim} axes: expected a list of integers")
    if array.size and (array.min() < -(1 << 31) or array.max() >= 1 << 31):
        raise InputError(f"{what} has numbers that are no int32")
    return array


def _label_column(row: Mapping[str, Any]) -> str | None:
    return next((name for name in LABELS if row.get(name) is not None), None)


def _no_label(name: str, value: Any, classes: int, what: str) -> InputError:
    """What is wrong with a label that is neither a class nor a number, and what to do."""
    is_number = isinstance(value, (int, float))
    if isinstance(value, str) and classes > 1:
        remedy = f'number the names (datasets: class_encode_column("{name}"))'
    elif isinstance(value, str):
        remedy = "make numbers of texts, or for classes give the model num_labels"
    elif is_number and (value == -1 or not math.isfinite(value)):
        remedy = f'where it says that there is no label, remove the row, or to predict the column (datasets: remove_columns("{name}"))'
    elif is_number and value >= classes:
        remedy = "number classes from 0, and give the model as many labels as there are (num_labels)"
    else:
        remedy = "a label a text is one number"
    return InputError(f"{what}: {name} is {value!r}: expected {f'0 to {classes - 1}' if classes > 1 else 'a number'}; {remedy}")


def _label(row: Mapping[str, Any], classes: int, task: str, what: str) -> float | np.ndarray | None:
    name = _label_column(row)
    if name is None:
        return None
    array = np.asarray(row[name])
    if task == "multi_label":
        if array.shape != (classes,) or array.dtype.kind not in "iubf" or not np.all((array >= 0) & (array <= 1)):
            raise InputError(f"{what}: {name} is {row[name]!r}: expected {classes} numbers from 0 to 1, one for each label")
        return array.astype(np.float32)
    if array.ndim == 1 and array.size == classes > 1:
        raise InputError(f"{what}: {name} has {classes} numbers: for several labels a text set the configuration's problem_type")
    if array.size != 1 or array.dtype.kind not in "iubf":
        raise _no_label(name, row[name], classes, what)
    value = array.item()
    if not math.isfinite(value) or (classes > 1 and (value != int(value) or not 0 <= value < classes)):
        raise _no_label(name, value, classes, what)
    return float(value)


def _tags(row: Mapping[str, Any], mask: np.ndarray, what: str) -> np.ndarray | None:
    """Of the tokens that `mask` keeps. Which classes there are libftc looks at."""
    name = _label_column(row)
    if name is None:
        return None
    classes = _numbers(row[name], f"{what}: {name}")
    if classes.shape != mask.shape:
        counts = f"{len(mask)} input_ids, but {len(classes)} {name}"
        raise InputError(f"{what} has {counts}: each token needs one, {NO_LABEL} for none")
    if np.any(classes[~mask] != NO_LABEL):
        raise InputError(f"{what} has {name} where its attention_mask is 0: make them {NO_LABEL}")
    return classes[mask]


def _attention(row: Mapping[str, Any], tokens: np.ndarray, what: str) -> np.ndarray:
    if row.get("attention_mask") is None:
        return np.ones(tokens.shape, bool)
    mask = np.asarray(row["attention_mask"]).astype(bool)
    if mask.shape != tokens.shape:
        raise InputError(f"{what} has {len(tokens)} input_ids, but an attention_mask of shape {mask.shape}")
    return mask


def pack(
    dataset: Any,
    *,
    name: str,
    classes: int,
    types: bool,
    tokenize: Callable | None,
    task: str = "classification",
    most: int | None = None,
    masks: Masks | None = None,
) -> Examples:
    """Reads `dataset`, called `name` in messages: rows with input_ids (and attention_mask, whose zeros are dropped,
    token_type_ids), or with texts for `tokenize`. `types`: whether the model has any. `most` rows of one without a
    length. `task`: what labels are of; "multi_label": a number for each of the classes, "tokens": a class for each token,
    "mlm": what each masked token was, or where `masks` says how to mask them, none."""
    of_tokens = task in ("tokens", "mlm")
    ids, kinds, labels, kept = [], [], [], []
    texts = None  # the columns that are tokenized
    for i, row in enumerate(_rows(dataset, most)):
        what = f"{name}, example {i}"
        if not isinstance(row, Mapping) and not hasattr(row, "keys"):
            raise TypeError(f"{what} is {type(row).__name__}: expected a dict with input_ids")
        label = None if of_tokens else _label(row, classes, task, what)
        if "input_ids" not in row:
            if of_tokens and not masks and _label_column(row):
                raise InputError(f"{what} has labels, but no input_ids: tokenize it, and give each token its label")
            found = _texts(row, texts, what)
            if texts is None:
                texts = found
                _tell_pair(texts, name)
            row = _tokenized(row, texts, tokenize, what)
        tokens = _numbers(row["input_ids"], f"{what}: input_ids")
        given = row.get("token_type_ids") if types else None
        kind = np.zeros(len(tokens), np.int32) if given is None else _numbers(given, f"{what}: token_type_ids")
        if len(kind) != len(tokens):
            raise InputError(f"{what} has {len(tokens)} input_ids, but {len(kind)} token_type_ids")
        mask = _attention(row, tokens, what)
        if not mask.any():
            raise InputError(f"{what} has no tokens")
        ids.append(tokens[mask])
        kinds.append(kind[mask])
        kept.append(mask)
        labels.append(_tags(row, mask, what) if of_tokens and not masks else label)
        if (labels[i] is None) != (labels[0] is None):
            has, have = ("no label", "have") if labels[i] is None else ("a label", "have none")
            raise InputError(f"{what} has {has}, but those before it {have}: fill it in, or remove the row")
    if not ids:
        raise InputError(f"{name} is empty")
    given = None if labels[0] is None else labels
    examples = Examples(ids, kinds if types else None, given, kept if of_tokens else None)
    examples.masks = masks
    return examples


# What a text is called that needs no second one, and what is half of a pair by its name (as in docs/data.md), as text_pair is.
_TEXTS = ("text", "sentence", "review", "content", "comment", "document", "description")
_HALVES = ("anchor", "query", "question", "premise", "positive", "answer", "passage", "hypothesis", "context")


def _texts(row: Mapping[str, Any], before: list[str] | None, what: str) -> list[str]:
    """The columns of the row's text, or of its two: as in the rows before it, where None is an empty text."""
    if before is not None and all(name in row and (row[name] is None or isinstance(row[name], str)) for name in before):
        found = [key for key in row.keys() if key in before or (isinstance(row[key], str) and key not in LABELS)]
    else:
        found = [key for key in row.keys() if isinstance(row[key], str) and key not in LABELS]
    if not found:
        raise InputError(f"{what} has neither input_ids nor a text; it has {', '.join(map(str, row.keys())) or 'nothing'}")
    if before is not None and sorted(found) == sorted(before):
        return before
    if before is not None:
        raise InputError(f"{what} has texts in {', '.join(found)}, those before it in {', '.join(before)}: make them alike")
    if len(found) > 2:
        raise InputError(f"{what} has the texts {', '.join(found)}: tokenize them, or keep one, or two as a pair")
    return found


def _other_text(texts: list[str]) -> str | None:
    """Of two columns of strings the one that may be no text, as an id beside a text: neither its name nor the other's says so."""
    alone = [name for name in texts if name in _TEXTS]
    others = [name for name in texts if name not in alone]
    if len(alone) != 1 or len(others) != 1 or others[0].startswith((*_HALVES, *_TEXTS)):
        return None
    return others[0]


def _tell_pair(texts: list[str], name: str) -> None:
    other = _other_text(texts)
    if other is not None:
        warnings.warn(
            f"ftc.Trainer: {name}: {' and '.join(texts)} are taken as a pair of texts; if {other} is none, leave it out (datasets: "
            f'remove_columns("{other}"))',
            stacklevel=2,
        )


def _tokenized(row: Mapping[str, Any], texts: list[str], tokenize: Callable | None, what: str) -> Mapping[str, Any]:
    if tokenize is None:
        raise InputError(f"{what} has no input_ids: give the tokenizer as processing_class")
    return tokenize(*(row[text] or "" for text in texts))
