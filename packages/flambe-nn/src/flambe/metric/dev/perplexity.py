"""``Perplexity`` and ``BPC``."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from flambe.metric.metric import Metric


class Perplexity(Metric):
    """exp of the mean cross-entropy in nats. Streams as a sum."""

    lower_is_better = True
    streams: ClassVar[bool] = True

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores (or log-probabilities) ``pred [N, C]`` and classes ``target [N]`` to a number, 0-d."""
        return torch.nn.functional.cross_entropy(pred, target).exp()

    def aggregate(self, state: dict[str, Any], pred: Tensor, target: Tensor) -> dict[str, Any]:
        """Add a batch's cross-entropy."""
        total = torch.nn.functional.cross_entropy(pred.detach(), target, reduction="sum").double()
        state["sum"] = state["sum"] + total if "sum" in state else total
        state["count"] = state.get("count", 0) + target.numel()
        return state

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the perplexity of everything that was added; NaN of nothing."""
        return math.exp(self._mean(state))

    @staticmethod
    def _mean(state: dict[str, Any]) -> float:
        return float(state["sum"]) / state["count"] if state.get("count") else float("nan")


class BPC(Perplexity):
    """Mean cross-entropy in bits: bits per character, when targets are characters."""

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` to a number, 0-d."""
        return torch.nn.functional.cross_entropy(pred, target) / math.log(2)

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the bits of everything that was added; NaN of nothing."""
        return self._mean(state) / math.log(2)
