"""The order of metrics, best first: the same wherever variants are compared."""

from __future__ import annotations

import math


def is_comparable(metric: float | None, *, lower_is_better: bool) -> bool:
    """Whether a metric says how good something is. NaN says nothing, nor does the infinity on the good side: a loss of -∞ and an
    accuracy of ∞ come from a division by zero or an overflow. That on the bad side is what diverged, and comes last by itself.
    """
    if metric is None or math.isnan(metric):
        return False
    return metric != (-math.inf if lower_is_better else math.inf)


def rank(metric: float | None, *, lower_is_better: bool) -> tuple[bool, float]:
    """Return what metrics are sorted by, best first; what cannot be compared comes last."""
    if metric is None or not is_comparable(metric, lower_is_better=lower_is_better):
        return (True, 0.0)
    return (False, metric if lower_is_better else -metric)
