"""Cross-entropy against several labels at once. Shapes: N examples, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from flambe.metric.metric import Metric

Reduction = Literal["mean", "sum", "none"]


class MultiLabelNLLLoss(Metric):
    """Cross-entropy of log-probabilities with the labels of an example, each of the same weight.

    Parameters
    ----------
    weight: of each class, ``[C]`` (``dataset.label.label_inv_freq``).
    ignore_index: class that does not count as a label.
    reduction: ``mean`` or ``sum`` over examples, or None for one number an example.
    """

    lower_is_better = True

    def __init__(
        self,
        weight: Tensor | Sequence[float] | None = None,
        ignore_index: int | None = None,
        reduction: Reduction | None = "mean",
    ) -> None:
        if reduction not in ("mean", "sum", None, "none"):
            raise ValueError(f"reduction must be mean, sum or null, got {reduction!r}")
        self.weight = None if weight is None else torch.as_tensor(weight)
        self.ignore_index = ignore_index
        self.reduction = None if reduction == "none" else reduction

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities ``pred [N, C]`` and 0/1 ``target [N, C]`` to a number, 0-d; ``[N]`` without reduction.

        An example without labels costs nothing. ``target`` is left as it is.
        """
        share = target.to(pred.dtype)
        if self.ignore_index is not None:
            keep = torch.ones(share.size(1), dtype=share.dtype, device=share.device)
            keep[self.ignore_index] = 0
            share = share * keep
        share = share / share.sum(dim=1, keepdim=True).clamp(min=1e-12)
        if self.weight is not None:
            share = share * self.weight.to(share)
        # Where no label is, -inf (a probability of 0) must not make 0 · -inf = NaN.
        loss = -torch.where(share > 0, share * pred, share.new_zeros(())).sum(dim=1)  # [N]
        if self.reduction == "mean":
            return loss.mean()
        return loss.sum() if self.reduction == "sum" else loss


class MultiLabelCrossEntropy(MultiLabelNLLLoss):
    """The same on scores (logits)."""

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and 0/1 ``target [N, C]`` to a number, 0-d; ``[N]`` without reduction."""
        return super().compute(pred.log_softmax(dim=1), target)
