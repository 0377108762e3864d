"""Metrics of two classes. Shapes: N examples."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from flambe.metric.metric import Metric


class BinaryMetric(Metric):
    """Base of metrics of two classes, on thresholded probabilities of class 1.

    Class 1 is the second label of a ``LabelField``, which numbers labels by first appearance unless its ``labels`` says the order.

    It streams: ``compute_binary`` depends on four counts alone (predicted × true), and those are what is kept. A
    probability that is NaN makes the metric NaN: it is on neither side of the threshold.

    Parameters
    ----------
    threshold: a probability above it is class 1.
    """

    streams: ClassVar[bool] = True

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Probabilities ``pred [N]`` and classes ``target [N]`` (0 or 1; ``[N, 1]`` is taken too) to a number, 0-d.

        Raises
        ------
        ValueError: they are not of one size.
        """
        value = self.compute_binary(*self._flat(pred, target))
        return torch.where(pred.isnan().any(), math.nan, value)

    def compute_binary(self, pred: Tensor, target: Tensor) -> Tensor:
        """Classes ``pred [N]`` and ``target [N]``, both boolean, to a number, 0-d."""
        raise TypeError(f"{type(self).__name__} must implement compute_binary(pred, target)")

    def aggregate(self, state: dict[str, Any], pred: Tensor, target: Tensor) -> dict[str, Any]:
        """Count a batch. The counts stay on their device, so a batch costs no synchronisation."""
        predicted, true = self._flat(pred.detach(), target)
        counts = torch.stack([(predicted == p).logical_and(true == t).sum() for p in (0, 1) for t in (0, 1)]).double()
        counts = torch.where(pred.isnan().any(), math.nan, counts)
        state["counts"] = state["counts"] + counts if "counts" in state else counts
        return state

    merge = Metric.merge  # sums

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the metric of everything that was counted."""
        counts = state["counts"].cpu() if state else torch.zeros(4)
        if counts.isnan().any():
            return float("nan")
        kinds = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.bool)
        pairs = kinds.repeat_interleave(counts.long(), dim=0)
        return float(self.compute_binary(pairs[:, 0], pairs[:, 1]))

    def _flat(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        # Of [N, 1] and [N] a comparison would make [N, N] and never say so.
        check_binary(self, pred, target)
        return pred.reshape(-1) > self.threshold, target.reshape(-1).bool()


class BinaryAccuracy(BinaryMetric):
    """Share of right classes, of two, by the probability of class 1; 0 of nothing. ``Accuracy`` is that of any number of classes."""

    def compute_binary(self, pred: Tensor, target: Tensor) -> Tensor:
        """``[N]`` and ``[N]`` to a share."""
        return _share((pred == target).sum(), pred.numel())


class _OneClass(BinaryMetric):
    """Looks at one of the classes.

    Parameters
    ----------
    threshold: a probability above it is class 1.
    positive_label: the class that is looked at, 0 or 1: the id of its label. A ``LabelField`` numbers labels by first appearance;
        ``labels: ['0', '1']`` fixes the order.
    """

    def __init__(self, threshold: float = 0.5, positive_label: Literal[0, 1] = 1) -> None:
        super().__init__(threshold)
        if positive_label not in (0, 1):
            raise ValueError(f"positive_label must be 0 or 1, got {positive_label}")
        self.positive_label = positive_label

    def __str__(self) -> str:
        """The name under which it is logged."""
        return f"{'Positive' if self.positive_label == 1 else 'Negative'}{type(self).__name__}"

    def _of_label(self, values: Tensor) -> Tensor:
        return values.bool() == bool(self.positive_label)


class BinaryPrecision(_OneClass):
    """Precision, of two classes: of what was predicted ``positive_label``, the share that is; 0 when nothing was."""

    def compute_binary(self, pred: Tensor, target: Tensor) -> Tensor:
        """``[N]`` and ``[N]`` to a share."""
        predicted = self._of_label(pred)
        return _share((predicted & self._of_label(target)).sum(), predicted.sum())


class BinaryRecall(_OneClass):
    """Recall, of two classes: of what is ``positive_label``, the share that was predicted so; 0 when nothing is."""

    def compute_binary(self, pred: Tensor, target: Tensor) -> Tensor:
        """``[N]`` and ``[N]`` to a share."""
        true = self._of_label(target)
        return _share((self._of_label(pred) & true).sum(), true.sum())


class F1(_OneClass):
    """Harmonic mean of precision and recall for ``positive_label``, one of two classes; 0 when both are.

    Parameters
    ----------
    eps: smallest denominator.
    """

    def __init__(self, threshold: float = 0.5, positive_label: Literal[0, 1] = 1, eps: float = 1e-8) -> None:
        super().__init__(threshold, positive_label)
        self.eps = eps

    def compute_binary(self, pred: Tensor, target: Tensor) -> Tensor:
        """``[N]`` and ``[N]`` to a number in [0, 1]."""
        predicted, true = self._of_label(pred), self._of_label(target)
        hits = (predicted & true).sum().float()
        return 2 * hits / (predicted.sum() + true.sum()).float().clamp(min=self.eps)


def check_binary(metric: Metric, pred: Tensor, target: Tensor) -> None:
    """Raise ValueError, which names ``metric``, unless there is one prediction for each target."""
    if pred.numel() == target.numel():
        return
    shapes = f"pred is {list(pred.shape)} and target {list(target.shape)}"
    if pred.dim() == 2 and len(pred) == len(target):
        raise ValueError(
            f"{metric} is a metric of two classes and takes one score an example, that of class 1: {shapes}; "
            "of several classes there are Accuracy, Recall and MultiClassAUC"
        )
    raise ValueError(f"{metric}: {shapes}; expected one score for each target")


def _share(part: Tensor, whole: Tensor | int) -> Tensor:
    return part.float() / torch.as_tensor(whole, device=part.device).float().clamp(min=1)
