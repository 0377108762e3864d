"""``Recall``: recall at k."""

from __future__ import annotations

from torch import Tensor

from flambe.metric.dev.hit_rate import HitRate


class Recall(HitRate):
    """Share of examples whose class is among the k highest scores.

    Parameters
    ----------
    top_k: how many scores count.
    """

    def __init__(self, top_k: int = 1) -> None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.top_k = top_k

    def __str__(self) -> str:
        """The name under which it is logged."""
        return f"Recall@{self.top_k}"

    def is_hit(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` to booleans ``[N]``.

        Raises
        ------
        ValueError: there are fewer than ``top_k`` classes.
        """
        if pred.size(-1) < self.top_k:
            raise ValueError(f"top_k is {self.top_k}, but there are {pred.size(-1)} classes")
        return (pred.topk(self.top_k, dim=-1).indices == target.unsqueeze(-1)).any(dim=-1)
