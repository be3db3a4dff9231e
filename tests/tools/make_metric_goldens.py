#!/usr/bin/env python3
"""Writes tests/golden/metrics.json: labels and logits, and what scikit-learn says of them.

    python tests/tools/make_metric_goldens.py            # with numpy and scikit-learn

Logits are rounded to eighths, so that some are equal. scikit-learn has no area under the ROC of several classes where
one of them does not occur; there ftc takes the mean over those that do.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.metrics import classification_report, roc_auc_score

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden/metrics.json"


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def roc_auc(labels, logits):
    classes = logits.shape[1]
    if classes == 2:
        return roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    if len(set(labels)) == classes:
        return roc_auc_score(labels, softmax(logits), multi_class="ovr", average="macro")
    occurring = sorted(set(labels))
    return np.mean([roc_auc_score(labels == k, softmax(logits)[:, k]) for k in occurring])


def case(name, classes, n, leave_out=0, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes - leave_out, n)
    logits = random.normal(size=(n, classes))
    logits[np.arange(n), labels] += random.normal(0.8, 1, n)
    logits = np.round(logits * 8) / 8
    report = classification_report(
        labels, logits.argmax(1), labels=range(classes), output_dict=True, zero_division=0, digits=17
    )
    occurring = sorted(set(labels) | set(logits.argmax(1)))
    averages = classification_report(labels, logits.argmax(1), labels=occurring, output_dict=True, zero_division=0)
    row = lambda r: [r["precision"], r["recall"], r["f1-score"], r["support"]]  # noqa: E731
    return {
        "name": name,
        "classes": classes,
        "labels": labels.tolist(),
        "logits": logits.ravel().tolist(),
        "roc_auc": roc_auc(labels, logits),
        "report": [row(report[str(k)]) for k in range(classes)],
        "macro": row(averages["macro avg"]),
        "weighted": row(averages["weighted avg"]),
    }


def main():
    cases = [
        case("two classes", 2, 40, seed=1),
        case("three classes", 3, 30, seed=2),
        case("five classes", 5, 60, seed=3),
        case("five classes, two of which do not occur", 5, 25, leave_out=2, seed=4),
        case("fifty classes", 50, 120, leave_out=3, seed=5),
    ]
    made = f"tests/tools/make_metric_goldens.py, scikit-learn {sklearn.__version__}"
    lines = ",\n".join(" " + json.dumps(c) for c in cases)
    GOLDEN.write_text(f'{{"made_by": {json.dumps(made)}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
