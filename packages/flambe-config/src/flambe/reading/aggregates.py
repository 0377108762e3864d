"""What the cells of a column come to, over runs: ``mean``, ``std``, ``min``, ``max``, ``last``, ``count``.

Cells are numbers, or the values of metrics (lists). Of lists, the values on the same line are put together, and runs of unequal length are
cut to the shortest; with ``pad=True`` longer ones go on without those that have ended. None counts for nothing.

>>> runs.groupby("config.optimizer.lr").aggregate([(mean, "train.loss"), (count, "config.seed")])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Cells = Sequence[Any]


def mean(cells: Cells, *, pad: bool = False) -> Any:
    """Return the mean, or the list of the means of each step; None of nothing."""
    return _over(cells, lambda numbers: math.fsum(numbers) / len(numbers), pad)


def std(cells: Cells, *, pad: bool = False) -> Any:
    """Return the standard deviation of a sample (divided by n - 1), or that of each step; None of less than two."""

    def deviation(numbers: list[Any]) -> float | None:
        if len(numbers) < 2:
            return None
        middle = math.fsum(numbers) / len(numbers)
        return math.sqrt(math.fsum((number - middle) ** 2 for number in numbers) / (len(numbers) - 1))

    return _over(cells, deviation, pad)


def min(cells: Cells, *, pad: bool = False) -> Any:
    """Return the least, or that of each step; NaN is left out. None of nothing."""
    return _over(cells, lambda numbers: _ordered(numbers)[0], pad)


def max(cells: Cells, *, pad: bool = False) -> Any:
    """Return the greatest, or that of each step; NaN is left out. None of nothing."""
    return _over(cells, lambda numbers: _ordered(numbers)[-1], pad)


def last(cells: Cells) -> list[Any]:
    """Return the last value of each list, and other cells as they are: a columnwise map that keeps rows."""
    return [_last(cell) for cell in cells]


def count(cells: Cells) -> int:
    """Return how many cells there are; None counts for nothing."""
    return sum(cell is not None for cell in cells)


def _last(cell: Any) -> Any:
    if not isinstance(cell, list | tuple):
        return cell
    return next((value for value in reversed(cell) if value is not None), None)


def _ordered(numbers: list[Any]) -> list[Any]:
    return sorted(number for number in numbers if number == number) or numbers


def _over(cells: Cells, reduce: Callable[[list[Any]], Any], pad: bool) -> Any:
    there = [cell for cell in cells if cell is not None]
    lists = [cell for cell in there if isinstance(cell, list | tuple)]
    if not lists:
        return _reduced(there, reduce)
    lengths = [len(cell) for cell in lists]
    size = sorted(lengths)[-1 if pad else 0]
    return [_reduced([cell[step] for cell in lists if step < len(cell)], reduce) for step in range(size)]


def _reduced(values: list[Any], reduce: Callable[[list[Any]], Any]) -> Any:
    numbers = [value for value in values if isinstance(value, int | float)]
    try:
        return reduce(numbers) if numbers else None
    except (OverflowError, ValueError):  # infinities of both signs
        return math.nan


BY_NAME: dict[str, Callable[..., Any]] = {
    "mean": mean,
    "std": std,
    "min": min,
    "max": max,
    "last": last,
    "count": count,
}
"""What ``--agg`` of the command knows."""

__all__ = ["BY_NAME", "count", "last", "max", "mean", "min", "std"]
