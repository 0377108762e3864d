"""Metrics and losses. Torch's own losses are used by name: ``!torch.NLLLoss``."""

from flambe.metric.dev import (
    AUC,
    BPC,
    F1,
    Accuracy,
    BinaryAccuracy,
    BinaryMetric,
    BinaryPrecision,
    BinaryRecall,
    MultiClassAUC,
    Perplexity,
    Recall,
)
from flambe.metric.loss import MultiLabelCrossEntropy, MultiLabelNLLLoss
from flambe.metric.metric import AverageableMetric, Metric

__all__ = [
    "AUC",
    "BPC",
    "F1",
    "Accuracy",
    "AverageableMetric",
    "BinaryAccuracy",
    "BinaryMetric",
    "BinaryPrecision",
    "BinaryRecall",
    "Metric",
    "MultiClassAUC",
    "MultiLabelCrossEntropy",
    "MultiLabelNLLLoss",
    "Perplexity",
    "Recall",
]
