"""Histograms and precision-recall curves as plain data: what is drawn, and not the values that it was counted from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambe.record.artifact_format import array_of

_MOST_BINS = 512
_MOST_THRESHOLDS = 127
"""TensorBoard draws no more."""


def histogram(values: Any, bins: str | int | Sequence[float] = "auto") -> dict[str, Any]:
    """Return the edges [B + 1] and counts [B] of a histogram, with sums. Values that are no finite numbers are counted apart.

    bins: as of ``numpy.histogram_bin_edges``, at most 512, or ``tensorflow``: 10 % wider each, on both sides of zero.
    Raises ValueError when no value is finite.
    """
    array = array_of(values).reshape(-1).astype(np.float64)
    finite = array[np.isfinite(array)]
    if not finite.size:
        raise ValueError(f"there is nothing to count: none of {array.size} values is a finite number")
    if isinstance(bins, str) and bins == "tensorflow":
        half = 1e-12 * 1.1 ** np.arange(774)
        edges = np.concatenate([-half[::-1], [0.0], half])
        first, last = np.searchsorted(edges, [finite.min(), finite.max()], side="right")
        edges = edges[max(first - 1, 0) : last + 1]
    else:
        edges = _edges(finite, bins)
    counts, _ = np.histogram(finite, edges)
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "min": float(finite.min()),
        "max": float(finite.max()),
        "num": int(finite.size),
        "sum": float(finite.sum()),
        "sum_squares": float(finite @ finite),
        "not_finite": int(array.size - finite.size),
    }


def _edges(finite: np.ndarray[Any, Any], bins: str | int | Sequence[float]) -> np.ndarray[Any, Any]:
    if isinstance(bins, str):
        # One far value makes numpy's rules ask for millions of bins; this is how wide theirs would be.
        low, high = np.quantile(finite, [0.25, 0.75])
        width = 2 * (high - low) / finite.size ** (1 / 3)
        if width > 0 and (finite.max() - finite.min()) / width > _MOST_BINS:
            bins = _MOST_BINS
    edges = np.histogram_bin_edges(finite, bins)
    return edges if len(edges) <= _MOST_BINS + 1 else np.histogram_bin_edges(finite, _MOST_BINS)


def pr_curve(labels: Any, predictions: Any, num_thresholds: int = 127, weights: Any = None) -> dict[str, Any]:
    """Return the counts, precision and recall of predicting "yes" at or above each of T thresholds from 0 to 1.

    labels [N]: 0 or 1. predictions [N]: from 0 to 1. weights: [N] or one number. num_thresholds: at most 127.
    Raises ValueError for other shapes and ranges.
    """
    truth, scores = array_of(labels).reshape(-1).astype(float), array_of(predictions).reshape(-1).astype(float)
    if truth.shape != scores.shape or not truth.size:
        raise ValueError(f"{truth.size} labels and {scores.size} predictions make no curve")
    if not ((truth == 0) | (truth == 1)).all() or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a precision-recall curve needs labels that are 0 or 1 and predictions from 0 to 1")
    count = max(2, min(num_thresholds, _MOST_THRESHOLDS))
    weight = np.broadcast_to(1.0 if weights is None else array_of(weights).reshape(-1), truth.shape)
    bucket = np.floor(scores * (count - 1)).astype(int)
    # At or above a threshold: everything in its bucket and in those behind it.
    tp = np.bincount(bucket, truth * weight, count)[::-1].cumsum()[::-1]
    fp = np.bincount(bucket, (1 - truth) * weight, count)[::-1].cumsum()[::-1]
    fn, tn = tp[0] - tp, fp[0] - fp
    return {
        "thresholds": np.linspace(0, 1, count).tolist(),
        "tp": tp.tolist(),
        "fp": fp.tolist(),
        "tn": tn.tolist(),
        "fn": fn.tolist(),
        "precision": (tp / np.maximum(tp + fp, 1e-7)).tolist(),
        "recall": (tp / np.maximum(tp + fn, 1e-7)).tolist(),
    }
