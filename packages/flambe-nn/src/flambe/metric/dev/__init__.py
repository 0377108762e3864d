"""Metrics for validation."""

from flambe.metric.dev.accuracy import Accuracy
from flambe.metric.dev.auc import AUC, MultiClassAUC
from flambe.metric.dev.binary import F1, BinaryAccuracy, BinaryMetric, BinaryPrecision, BinaryRecall
from flambe.metric.dev.perplexity import BPC, Perplexity
from flambe.metric.dev.recall import Recall

__all__ = [
    "AUC",
    "BPC",
    "F1",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryMetric",
    "BinaryPrecision",
    "BinaryRecall",
    "MultiClassAUC",
    "Perplexity",
    "Recall",
]
