"""Distances between points and means of points, for models that compare vectors."""

from flambe.nn.distance.cosine import CosineDistance, CosineMean
from flambe.nn.distance.distance import DistanceModule, MeanModule
from flambe.nn.distance.euclidean import EuclideanDistance, EuclideanMean
from flambe.nn.distance.hyperbolic import HyperbolicDistance, HyperbolicMean
from flambe.nn.distance.named import get_distance_module, get_mean_module

__all__ = [
    "CosineDistance",
    "CosineMean",
    "DistanceModule",
    "EuclideanDistance",
    "EuclideanMean",
    "HyperbolicDistance",
    "HyperbolicMean",
    "MeanModule",
    "get_distance_module",
    "get_mean_module",
]
