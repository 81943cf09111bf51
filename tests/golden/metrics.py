#!/usr/bin/env python3
"""Writes metrics.json: accuracy, balanced accuracy, F1 and reports by class, from scikit-learn.

    pip install scikit-learn
    python3 tests/golden/metrics.py

A case has a confusion matrix `counts` [classes, classes], class `names`, and what scikit-learn makes of its labels:
accuracy_score, balanced_accuracy_score, f1_score with average="macro" and zero_division=0, and classification_report with three
digits and zero_division=0, of the classes that are a target or predicted. `present` are the classes with targets, `balanced`
their compute_class_weight("balanced").
"""

import json
import pathlib
import random
import warnings

import numpy as np
import sklearn
from sklearn.metrics import accuracy_score, balanced_accuracy_score, classification_report, f1_score
from sklearn.utils.class_weight import compute_class_weight

warnings.simplefilter("ignore")


def case(name, counts, names):
    classes = len(names)
    pairs = [(i // classes, i % classes) for i, count in enumerate(counts) for _ in range(count)]
    truth, predicted = [p[0] for p in pairs], [p[1] for p in pairs]
    seen = sorted(set(truth) | set(predicted))
    present = sorted(set(truth))
    report = classification_report(truth, predicted, target_names=[names[c] for c in seen], digits=3, zero_division=0)
    return {
        "name": name, "names": names, "counts": counts, "accuracy": accuracy_score(truth, predicted),
        "balanced_accuracy": balanced_accuracy_score(truth, predicted),
        "macro_f1": f1_score(truth, predicted, average="macro", zero_division=0), "report": report,
        "present": present, "balanced": compute_class_weight("balanced", classes=np.array(present), y=truth).tolist(),
    }  # fmt: skip


draw = random.Random(1)
animals = ["cat", "dog", "bird", "fish"]
cases = [
    case("animals", [5, 1, 0, 0, 2, 4, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0], animals),
    case("one class", [3], ["only"]),
    case("never right", [0, 7, 0, 0, 5, 0, 1, 1, 0], ["a", "b", "a name of some length"]),
    case("a class that is nowhere", [40, 0, 2, 0, 0, 0, 1, 0, 1], ["common", "none", "rare"]),
]
for classes in (2, 5, 12):
    counts = [draw.choice([0, 0, 1, 2, 9]) + (draw.randrange(60) if i % (classes + 1) == 0 else 0) for i in range(classes**2)]
    cases.append(case(f"{classes} classes", counts, [f"class {c}" for c in range(classes)]))

if __name__ == "__main__":
    head = f'{{"sklearn":"{sklearn.__version__}","cases":[\n'
    lines = (json.dumps(case, separators=(",", ":")) for case in cases)
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(head + ",\n".join(lines) + "\n]}\n")
