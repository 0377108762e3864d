"""The values of a metric in the order they were written, and what they come to: last, min, mean and the like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FUNCTIONS = ("last", "first", "min", "max", "mean", "std", "len", "argmin", "argmax")
_NUMBERS = frozenset({int, float})
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def aligned(lines: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return key → its value on each line, None on a line without it: columns of one file are of equal length.

    Keys of ours (``_t``) stay out; ``step`` is a column too. The texts of NaN and the infinities become numbers.
    """
    columns: dict[str, list[Any]] = {}
    count = 0
    for line in lines:
        for key, value in line.items():
            if key.startswith("_"):
                continue
            if key not in columns:
                columns[key] = [None] * count
            columns[key].append(_WORDS.get(value, value) if isinstance(value, str) else value)
        count += 1
        for column in columns.values():
            if len(column) < count:
                column.append(None)
    return columns


def summary_of(values: Sequence[Any]) -> dict[str, Any]:
    """Return what each of ``FUNCTIONS`` is of a column of metric values; without those that have no answer.

    None (a line without the key) counts for nothing, but for the positions that argmin and argmax tell: 0-based lines of the
    column. min, max and their positions leave NaN out; std is that of all values (divided by n).
    """
    given = [value for value in values if value is not None]
    summary: dict[str, Any] = {"len": len(given)}
    if not given:
        return summary
    summary |= {"last": given[-1], "first": given[0]}
    kinds = set(map(type, given))
    numbers = given if kinds <= _NUMBERS else [value for value in given if type(value) in _NUMBERS]
    if not numbers:
        return summary
    try:
        mean = math.fsum(numbers) / len(numbers)
        std = math.sqrt(math.fsum([(value - mean) ** 2 for value in numbers]) / len(numbers))
    except (OverflowError, ValueError):  # infinities of both signs, or integers beyond all floats
        mean = std = math.nan
    summary |= {"mean": mean, "std": std}
    if mean != mean:
        numbers = [value for value in numbers if value == value]
    if numbers:
        low, high = min(numbers), max(numbers)
        summary |= {"min": low, "argmin": _place(values, low), "max": high, "argmax": _place(values, high)}
    return summary


def _place(values: Sequence[Any], number: float) -> int:
    place = values.index(number)
    # True is 1 to Python, and no number here.
    while type(values[place]) not in _NUMBERS:
        place = values.index(number, place + 1)
    return place


__all__ = ["FUNCTIONS", "aligned", "summary_of"]
