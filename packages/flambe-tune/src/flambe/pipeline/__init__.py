"""Pipelines: stages as a graph, variants inherited along links, reduction, and the plan of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

__all__ = [
    "Candidate",
    "Choice",
    "Choices",
    "Pipeline",
    "PlannedUnit",
    "StageGraph",
    "Variant",
    "best_of",
    "choices_of",
    "expand",
    "plan_units",
]

__getattr__ = lazily(
    __name__,
    {
        "StageGraph": "graph",
        "Variant": "variants",
        "expand": "variants",
        "Candidate": "reduce",
        "Choice": "variants",
        "Choices": "variants",
        "Pipeline": "pipeline",
        "choices_of": "variants",
        "best_of": "reduce",
        "PlannedUnit": "plan",
        "plan_units": "plan",
    },
)

if TYPE_CHECKING:
    from flambe.pipeline.graph import StageGraph
    from flambe.pipeline.pipeline import Pipeline
    from flambe.pipeline.plan import PlannedUnit, plan_units
    from flambe.pipeline.reduce import Candidate, best_of
    from flambe.pipeline.variants import Choice, Choices, Variant, choices_of, expand
