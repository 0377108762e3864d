"""Bases: distances between points, and means of points."""

from __future__ import annotations

from torch import Tensor

from flambe.nn.module import Module


class DistanceModule(Module):
    """Distance of every point of one set to every point of another."""

    def forward(self, mat_1: Tensor, mat_2: Tensor) -> Tensor:
        """Points ``mat_1 [n1, d]`` and ``mat_2 [n2, d]`` to distances ``[n1, n2]``."""
        raise TypeError(f"{type(self).__name__} must implement forward(mat_1, mat_2)")


class MeanModule(Module):
    """Mean point of a set.

    Parameters
    ----------
    detach_mean: let no gradient through the mean.
    """

    def __init__(self, detach_mean: bool = False) -> None:
        super().__init__()
        self.detach_mean = detach_mean

    def forward(self, data: Tensor) -> Tensor:
        """Points ``data [n, d]`` to their mean ``[d]``."""
        mean = self.mean(data)
        return mean.detach() if self.detach_mean else mean

    def mean(self, data: Tensor) -> Tensor:
        """Points ``[n, d]`` to their mean ``[d]``."""
        raise TypeError(f"{type(self).__name__} must implement mean(data)")
