"""Tallies: what is kept of each batch, so that a metric over a whole split needs no synchronisation per batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from flambe.metric.metric import number_of


class Tally(Protocol):
    """One metric over many batches. can_merge: whether what several of them counted can be put together."""

    @property
    def can_merge(self) -> bool: ...

    def add(self, pred: Tensor, target: Tensor) -> None:
        """Count one batch."""

    def value(self) -> float:
        """Return the metric over every batch so far. Waits for the device."""

    def state(self) -> Any:
        """Return what was counted so far, as storable values."""

    def load(self, state: Any) -> None:
        """Go on from what ``state`` returned."""

    def merge(self, state: Any) -> None:
        """Add what another one counted of the batches that come next."""


class StreamTally:
    """A metric that streams by itself: it has ``aggregate(state, pred, target)`` and ``finalize(state)``.

    Where the class of its ``aggregate`` has ``merge(state, other)`` too, several processes can share the batches.
    """

    def __init__(self, metric: Any) -> None:
        self.metric = metric
        self.counted: dict[str, Any] = {}
        # A merge that was inherited past the aggregate it belongs to says nothing.
        first = next((one for one in type(metric).__mro__ if {"aggregate", "merge"} & vars(one).keys()), type(metric))
        self.can_merge = "merge" in vars(first)

    def add(self, pred: Tensor, target: Tensor) -> None:
        counted = self.metric.aggregate(self.counted, pred, target)
        if counted is not None:
            self.counted = counted

    def value(self) -> float:
        return number_of(self.metric, self.metric.finalize(self.counted))

    def state(self) -> Any:
        return self.counted

    def load(self, state: Any) -> None:
        self.counted = state

    def merge(self, state: Any) -> None:
        self.counted = self.metric.merge(self.counted, state)


class MeanTally:
    """A torch loss with ``reduction='mean'``, as the sum of its sums over the sum of its denominators.

    Exact also where batches count differently: ``ignore_index`` and class weights change the denominator
    (https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html).
    """

    can_merge = True

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

    def merge(self, state: Any) -> None:
        self.sums += state["sums"]
        self.counts += state["counts"]


class WholeTally:
    """Any other metric: predictions and targets are kept on the device and joined at the end."""

    can_merge = True

    def __init__(self, metric: Callable[[Tensor, Tensor], Any]) -> None:
        self.metric = metric
        self.preds: list[Tensor] = []
        self.targets: list[Tensor] = []

    def add(self, pred: Tensor, target: Tensor) -> None:
        self.preds.append(pred.detach())
        self.targets.append(target.detach())

    def value(self) -> float:
        return number_of(self.metric, self.metric(torch.cat(self.preds), torch.cat(self.targets)))

    def state(self) -> Any:
        return {"preds": self.preds, "targets": self.targets}

    def load(self, state: Any) -> None:
        self.preds, self.targets = list(state["preds"]), list(state["targets"])

    def merge(self, state: Any) -> None:
        self.preds += state["preds"]
        self.targets += state["targets"]


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
