"""Experiments: the loop that runs every variant of every stage, on a pool of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

__all__ = [
    "ClusterResource",
    "Controller",
    "Experiment",
    "GridSearchOptions",
    "LocalPool",
    "Outcome",
    "Pool",
    "ProgressState",
    "RayPool",
    "SampledUniformSearchOptions",
    "StageTrainable",
    "Task",
    "run_experiment",
]

__getattr__ = lazily(
    __name__,
    {
        "ClusterResource": "cluster_resource",
        "Controller": "controller",
        "Experiment": "experiment",
        "GridSearchOptions": "flambe.build.options",
        "LocalPool": "local",
        "Outcome": "outcome",
        "Pool": "pool",
        "ProgressState": "progress",
        "RayPool": "ray_pool",
        "SampledUniformSearchOptions": "flambe.build.options",
        "StageTrainable": "trainable",
        "Task": "pool",
        "run_experiment": "session",
    },
)

if TYPE_CHECKING:
    from flambe.build.options import GridSearchOptions, SampledUniformSearchOptions
    from flambe.experiment.cluster_resource import ClusterResource
    from flambe.experiment.controller import Controller
    from flambe.experiment.experiment import Experiment
    from flambe.experiment.local import LocalPool
    from flambe.experiment.outcome import Outcome
    from flambe.experiment.pool import Pool, Task
    from flambe.experiment.progress import ProgressState
    from flambe.experiment.ray_pool import RayPool
    from flambe.experiment.session import run_experiment
    from flambe.experiment.trainable import StageTrainable
