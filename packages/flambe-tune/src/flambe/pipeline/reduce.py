"""Reduction: which variants of a stage stay for later stages.

Variants that differ only in the run's seed are compared and kept together, by the mean of their metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flambe.record.rank import is_comparable
from flambe.spec.digest import digest_of
from flambe.spec.nodes import SEED


@dataclass(frozen=True)
class Candidate:
    """A variant with what it reached. order: its position in the stage. done: False for failed and pruned ones.

    group: what it shares with the variants that differ in their seed only; "" when it is alone.
    """

    unit: str
    order: int
    metric: float | None
    lower_is_better: bool = False
    done: bool = True
    group: str = ""

    @property
    def is_comparable(self) -> bool:
        return self.done and is_comparable(self.metric, lower_is_better=self.lower_is_better)


class Spread(NamedTuple):
    """The metric of one choice over its seeds. std: of a sample (n - 1), None for one seed. n: how many seeds have one."""

    mean: float
    std: float | None
    n: int


def best_of(candidates: Iterable[Candidate], count: int | None) -> list[Candidate]:
    """Return the ``count`` best, best first; all comparable ones when ``count`` is None.

    A variant that failed or has no metric (NaN counts as none, and so does the infinity on the good side) never wins: it is not returned at all. Equal metrics
    are told apart by order, so that the answer never depends on timing.
    The direction is that of the metric (``lower_is_better``).

    Groups count as one, by the mean of their metrics, and come with all their members, the best first; one of which
    a member has no metric comes after those that have them all: the lucky seeds of a choice that often diverges say little.
    """
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.group or f"unit {candidate.unit}", []).append(candidate)
    compared = {name: sorted((one for one in group if one.is_comparable), key=_rank) for name, group in groups.items()}
    ranked = sorted(
        (name for name, members in compared.items() if members),
        key=lambda name: (len(groups[name]) - len(compared[name]), *_rank_of_group(compared[name])),
    )
    return [candidate for name in ranked[:count] for candidate in compared[name]]


def spread_of(metrics: Iterable[float]) -> Spread:
    """Return mean and deviation of the metrics of one choice. Raises ValueError for none."""
    values = list(metrics)
    if not values:
        raise ValueError("no metrics")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Spread(mean, None, 1)
    return Spread(mean, math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1)), len(values))


def group_of(params: Mapping[str, Any]) -> str:
    """Return what variants that differ in their seed only share: "" for one that depends on no seed of several."""
    if SEED not in params:
        return ""
    return digest_of({name: value for name, value in params.items() if name != SEED})


def _rank(candidate: Candidate) -> tuple[float, int]:
    metric = candidate.metric or 0.0
    return (metric if candidate.lower_is_better else -metric, candidate.order)


def _rank_of_group(members: list[Candidate]) -> tuple[float, int]:
    mean = spread_of(one.metric or 0.0 for one in members).mean
    return (mean if members[0].lower_is_better else -mean, min(one.order for one in members))
