from __future__ import annotations

import pytest

from flambe.pipeline import Candidate, best_of
from flambe.pipeline.reduce import group_of, spread_of


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
        ({"a": float("inf"), "b": 1.0}, 2, True, (), ["b", "a"]),
        ({"a": float("inf"), "b": 1.0}, 2, False, (), ["b"]),
        ({"a": float("-inf"), "b": 1.0}, 2, True, (), ["b"]),
        ({"a": None, "b": None}, 2, False, (), []),
        ({"a": 1.0, "b": 2.0}, 5, False, (), ["b", "a"]),
        ({"a": 1.0, "b": 2.0}, None, False, (), ["b", "a"]),
    ],
)
def test_the_best_stay(metrics, count, lower, failed, kept):
    assert _names(metrics, count, lower=lower, failed=failed) == kept


def _grouped(metrics: dict[str, list[float | None]], count: int | None, *, lower: bool = False) -> list[str]:
    candidates = [
        Candidate(f"{group}{seed}", 10 * order + seed, metric, lower, metric is not None, group)
        for order, (group, found) in enumerate(metrics.items())
        for seed, metric in enumerate(found)
    ]
    return [one.unit for one in best_of(candidates, count)]


def test_variants_that_differ_in_their_seed_stay_together_by_their_mean():
    metrics: dict[str, list[float | None]] = {"a": [9.0, 1.0], "b": [6.0, 7.0], "c": [2.0, 2.0]}
    assert _grouped(metrics, 1) == ["b1", "b0"]
    assert _grouped(metrics, 2) == ["b1", "b0", "a0", "a1"]
    assert _grouped(metrics, 1, lower=True) == ["c0", "c1"]


def test_a_choice_that_failed_for_a_seed_comes_after_those_that_did_not():
    assert _grouped({"a": [99.0, None], "b": [1.0, 2.0], "c": [99.0, float("nan")]}, None) == ["b1", "b0", "a0", "c0"]


def test_the_spread_of_a_choice():
    assert spread_of([1.0, 2.0, 3.0]) == (2.0, 1.0, 3)
    assert spread_of([4.0]) == (4.0, None, 1)
    with pytest.raises(ValueError, match="no metrics"):
        spread_of([])


def test_only_the_seed_of_the_run_makes_a_group():
    assert group_of({"a.seed": 1}) == ""
    assert group_of({"a.b": 1, "seed": 3}) == group_of({"a.b": 1, "seed": 4}) != group_of({"a.b": 2, "seed": 4})
