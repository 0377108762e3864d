"""Losses that torch does not have."""

from flambe.metric.loss.multi_label import MultiLabelCrossEntropy, MultiLabelNLLLoss

__all__ = ["MultiLabelCrossEntropy", "MultiLabelNLLLoss"]
