"""Writes tests/golden/labels/scores.txt: what scikit-learn says of made-up scores of several labels a text.

A line a case: texts and labels, the labels of each text, its scores, and accuracy; precision, recall, F1 and the area under
the ROC, each micro and macro.

    make_label_scores.py > tests/golden/labels/scores.txt
"""
import numpy as np
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

random = np.random.default_rng(5)
for n, count, share in ((40, 3, 0.4), (200, 7, 0.1), (9, 1, 0.5), (25, 4, 0.7)):
    truth = (random.random((n, count)) < share).astype(int)
    truth[0], truth[1] = 0, 1  # each label occurs and is missing
    scores = np.round(random.normal(size=(n, count)) + truth, 1)  # some are equal
    if n == 200:
        scores[:, 3] = -1  # a label that nobody is said to have
    said = (scores >= 0).astype(int)
    values = [accuracy_score(truth, said)]
    for average in ("micro", "macro"):
        kind = {"average": average, "zero_division": 0} if count > 1 else {"average": "binary", "zero_division": 0}
        values += list(precision_recall_fscore_support(truth, said, **kind)[:3])
        values.append(roc_auc_score(truth, scores, average=average))
    print(n, count, *truth.flatten(), *scores.flatten(), *("%.17g" % v for v in values))
