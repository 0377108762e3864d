"""Metrics for validation."""

from flambe.metric.dev.accuracy import Accuracy

__all__ = ["Accuracy"]
