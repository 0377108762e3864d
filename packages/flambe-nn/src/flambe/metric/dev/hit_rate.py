"""``HitRate``: base of metrics that say of each example whether it is right. Shapes: N examples, C classes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from flambe.metric.metric import Metric


class HitRate(Metric):
    """Share of examples that ``is_hit`` calls right; NaN of nothing, and where a score is NaN.

    A model that diverged says nothing: the place of its NaN is no prediction, and must not win a search where that happens
    to be the class of most examples.
    """

    streams: ClassVar[bool] = True

    def is_hit(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` to booleans ``[N]``."""
        raise TypeError(f"{type(self).__name__} must implement is_hit(pred, target)")

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` (``[N, 1]`` and one-hot ``[N, C]`` are taken too) to a share, 0-d.

        Raises
        ------
        ValueError: they do not fit, or there is one score an example, which is the matter of binary metrics.
        """
        return self._hits(pred, target).mean().float()

    def aggregate(self, state: dict[str, Any], pred: Tensor, target: Tensor) -> dict[str, Any]:
        """Count hits. The count stays on its device, so a batch costs no synchronisation."""
        hits = self._hits(pred.detach(), target)
        state["hits"] = state["hits"] + hits.sum() if "hits" in state else hits.sum()
        state["count"] = state.get("count", 0) + hits.numel()
        return state

    merge = Metric.merge  # sums

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the share of hits; NaN of nothing."""
        return float(state["hits"]) / state["count"] if state.get("count") else float("nan")

    def _hits(self, pred: Tensor, target: Tensor) -> Tensor:
        if pred.dim() < 2 or pred.size(-1) < 2:
            raise ValueError(
                f"{self} compares scores of classes, [N, C], and pred is {list(pred.shape)}; "
                "for one score an example take BinaryAccuracy, BinaryPrecision, BinaryRecall or F1"
            )
        if target.shape == pred.shape:
            target = target.argmax(dim=-1)
        elif target.shape == (*pred.shape[:-1], 1):
            target = target.squeeze(-1)
        # Other shapes would be broadcast, [N, C] with [1] say, and nobody would be told.
        if target.shape != pred.shape[:-1]:
            raise ValueError(
                f"{self}: pred is {list(pred.shape)} and target {list(target.shape)}; expected a target of {list(pred.shape[:-1])}"
            )
        hits = self.is_hit(pred, target).double()
        return torch.where(pred.isnan().any(dim=-1), math.nan, hits)
