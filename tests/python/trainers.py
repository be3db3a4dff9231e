"""What several tests train on, and how a log is compared with that of transformers."""

import numpy as np
import pytest

LABELS = 5


def make_rows(n, seed):
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        ids = random.integers(5, 100, random.integers(4, 20)).tolist()
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "label": ids[0] % LABELS})
    return rows


def accuracy(prediction):
    scores, labels = prediction
    return {"accuracy": float((scores.argmax(-1) == labels).mean())}


def quiet_arguments(hf, output, **arguments):
    """TrainingArguments of two epochs on the CPU whose every step is logged, unless `arguments` say otherwise."""
    arguments = {
        "learning_rate": 1e-3,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "num_train_epochs": 2,
        "logging_steps": 1,
    } | arguments
    return hf.TrainingArguments(str(output), use_cpu=True, report_to="none", disable_tqdm=True, **arguments)


def assert_same_logs(ours, theirs, accumulation=1, ignored=()):
    ignored = ["runtime", "per_second", "preparation", *ignored]
    if ours.args.max_grad_norm == 0.0:
        ignored.append("grad_norm")  # is not computed where nobody clips
    # Theirs are the sums over micro-batches, though they are documented as means: docs/python.md.
    windows = dict.fromkeys(("loss", "grad_norm", "train_loss"), accumulation)
    assert len(ours.state.log_history) == len(theirs.state.log_history)
    for mine, right in zip(ours.state.log_history, theirs.state.log_history):
        right = {name: value for name, value in right.items() if not any(word in name for word in ignored)}
        mine = {name: value for name, value in mine.items() if not any(word in name for word in ignored)}
        assert set(mine) == set(right)
        for name, value in right.items():
            tolerance = 1e-7 if name == "learning_rate" else 1e-3
            wanted = value / windows.get(name, 1)
            assert mine[name] == pytest.approx(wanted, rel=1e-4, abs=tolerance), (name, right["step"])
