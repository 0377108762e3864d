"""Reduction: which variants of a stage stay for later stages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A variant with what it reached. order: its position in the stage. done: False for failed and pruned ones."""

    unit: str
    order: int
    metric: float | None
    lower_is_better: bool = False
    done: bool = True

    @property
    def is_comparable(self) -> bool:
        return self.done and self.metric is not None and not math.isnan(self.metric)


def best_of(candidates: Iterable[Candidate], count: int | None) -> list[Candidate]:
    """Return the ``count`` best, best first; all comparable ones when ``count`` is None.

    A variant that failed or has no metric (NaN counts as none) never wins: it is not returned at all. Equal metrics
    are told apart by order, so that the answer never depends on timing.
    The direction is that of the metric (``lower_is_better``).
    """
    comparable = [candidate for candidate in candidates if candidate.is_comparable]
    ranked = sorted(comparable, key=_rank)
    return ranked if count is None else ranked[:count]


def _rank(candidate: Candidate) -> tuple[float, int]:
    metric = candidate.metric or 0.0
    return (metric if candidate.lower_is_better else -metric, candidate.order)
