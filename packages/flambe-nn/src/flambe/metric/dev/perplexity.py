"""``Perplexity`` and ``BPC``."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from flambe.metric.metric import Metric

IGNORED = -100
"""The target that torch's cross-entropy leaves out."""


class Perplexity(Metric):
    """exp of the mean cross-entropy in nats; targets of -100 do not count, as in torch. Streams as a sum."""

    lower_is_better = True
    streams: ClassVar[bool] = True

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores (or log-probabilities) ``pred [N, C]`` and classes ``target [N]`` to a number, 0-d."""
        return _cross_entropy(pred, target, "mean").exp()

    def aggregate(self, state: dict[str, Any], pred: Tensor, target: Tensor) -> dict[str, Any]:
        """Add a batch's cross-entropy. Sum and count stay on their device, so a batch costs no synchronisation."""
        total = _cross_entropy(pred.detach(), target, "sum").double()
        # Targets may be probabilities of classes too, [N, C].
        count = target.size(0) if target.is_floating_point() else (target != IGNORED).sum()
        state["sum"] = state["sum"] + total if "sum" in state else total
        state["count"] = state.get("count", 0) + count
        return state

    merge = Metric.merge  # sums

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the perplexity of everything that was added; infinite where exp is, NaN of nothing."""
        mean = self._mean(state)
        try:
            return math.exp(mean)
        except OverflowError:
            return math.inf

    @staticmethod
    def _mean(state: dict[str, Any]) -> float:
        count = int(state.get("count", 0))
        return float(state["sum"]) / count if count else float("nan")


class BPC(Perplexity):
    """Mean cross-entropy in bits: bits per character, when targets are characters."""

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` to a number, 0-d."""
        return _cross_entropy(pred, target, "mean") / math.log(2)

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the bits of everything that was added; NaN of nothing."""
        return self._mean(state) / math.log(2)


def _cross_entropy(pred: Tensor, target: Tensor, reduction: str) -> Tensor:
    # In float32 at least: bfloat16 scores have three digits, and their sum fewer.
    pred = pred.float() if pred.dtype in (torch.bfloat16, torch.float16) else pred
    return torch.nn.functional.cross_entropy(pred, target, reduction=reduction)
