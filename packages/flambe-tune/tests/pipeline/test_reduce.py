from __future__ import annotations

import pytest

from flambe.pipeline import Candidate, best_of


def _names(metrics: dict[str, float | None], count: int | None, *, lower: bool = False, failed: tuple[str, ...] = ()):
    candidates = [
        Candidate(name, order, metric, lower, name not in failed)
        for order, (name, metric) in enumerate(metrics.items())
    ]
    return [one.unit for one in best_of(candidates, count)]


@pytest.mark.parametrize(
    ("metrics", "count", "lower", "failed", "kept"),
    [
        ({"a": 0.1, "b": 0.9, "c": 0.5}, 2, False, (), ["b", "c"]),
        ({"a": 0.1, "b": 0.9, "c": 0.5}, 2, True, (), ["a", "c"]),
        ({"a": -5.0, "b": -9.0, "c": None}, 1, False, (), ["a"]),
        ({"a": -5.0, "b": 99.0}, 1, False, ("b",), ["a"]),
        ({"a": 0.0, "b": 3.0}, 1, True, ("a",), ["b"]),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, 2, False, (), ["a", "b"]),
        ({"a": float("nan"), "b": -1.0}, 2, False, (), ["b"]),
        ({"a": float("inf"), "b": 1.0}, 1, True, (), ["b"]),
        ({"a": None, "b": None}, 2, False, (), []),
        ({"a": 1.0, "b": 2.0}, 5, False, (), ["b", "a"]),
        ({"a": 1.0, "b": 2.0}, None, False, (), ["b", "a"]),
    ],
)
def test_the_best_stay(metrics, count, lower, failed, kept):
    assert _names(metrics, count, lower=lower, failed=failed) == kept
