"""Tallies: what is kept of each batch, so that a metric over a whole split needs no synchronisation per batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss


class Tally(Protocol):
    """One metric over many batches."""

    def add(self, pred: Tensor, target: Tensor) -> None:
        """Count one batch."""

    def value(self) -> float:
        """Return the metric over every batch so far. Waits for the device."""

    def state(self) -> Any:
        """Return what was counted so far, as storable values."""

    def load(self, state: Any) -> None:
        """Go on from what ``state`` returned."""


class StreamTally:
    """A metric that streams by itself: it has ``aggregate(state, pred, target)`` and ``finalize(state)``."""

    def __init__(self, metric: Any) -> None:
        self.metric = metric
        self.counted: dict[str, Any] = {}

    def add(self, pred: Tensor, target: Tensor) -> None:
        counted = self.metric.aggregate(self.counted, pred, target)
        if counted is not None:
            self.counted = counted

    def value(self) -> float:
        return float(self.metric.finalize(self.counted))

    def state(self) -> Any:
        return self.counted

    def load(self, state: Any) -> None:
        self.counted = state


class MeanTally:
    """A torch loss with ``reduction='mean'``, as the sum of its sums over the sum of its denominators.

    Exact also where batches count differently: ``ignore_index`` and class weights change the denominator
    (https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html).
    """

    def __init__(self, loss: Any, denominator: Callable[[Any, Tensor, Tensor], Tensor | int]) -> None:
        self.loss = loss
        self.sum_loss = copy.copy(loss)
        self.sum_loss.reduction = "sum"
        self.denominator = denominator
        self.sums: list[Tensor] = []
        self.counts: list[Tensor | int] = []

    def add(self, pred: Tensor, target: Tensor) -> None:
        self.sums.append(self.sum_loss(pred, target).detach())
        self.counts.append(self.denominator(self.loss, pred, target))

    def value(self) -> float:
        # Summed in double precision on the CPU: one transfer, and no GPU lacks the type.
        total = torch.stack(self.sums).cpu().double().sum()
        known: float = sum(count for count in self.counts if isinstance(count, int))
        tensors = [count for count in self.counts if isinstance(count, Tensor)]
        if tensors:
            known += torch.stack(tensors).cpu().double().sum().item()
        return (total / known).item()

    def state(self) -> Any:
        return {"sums": self.sums, "counts": self.counts}

    def load(self, state: Any) -> None:
        self.sums, self.counts = list(state["sums"]), list(state["counts"])


class WholeTally:
    """Any other metric: predictions and targets are kept on the device and joined at the end."""

    def __init__(self, metric: Callable[[Tensor, Tensor], Any]) -> None:
        self.metric = metric
        self.preds: list[Tensor] = []
        self.targets: list[Tensor] = []

    def add(self, pred: Tensor, target: Tensor) -> None:
        self.preds.append(pred.detach())
        self.targets.append(target.detach())

    def value(self) -> float:
        return float(self.metric(torch.cat(self.preds), torch.cat(self.targets)))

    def state(self) -> Any:
        return {"preds": self.preds, "targets": self.targets}

    def load(self, state: Any) -> None:
        self.preds, self.targets = list(state["preds"]), list(state["targets"])


def _per_class(loss: Any, pred: Tensor, target: Tensor) -> Tensor | int:
    if target.is_floating_point():
        # Probabilities of classes: one for each position.
        return pred.numel() // pred.shape[1 if pred.dim() > 1 else 0]
    counted = target != loss.ignore_index
    if loss.weight is not None:
        # No selection by mask: its size would have to be known, and the device waited for.
        return (loss.weight[target.clamp(0, len(loss.weight) - 1)] * counted).sum()
    return counted.sum()


def _per_element(loss: Any, pred: Tensor, target: Tensor) -> int:
    return torch.broadcast_shapes(pred.shape, target.shape).numel()


_DENOMINATORS: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], Tensor | int]] = {
    nn.CrossEntropyLoss: _per_class,
    nn.NLLLoss: _per_class,
    nn.MSELoss: _per_element,
    nn.L1Loss: _per_element,
    nn.SmoothL1Loss: _per_element,
    nn.HuberLoss: _per_element,
    nn.BCELoss: _per_element,
    nn.BCEWithLogitsLoss: _per_element,
}


def tally(metric: Any) -> Tally:
    """Return a fresh tally of a metric: a ``flambe.metric.Metric``, a torch loss, or any function of (pred, target)."""
    if hasattr(metric, "aggregate") and hasattr(metric, "finalize"):
        return StreamTally(metric)
    denominator = _DENOMINATORS.get(type(metric))
    if denominator is not None and metric.reduction == "mean":
        return MeanTally(metric, denominator)
    return WholeTally(metric)


def is_lower_better(metric: Any) -> bool:
    """Whether a metric says of itself that smaller is better; torch losses do."""
    return bool(getattr(metric, "lower_is_better", isinstance(metric, _Loss)))


def metric_label(metric: Any) -> str:
    """Return how a metric is called in log tags: its ``str`` where it has one, else its class or function name."""
    if type(metric).__str__ is not object.__str__:
        return str(metric)
    return getattr(metric, "__name__", type(metric).__name__)


def tally_batches(
    metrics: Iterable[Any], batches: Iterable[Any], predict: Callable[[Any], tuple[Tensor, Tensor]]
) -> list[float]:
    """Return each of ``metrics`` over all ``batches``, where ``predict`` makes (pred, target) of a batch.

    Raises ValueError when there are no batches.
    """
    tallies = [tally(metric) for metric in metrics]
    empty = True
    for batch in batches:
        pred, target = predict(batch)
        empty = False
        for one in tallies:
            one.add(pred, target)
    if empty:
        raise ValueError("there is no batch to evaluate: the split is empty, or smaller than one batch of drop_last")
    return [one.value() for one in tallies]
