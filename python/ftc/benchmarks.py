"""The compiled step beside PyTorch's, on the same weights and the same batch, in turns."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _library as c
from ._contender import NO_LABEL
from ._library import InputError
from ._weights import TASKS

TITLES = {"ftc": "ftc", "eager": "PyTorch eager", "compile": "torch.compile"}
_PAUSE_SECONDS = 0.2  # in which threads that still spin fall asleep
_HEAD = (
    "contender",
    "min",
    "median",
    "speed-up",
    "(medians)",
    "steps",
    "peak RSS",
    "start",
    "loss",
)


@dataclasses.dataclass
class Contender:
    """What was measured of "ftc", "eager" or "compile". `missing`: why nothing was. `step_ms`: every step, in the order of the
    rounds. `loss`: of the batch, without dropout, before the first step. `setup_seconds`: loading, and compiling where ftc
    does. `peak_rss_bytes`: of the whole process."""

    name: str
    missing: str | None = None
    step_ms: list[float] = dataclasses.field(default_factory=list)
    loss: float = float("nan")
    setup_seconds: float = 0.0
    first_step_seconds: float = 0.0
    peak_rss_bytes: int = 0

    @property
    def min_ms(self) -> float:
        return min(self.step_ms)

    @property
    def median_ms(self) -> float:
        return statistics.median(self.step_ms)


@dataclasses.dataclass
class Benchmark:
    """What ftc.benchmark gives: a table where it is printed, in a terminal, a notebook or by rich. Its columns: the shortest
    step and the median, how many times as fast ftc is by the one and the other, the number of steps, the peak memory of the
    process, its start (loading, and compiling or the first step), and the loss before the first step."""

    model: str
    batch: int
    length: int
    threads: int
    contenders: dict[str, Contender]

    def ratio(self, name: str) -> tuple[float, float]:
        """By the shortest steps, and by the medians; above 1 where ftc is faster."""
        one, ftc = self.contenders[name], self.contenders["ftc"]
        if not one.step_ms or not ftc.step_ms:
            return float("nan"), float("nan")
        return one.min_ms / ftc.min_ms, one.median_ms / ftc.median_ms

    def to_dict(self) -> dict[str, Any]:
        """Everything that was measured, for json.dump."""
        return dataclasses.asdict(self)

    @property
    def title(self) -> str:
        return f"{self.model}, {self.batch} × {self.length} tokens, {self.threads} thread{'s' * (self.threads != 1)}"

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells below its head; of a contender that was not measured the reason stands in the second."""
        rows = []
        for one in self.contenders.values():
            if one.missing is not None:
                rows.append((TITLES[one.name], f"not measured: {one.missing}", *[""] * (len(_HEAD) - 2)))
                continue
            ratios = [f"{ratio:.2f}×" if one.name != "ftc" and ratio == ratio else "" for ratio in self.ratio(one.name)]
            start = one.setup_seconds if one.name == "ftc" else one.setup_seconds + one.first_step_seconds
            times = [_duration(one.min_ms), _duration(one.median_ms)]
            rows.append(
                (
                    TITLES[one.name],
                    *times,
                    *ratios,
                    str(len(one.step_ms)),
                    f"{one.peak_rss_bytes / 1e9:.2f} GB",
                    f"{start:.1f} s",
                    f"{one.loss:.4f}",
                )
            )
        return rows

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [_HEAD, ("---", *["--:"] * (len(_HEAD) - 1)), *self.rows()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    def __str__(self) -> str:
        rows = self.rows()
        measured = [_HEAD, *(row for row in rows if not row[1].startswith("not measured"))]
        widths = [max(len(row[i]) for row in measured) for i in range(len(_HEAD))]
        widths[0] = max(len(row[0]) for row in [_HEAD, *rows])
        lines = [self.title]
        for row in [_HEAD, *rows]:
            cells = row if row not in measured else [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            cells = [row[0].ljust(widths[0]), *(cells if row in measured else row[1:2])]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def cells(tag: str, row: Sequence[str]) -> str:
            return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)

        body = "".join(f"<tr>{cells('td', row)}</tr>" for row in self.rows())
        head = f"<caption>{html.escape(self.title)}</caption><thead><tr>{cells('th', _HEAD)}</tr></thead>"
        return f"<table>{head}<tbody>{body}</tbody></table>"

    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table(title=self.title, box=None, padding=(0, 1, 0, 0), pad_edge=False)  # fits into 80 columns
        for i, name in enumerate(_HEAD):
            table.add_column(name, justify="right" if i else "left", no_wrap=True)
        for row in self.rows():
            table.add_row(*row)
        return table


def _duration(ms: float) -> str:
    return f"{ms / 1e3:.2f} s" if ms >= 1e3 else f"{ms:.1f} ms" if ms >= 10 else f"{ms:.2f} ms"


class _Failure(Exception):
    """Of a contender's process, with the reason."""


class _Process:
    """A contender's process; stays until it is closed."""

    def __init__(self, python: str, kind: str, options: str) -> None:
        """`options`: a file of JSON."""
        here = pathlib.Path(__file__).parent
        environment = {**os.environ, "FTC_LIBRARY": os.path.abspath(c.library._name)}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(here.parent), os.environ.get("PYTHONPATH")]))
        self._errors = tempfile.TemporaryFile("w+")
        try:
            self._process = subprocess.Popen(
                [python, str(here / "_contender.py"), kind, options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise _Failure(f"{python}: {error.strerror}") from None

    def read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise _Failure(self.reason())
        return json.loads(line)

    def measure(self, steps: int) -> dict[str, Any]:
        try:
            self._process.stdin.write(f"{steps}\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            pass  # the answer is missing, too
        return self.read()

    def reason(self) -> str:
        """Waits for its end. Why it ended: the last line that it wrote."""
        status = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return lines[-1] if lines and status else f"ended with status {status}"

    def wait(self) -> int:
        return self._process.wait()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def _write(scratch: str, name: str, options: dict[str, Any]) -> str:
    path = pathlib.Path(scratch) / name
    path.write_text(json.dumps(options, default=str))
    return str(path)


def _task_of(model: Any) -> str:
    """What the class of a model says, or that which its configuration names. Only the former can say mlm: others are
    fine-tuned from the latter."""
    if hasattr(model, "named_parameters"):
        names = [type(model).__name__]
    elif isinstance(model, (str, os.PathLike)):
        file = pathlib.Path(model, "config.json")
        names = json.loads(file.read_text()).get("architectures") if file.exists() else None
    else:
        names = model.get("architectures") if isinstance(model, dict) else getattr(model, "architectures", None)
    found = [task for suffix, task in TASKS.items() if names and names[0].endswith(suffix)]
    return found[0] if found and (found[0] != "mlm" or hasattr(model, "named_parameters")) else "classification"


def _prepare(model: Any, kind: str, scratch: str, python: str, needs_torch: bool) -> str:
    """The directory of the model, whose class' name ends with `kind`, with all its weights."""
    directory = os.path.join(scratch, "model")
    if hasattr(model, "save_pretrained") and hasattr(model, "named_parameters"):
        model.save_pretrained(directory)
        return directory
    if hasattr(model, "to_dict"):
        config: Any = model.to_dict()
    elif isinstance(model, dict):
        config = model
    elif isinstance(model, (str, os.PathLike)):
        config = os.fspath(model)
        if not os.path.exists(os.path.join(config, "config.json")):
            raise InputError(f"{config}: there is no config.json in it")
        values = json.loads((pathlib.Path(config) / "config.json").read_text())
        has_weights = any(name.endswith((".safetensors", ".bin", ".index.json")) for name in os.listdir(config))
        has_head = any(one.endswith(kind) for one in values.get("architectures") or [])
        if has_weights and (has_head or not needs_torch):
            return config
        config = config if has_weights else values
    else:
        raise TypeError(f"the model is a {type(model).__name__}: expected a PreTrainedModel, its configuration, or a directory")
    if isinstance(config, dict) and "model_type" not in config:
        raise InputError("the configuration has no model_type")
    asked = {"config": config, "model": directory, "class": kind}
    try:
        process = _Process(python, "make", _write(scratch, "make.json", asked))
    except _Failure as failure:
        raise InputError(f"the model could not be made: {failure}") from None
    try:
        if process.wait():
            raise InputError(f"the model could not be made: {process.reason()}")
    finally:
        process.close()
    return directory


def _batch(config: dict[str, Any], task: str, batch: int, length: int) -> dict[str, Any]:
    """Random tokens, none of them padding, all sequences of full length; random labels, of mlm for every seventh token."""
    rng = np.random.default_rng(0)
    vocab, pad = int(config["vocab_size"]), config.get("pad_token_id")
    known = [i for i in range(vocab) if i != pad]
    classes = len(config.get("id2label") or {}) or int(config.get("num_labels") or 2)
    ids = rng.choice(known, (batch, length))
    if task == "tokens":
        labels = rng.integers(0, classes, (batch, length))
    elif task == "mlm":
        labels = np.where(np.arange(length) % 7 == 1, rng.choice(known, (batch, length)), NO_LABEL)
    elif config.get("problem_type") == "multi_label_classification":
        labels = rng.integers(0, 2, (batch, classes)).astype(float)
    else:
        labels = rng.integers(0, classes, batch) if classes > 1 else rng.random(batch)
    return {"ids": ids.tolist(), "labels": labels.tolist()}


def benchmark(
    model: Any,
    batch: int = 8,
    length: int = 128,
    *,
    task: str | None = None,
    against: Sequence[str] = ("eager", "compile"),
    rounds: int = 3,
    steps: int = 5,
    warmup: int = 2,
    threads: int = 0,
    python: str | None = None,
    **options: Any,
) -> Benchmark:
    """Times a whole training step (forward, backward, AdamW; the configuration's dropout) of ftc, and of PyTorch on the same
    weights and tokens, in turns.

        print(ftc.benchmark(model, batch=8, length=128))

    model: a …ForSequenceClassification, …ForTokenClassification or …ForMaskedLM of transformers, a configuration (an object, or
        a dict with model_type; random weights), or a directory. The model at hand is only read.
    task: "classification", "tokens" (a label a token) or "mlm" (masked tokens); None: as the model's class says, else the first.
    against: of "eager" and "compile" (torch.compile). None: ftc alone, which needs neither torch nor transformers for a
        directory with weights.
    rounds, steps: so many rounds, in each of which every contender makes so many steps, one contender after the other.
    threads: 0: one a processor.
    python: the interpreter that has torch and transformers, where it is not this one.
    options: of ftc.compile, precision="bf16" (PyTorch then runs under autocast), memory="2GB".

    Every contender has a process of its own, which stays from the first round to the last. What is missing or fails is named
    in the table with the reason. Contenders whose losses differ by more than 1 % (bf16: 5 %) before the first step do not
    compute the same: then a RuntimeError tells so.
    """
    against = [against] if isinstance(against, str) else list(against)
    for name in against:
        if name not in TITLES or name == "ftc":
            raise InputError(f'against has {name!r}: there are "eager" and "compile"')
    if batch < 1 or length < 1 or rounds < 1 or steps < 1:
        raise InputError("batch, length, rounds and steps are at least 1")
    task = task or _task_of(model)
    kinds = {of: suffix for suffix, of in TASKS.items()}
    if task not in kinds:
        raise InputError(f"task is {task!r}: there are {', '.join(kinds)}")
    if task != "classification":
        options["task"] = task
    threads = threads or len(os.sched_getaffinity(0))
    python = python or sys.executable
    with tempfile.TemporaryDirectory() as scratch:
        directory = _prepare(model, kinds[task], scratch, python, bool(against))
        config = json.loads((pathlib.Path(directory) / "config.json").read_text())
        asked = {"model": directory, "batch": batch, "length": length, "threads": threads, "warmup": warmup}
        asked |= {"class": kinds[task], "lr": 5e-5, "weight_decay": 0.01, "compile": options}
        asked |= _batch(config, task, batch, length)
        contenders = {name: Contender(name) for name in ["ftc", *dict.fromkeys(against)]}
        _take_turns(contenders, _write(scratch, "options.json", asked), python, rounds, steps)
    name = config.get("_name_or_path") or config.get("model_type", "model")
    result = Benchmark(str(name), batch, length, threads, contenders)
    _compare_losses(result, 0.05 if options.get("precision") == "bf16" else 0.01)
    return result


def _take_turns(contenders: dict[str, Contender], options: str, python: str, rounds: int, steps: int) -> None:
    live: dict[str, _Process] = {}
    try:
        for name, one in contenders.items():  # one after the other: who compiles disturbs nobody
            try:
                live[name] = _Process(sys.executable if name == "ftc" else python, name, options)
                for field, value in live[name].read().items():
                    setattr(one, field, value)
            except _Failure as failure:
                one.missing = str(failure)
        for _ in range(rounds):
            for name, one in contenders.items():
                if one.missing is not None:
                    continue
                time.sleep(_PAUSE_SECONDS)
                try:
                    measured = live[name].measure(steps)
                    one.step_ms += measured["step_ms"]
                    one.peak_rss_bytes = measured["peak_rss_bytes"]
                except _Failure as failure:
                    one.missing = str(failure)
    finally:
        for process in live.values():
            process.close()


def _compare_losses(result: Benchmark, tolerance: float) -> None:
    ftc = result.contenders["ftc"]
    for one in result.contenders.values():
        if one.missing is None and ftc.missing is None and abs(one.loss - ftc.loss) > tolerance * max(abs(ftc.loss), 0.01):
            raise RuntimeError(
                f"{TITLES[one.name]} and ftc do not compute the same: the loss of {result.title} before the first step is "
                f"{one.loss:g}, and {ftc.loss:g}"
            )
