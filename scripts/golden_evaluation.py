"""Writes tests/golden/evaluation.json: the evaluation of a classifier by scikit-learn.

Run from the root of the repository, with numpy and scikit-learn installed (any recent version):

    python scripts/golden_evaluation.py

The classifier is a logistic regression that learned the digits 0 to 6 well and the digit 7 badly. It is evaluated on the
digits 0 to 7. No image belongs to class 8. So there are confusions, and metrics without a value.
"""

import json
import pathlib

import numpy
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

CLASSES = 9
BINS = 15
FILE = pathlib.Path("tests/golden/evaluation.json")


def main():
    digits = load_digits()
    images, labels = digits.data / 16, digits.target
    known = labels < 8
    images, labels = images[known], labels[known]
    # Few images of 7 to learn from, and a penalty that keeps the confidence low.
    learn = numpy.concatenate([numpy.arange(0, 300)[labels[:300] < 7], numpy.flatnonzero(labels == 7)[:2]])
    classifier = LogisticRegression(C=0.01, max_iter=1000).fit(images[learn], labels[learn])
    test = numpy.arange(300, 620)
    logits = numpy.zeros((len(test), CLASSES), dtype=numpy.float32)
    # Class 8 is never predicted. Three decimals are enough to avoid ties.
    logits[:, 8] = -20
    logits[:, :8] = numpy.round(4 * classifier.decision_function(images[test]), 3)
    labels = labels[test]
    shifted = logits.astype(numpy.float64)
    shares = numpy.exp(shifted - shifted.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    predicted = shares.argmax(axis=1)
    confidence = shares.max(axis=1)
    names = list(range(CLASSES))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=names, zero_division=numpy.nan)
    is_correct = (predicted == labels).astype(int)
    curve_accuracy, curve_confidence = calibration_curve(is_correct, confidence, n_bins=BINS)
    bins = numpy.clip(numpy.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = numpy.bincount(bins, minlength=BINS)
    error = float((counts[counts > 0] * abs(curve_accuracy - curve_confidence)).sum() / len(labels))
    none = lambda numbers: [None if numpy.isnan(number) else float(number) for number in numbers]
    FILE.write_text(json.dumps({
        "scikit_learn": __import__("sklearn").__version__,
        "logits": [[round(float(logit), 3) for logit in row] for row in logits],
        "labels": labels.tolist(),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "top_five_accuracy": metrics.top_k_accuracy_score(labels, shares, k=5, labels=names),
        "loss": metrics.log_loss(labels, shares, labels=names),
        "confusion_matrix": metrics.confusion_matrix(labels, predicted, labels=names).tolist(),
        "precision": none(precision), "recall": none(recall), "f1": none(f1), "support": support.tolist(),
        "calibration_accuracy": curve_accuracy.tolist(), "calibration_confidence": curve_confidence.tolist(),
        "expected_calibration_error": error,
    }) + "\n")


if __name__ == "__main__":
    main()
