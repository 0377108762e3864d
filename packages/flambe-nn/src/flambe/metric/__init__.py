"""Metrics and losses. Torch's own losses are used by name: ``!torch.NLLLoss``."""

from flambe.metric.dev.accuracy import Accuracy
from flambe.metric.metric import AverageableMetric, Metric

__all__ = ["Accuracy", "AverageableMetric", "Metric"]
