"""``Accuracy``."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from flambe.metric.metric import Metric


class Accuracy(Metric):
    """Share of examples whose highest score is at the target class."""

    streams: ClassVar[bool] = True

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` (or one-hot ``[N, C]``) to a share, 0-d; NaN of nothing."""
        return self._hits(pred, target).double().mean().float()

    def aggregate(self, state: dict[str, Any], pred: Tensor, target: Tensor) -> dict[str, Any]:
        """Count hits. The count stays on its device, so a batch costs no synchronisation."""
        hits = self._hits(pred.detach(), target)
        total = hits.sum()
        state["hits"] = state["hits"] + total if "hits" in state else total
        state["count"] = state.get("count", 0) + hits.numel()
        return state

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the share of hits; NaN of nothing."""
        return int(state["hits"]) / state["count"] if state.get("count") else float("nan")

    @staticmethod
    def _hits(pred: Tensor, target: Tensor) -> Tensor:
        if target.dim() == pred.dim() and target.dim() > 1:
            target = target.argmax(dim=-1)
        return pred.argmax(dim=-1) == target
