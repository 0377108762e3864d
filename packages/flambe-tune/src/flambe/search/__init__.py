"""Search: what is tried, the algorithms that choose it, and the schedulers that decide between steps who goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

__all__ = [
    "BOHB",
    "Algorithm",
    "BayesOptGP",
    "BayesOptKDE",
    "Beta",
    "Choice",
    "GridSearch",
    "Hyperband",
    "Normal",
    "QUniform",
    "RandomSearch",
    "SchedulerAdapter",
    "Search",
    "StageSchedule",
    "Trial",
    "TrialState",
    "Uniform",
    "Verdict",
    "beta",
    "check_scheduler",
    "choice",
    "normal",
    "quniform",
    "uniform",
]

_DISTRIBUTIONS = ("Choice", "Uniform", "Normal", "Beta", "QUniform", "choice", "uniform", "normal", "beta", "quniform")
_TRIALS = ("Trial", "TrialState")
_ALGORITHMS = ("GridSearch", "RandomSearch", "BayesOptGP", "BayesOptKDE", "Hyperband", "BOHB")

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(_DISTRIBUTIONS, "distribution"),
        **dict.fromkeys(_ALGORITHMS, "algorithm"),
        **dict.fromkeys(_TRIALS, "trial"),
        "Search": "search",
        "Algorithm": "tune_adapter",
        "SchedulerAdapter": "tune_adapter",
        "StageSchedule": "schedule",
        "Verdict": "schedule",
        "check_scheduler": "tune_adapter",
    },
)

if TYPE_CHECKING:
    from flambe.search.algorithm import BOHB, BayesOptGP, BayesOptKDE, GridSearch, Hyperband, RandomSearch
    from flambe.search.distribution import (
        Beta,
        Choice,
        Normal,
        QUniform,
        Uniform,
        beta,
        choice,
        normal,
        quniform,
        uniform,
    )
    from flambe.search.schedule import StageSchedule, Verdict
    from flambe.search.search import Search
    from flambe.search.trial import Trial, TrialState
    from flambe.search.tune_adapter import Algorithm, SchedulerAdapter, check_scheduler
