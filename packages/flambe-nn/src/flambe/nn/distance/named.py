"""Distances and means by name."""

from __future__ import annotations

from typing import Literal

from flambe.errors import did_you_mean
from flambe.nn.distance.cosine import CosineDistance, CosineMean
from flambe.nn.distance.distance import DistanceModule, MeanModule
from flambe.nn.distance.euclidean import EuclideanDistance, EuclideanMean
from flambe.nn.distance.hyperbolic import HyperbolicDistance, HyperbolicMean

DistanceName = Literal["euclidean", "cosine", "hyperbolic"]

_DISTANCES: dict[DistanceName, type[DistanceModule]] = {
    "euclidean": EuclideanDistance,
    "cosine": CosineDistance,
    "hyperbolic": HyperbolicDistance,
}
_MEANS: dict[DistanceName, type[MeanModule]] = {
    "euclidean": EuclideanMean,
    "cosine": CosineMean,
    "hyperbolic": HyperbolicMean,
}


def get_distance_module(metric: DistanceName) -> DistanceModule:
    """Return the distance called ``euclidean``, ``cosine`` or ``hyperbolic``.

    Raises
    ------
    ValueError: for another name.
    """
    if metric not in _DISTANCES:
        raise ValueError(_unknown(metric))
    return _DISTANCES[metric]()


def get_mean_module(metric: DistanceName, detach_mean: bool = False) -> MeanModule:
    """Return the mean that belongs to the distance called ``metric``.

    Raises
    ------
    ValueError: for another name.
    """
    if metric not in _MEANS:
        raise ValueError(_unknown(metric))
    return _MEANS[metric](detach_mean=detach_mean)


def _unknown(metric: DistanceName) -> str:
    hint = did_you_mean(str(metric), _DISTANCES)
    return f"distance {metric!r} is not known; expected euclidean, cosine or hyperbolic" + (f". {hint}" if hint else "")
