"""Distance and mean in hyperbolic space, on the upper sheet of the hyperboloid (Lorentz model).

A point of ``R^d`` is lifted to ``(sqrt(1 + |x|²), x)`` in ``R^(d+1)``; there the Minkowski product of a point with itself
is -1. See Nickel and Kiela 2018, https://arxiv.org/abs/1806.03417, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.distance.distance import DistanceModule, MeanModule

EPSILON = 1e-6
STEPS_IN_TRAINING = 5
STEPS = 100


def arccosh(x: Tensor) -> Tensor:
    """Inverse of cosh, for ``x >= 1``; slightly below 1 (by rounding) counts as 1. Its gradient is finite everywhere."""
    # arccosh(1 + e) = log1p(e + sqrt(e (2 + e))) keeps its digits where 1 + e is almost 1.
    excess = (x - 1).clamp(min=0)
    root = torch.sqrt((excess * (excess + 2)).clamp(min=EPSILON**2))
    return torch.where(excess > 0, torch.log1p(excess + root), torch.zeros_like(x))


def mdot(x: Tensor, y: Tensor) -> Tensor:
    """Minkowski product over the last dimension: the first coordinate counts negative."""
    product = x * y
    return product[..., 1:].sum(dim=-1) - product[..., 0]


def project(x: Tensor) -> Tensor:
    """Lift ``[..., d]`` onto the hyperboloid, ``[..., d + 1]``."""
    return torch.cat([torch.sqrt(1 + x.square().sum(dim=-1, keepdim=True)), x], dim=-1)


def norm(x: Tensor) -> Tensor:
    """Minkowski length of tangent vectors ``[..., d + 1]``."""
    return torch.sqrt(mdot(x, x).clamp(min=EPSILON**2))


def dist(x: Tensor, y: Tensor) -> Tensor:
    """Distance of points on the hyperboloid, ``[..., d + 1]`` to ``[...]``."""
    return arccosh(-mdot(x, y))


def exp_map(x: Tensor, y: Tensor) -> Tensor:
    """Go from point ``x`` along the tangent vector ``y``: where one arrives, ``[..., d + 1]``."""
    length = norm(y).unsqueeze(-1)
    return torch.cosh(length) * x + torch.sinh(length) / length * y


def log_map(x: Tensor, y: Tensor) -> Tensor:
    """The tangent vector at ``x`` that leads to ``y``: the inverse of ``exp_map``."""
    product = mdot(x, y).unsqueeze(-1)
    direction = y + product * x
    return arccosh(-product) / norm(direction).unsqueeze(-1) * direction


def loss(x: Tensor, y: Tensor) -> Tensor:
    """Sum of squared distances of points on the hyperboloid."""
    return dist(x, y).square().sum()


class HyperbolicDistance(DistanceModule):
    """Squared distance on the hyperboloid of points that are given in ``R^d``."""

    def forward(self, mat_1: Tensor, mat_2: Tensor) -> Tensor:
        """``[n1, d]`` and ``[n2, d]`` to ``[n1, n2]``."""
        return dist(project(mat_1).unsqueeze(1), project(mat_2).unsqueeze(0)).square()


class HyperbolicMean(MeanModule):
    """The point of ``R^d`` whose squared hyperbolic distances to the data have the smallest sum.

    Found in steps along the mean tangent vector (Karcher flow): 5 while training, up to 100 otherwise.
    """

    def mean(self, data: Tensor) -> Tensor:
        """``[n, d]`` to ``[d]``."""
        points = project(data)
        mean = project(data.mean(dim=0))
        for _ in range(STEPS_IN_TRAINING if self.training else STEPS):
            mean = exp_map(mean, log_map(mean, points).mean(dim=0))
            mean = project(mean[1:])  # back onto the hyperboloid: rounding errors grow otherwise
        return mean[1:]
