"""``Recall``: recall at k."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from flambe.metric.metric import Metric


class Recall(Metric):
    """Share of examples whose class is among the k highest scores.

    Parameters
    ----------
    top_k: how many scores count.
    """

    streams: ClassVar[bool] = True

    def __init__(self, top_k: int = 1) -> None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.top_k = top_k

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` to a share, 0-d; NaN of nothing.

        Raises
        ------
        ValueError: there are fewer than ``top_k`` classes.
        """
        return self._hits(pred, target).double().mean().float()

    def aggregate(self, state: dict[str, Any], pred: Tensor, target: Tensor) -> dict[str, Any]:
        """Count hits. The count stays on its device, so a batch costs no synchronisation."""
        hits = self._hits(pred.detach(), target)
        state["hits"] = state["hits"] + hits.sum() if "hits" in state else hits.sum()
        state["count"] = state.get("count", 0) + hits.numel()
        return state

    def finalize(self, state: dict[str, Any]) -> float:
        """Return the share of hits; NaN of nothing."""
        return int(state["hits"]) / state["count"] if state.get("count") else float("nan")

    def __str__(self) -> str:
        """The name under which it is logged."""
        return f"Recall@{self.top_k}"

    def _hits(self, pred: Tensor, target: Tensor) -> Tensor:
        if pred.size(-1) < self.top_k:
            raise ValueError(f"top_k is {self.top_k}, but there are {pred.size(-1)} classes")
        return (pred.topk(self.top_k, dim=-1).indices == target.unsqueeze(-1)).any(dim=-1)
