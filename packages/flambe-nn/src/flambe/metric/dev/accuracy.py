"""``Accuracy``."""

from __future__ import annotations

from torch import Tensor

from flambe.metric.dev.hit_rate import HitRate


class Accuracy(HitRate):
    """Share of examples whose highest score is at the target class."""

    def is_hit(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` to booleans ``[N]``."""
        return pred.argmax(dim=-1) == target
