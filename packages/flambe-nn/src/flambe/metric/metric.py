"""``Metric``: a number from predictions and targets."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from flambe.build.component import Component


class Metric(Component):
    """Base of metrics (and of losses that are our own).

    A metric is used whole, ``metric(pred, target)``, or in a stream:

        state = {}
        for pred, target in batches:
            metric.aggregate(state, pred, target)
        value = metric.finalize(state)

    The stream gives what the whole would give. This base keeps all predictions for it, on the CPU; a metric that
    can do with less overrides both.

    Class attributes
    ----------------
    lower_is_better: which direction is good. A component of its own reads it, so a search need not be told.
    streams: whether ``aggregate`` keeps sums rather than predictions.
    """

    lower_is_better: bool = False
    streams: ClassVar[bool] = False

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the metric of a whole data set as a 0-d tensor."""
        raise TypeError(f"{type(self).__name__} must implement compute(pred, target)")

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Call ``compute``."""
        return self.compute(*args, **kwargs)

    def aggregate(self, state: dict[str, Any], pred: Tensor, target: Tensor) -> dict[str, Any]:
        """Add a batch to ``state``, which begins as an empty dict. Returns it."""
        state.setdefault("pred", []).append(pred.detach().cpu())
        state.setdefault("target", []).append(target.detach().cpu())
        return state

    def merge(self, state: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        """Add to ``state`` what ``other`` has of the batches that came next. Returns it.

        Sums are added and lists joined: as if ``state`` had been given those batches too. A class with an ``aggregate`` of its own
        says here how its states are put together (``merge = Metric.merge`` if so); without, nobody does it.
        """
        return {**state, **{key: state[key] + value if key in state else value for key, value in other.items()}}

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the metric of everything that was aggregated; NaN of nothing."""
        if not state:
            return float("nan")
        return number_of(self, self.compute(torch.cat(state["pred"]), torch.cat(state["target"])))

    def __str__(self) -> str:
        """The name under which it is logged."""
        return type(self).__name__


class NoNumber(TypeError):
    """A metric gave something else than one number. gave: what, in words; expected: what else."""

    def __init__(self, name: str, gave: str, expected: str) -> None:
        super().__init__(f"{name} gives {gave}; expected {expected}")
        self.gave = gave
        self.expected = expected


def number_of(metric: Any, value: Any) -> float:
    """Return what a metric gave as a number. Raises ``NoNumber``, which names the metric."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        name = str(metric) if isinstance(metric, Metric) else getattr(metric, "__name__", type(metric).__name__)
        gave = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        remedy = ": reduction: mean" if getattr(metric, "reduction", None) == "none" else ""
        raise NoNumber(name, gave, f"one number for all examples{remedy}") from error


class AverageableMetric(Metric):
    """A metric of a data set that is the mean over its examples: it streams as a weighted sum.

    The sum stays a tensor on its device until ``finalize``, so a batch costs no synchronisation.
    """

    streams: ClassVar[bool] = True

    def aggregate(self, state: dict[str, Any], pred: Tensor, target: Tensor) -> dict[str, Any]:
        """Add a batch's mean, weighted by its examples. An empty batch, whose mean is NaN, adds nothing."""
        count = pred.size(0)
        if count == 0:
            return state
        # Sums in double precision: the mean over a large set must not depend on how it was cut.
        total = self.compute(pred, target).detach().double() * count
        state["sum"] = state["sum"] + total if "sum" in state else total
        state["count"] = state.get("count", 0) + count
        return state

    merge = Metric.merge  # sums

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the weighted mean; NaN of nothing."""
        return float(state["sum"] / state["count"]) if state.get("count") else float("nan")
