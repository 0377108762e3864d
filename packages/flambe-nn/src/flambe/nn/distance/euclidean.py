"""Euclidean distance and mean."""

from __future__ import annotations

from torch import Tensor

from flambe.nn.distance.distance import DistanceModule, MeanModule


class EuclideanDistance(DistanceModule):
    """Squared Euclidean distance."""

    def forward(self, mat_1: Tensor, mat_2: Tensor) -> Tensor:
        """``[n1, d]`` and ``[n2, d]`` to ``[n1, n2]``."""
        # The expanded square would need no [n1, n2, d], but loses all digits where points are close.
        return (mat_1.unsqueeze(1) - mat_2.unsqueeze(0)).square().sum(dim=2)


class EuclideanMean(MeanModule):
    """Arithmetic mean."""

    def mean(self, data: Tensor) -> Tensor:
        """``[n, d]`` to ``[d]``."""
        return data.mean(dim=0)
