"""The progress and the results of a training in Jupyter, as HTML: what transformers shows there, for those who do not have it."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Sequence
from typing import Any

from ._callbacks import TrainerCallback

_REFRESH_SECONDS = 0.2
# What is measured beside the metrics, and not shown.
_SPEEDS = ("runtime", "samples_per_second", "steps_per_second")


def is_at_hand() -> bool:
    """Whether this is Jupyter's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table."""

    def line(tag: str, cells: Sequence[Any]) -> str:
        texts = (f"{cell:.6f}" if isinstance(cell, float) else str(cell) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<table border="1" class="dataframe"><thead>{line("th", head)}</thead><tbody>{body}</tbody></table>'


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


class NotebookProgressCallback(TrainerCallback):
    """A bar, and below it a line for each evaluation, or for each log where there are none."""

    def __init__(self) -> None:
        self._shown: Any = None  # the output that is updated, while there is a training
        self._columns: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._evaluated = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        from IPython.display import HTML, display

        self._start, self._updated, self._done = time.monotonic(), 0.0, state.global_step
        self._rows = []
        self._columns = ["Epoch" if args.eval_strategy == "epoch" else "Step", "Training Loss"]
        if args.eval_strategy != "no":
            self._columns.append("Validation Loss")
        self._shown = display(HTML(self._page(state)), display_id=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if time.monotonic() - self._updated >= _REFRESH_SECONDS:
            self._show(state)

    def on_prediction_step(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any) -> None:
        self._evaluated += 1
        if self._shown is not None and time.monotonic() - self._updated >= _REFRESH_SECONDS:
            self._show(state, f"evaluating, {self._evaluated}/{len(eval_dataloader)}")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if args.eval_strategy == "no" and "loss" in logs and self._shown is not None:
            self._add({"Step": state.global_step, "Training Loss": logs["loss"]})
            self._show(state)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        self._evaluated = 0
        training_loss = next((line["loss"] for line in reversed(state.log_history) if "loss" in line), "No log")
        epoch = int(state.epoch) if state.epoch == int(state.epoch) else state.epoch
        row = {"Epoch": epoch} if args.eval_strategy == "epoch" else {"Step": state.global_step}
        row |= {"Training Loss": training_loss}
        for key, value in metrics.items():
            _, _, name = key.partition("_")
            if name and not name.endswith(_SPEEDS):
                title = " ".join(part.capitalize() for part in name.split("_"))
                row["Validation Loss" if title == "Loss" else title] = value
        if self._shown is None:
            from IPython.display import HTML, display

            display(HTML(table(list(row), [list(row.values())])))
            return
        self._add(row)
        self._show(state)

    def on_predict(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._evaluated = 0

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._show(state)
        self._shown = None

    def _add(self, row: dict[str, Any]) -> None:
        self._columns += [name for name in row if name not in self._columns]
        first = self._columns[0]
        if self._rows and self._rows[-1].get(first) == row[first]:
            self._rows[-1] |= row
        else:
            self._rows.append(row)

    def _show(self, state: Any, doing: str = "") -> None:
        from IPython.display import HTML

        if self._shown is not None:
            self._updated = time.monotonic()
            self._shown.update(HTML(self._page(state, doing)))

    def _page(self, state: Any, doing: str = "") -> str:
        step, total, seconds = state.global_step, state.max_steps, time.monotonic() - self._start
        label = f"{step}/{total} {_duration(seconds)}"
        if step > self._done:
            each = seconds / (step - self._done)
            label += f" &lt; {_duration(each * (total - step))}, {1 / each:.2f} it/s"
        epoch = f", Epoch {state.epoch:.2f}/{state.num_train_epochs}" + (f", {doing}" if doing else "")
        bar = f"<progress value='{step}' max='{total}' style='width:300px; height:20px; vertical-align: middle;'></progress>"
        rows = [[row.get(name, "No log") for name in self._columns] for row in self._rows]
        return f"<div>{bar} [{label}{epoch}]</div>" + (table(self._columns, rows) if rows else "")
