"""Cosine distance and mean."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.distance.distance import DistanceModule, MeanModule


class CosineDistance(DistanceModule):
    """One minus the cosine.

    Parameters
    ----------
    eps: smallest denominator, so that a vector of zeros has distance 1 to all.
    """

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, mat_1: Tensor, mat_2: Tensor) -> Tensor:
        """``[n1, d]`` and ``[n2, d]`` to ``[n1, n2]``."""
        norms = torch.linalg.vector_norm(mat_1, dim=1).unsqueeze(1) * torch.linalg.vector_norm(mat_2, dim=1)
        return 1 - mat_1 @ mat_2.T / norms.clamp(min=self.eps)


class CosineMean(MeanModule):
    """Mean of the vectors, each brought to length 1."""

    def mean(self, data: Tensor) -> Tensor:
        """``[n, d]`` to ``[d]``."""
        return torch.nn.functional.normalize(data, dim=1).mean(dim=0)
