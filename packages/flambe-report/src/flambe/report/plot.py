"""Curves in a terminal: dots of Braille, two across and four down in each character."""

from __future__ import annotations

import math
from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800

Point = tuple[float, float]


def plot(points: Sequence[Point], *, width: int = 72, height: int = 12) -> list[str]:
    """Return the lines of a plot of (x, y), with the least and greatest of both at its edges. Points that are no number stay out.

    width, height: in characters, without the labels.
    """
    there = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not there:
        return ["(nothing to draw)"]
    left, right = min(x for x, _ in there), max(x for x, _ in there)
    low, high = min(y for _, y in there), max(y for _, y in there)
    cells = [[0] * width for _ in range(height)]
    before: tuple[int, int] | None = None
    for x, y in there:
        column = round((x - left) / ((right - left) or 1.0) * (2 * width - 1))
        row = round((high - y) / ((high - low) or 1.0) * (4 * height - 1))
        for across, down in _line(before, (column, row)):
            cells[down // 4][across // 2] |= _DOTS[down % 4][across % 2]
        before = (column, row)
    labels = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"] if height > 1 else [f"{high:.4g}"]
    room = max(map(len, labels))
    lines = [
        f"{label:>{room}} ┤{''.join(chr(_BLANK + dots) for dots in row)}".rstrip(chr(_BLANK))
        for label, row in zip(labels, cells, strict=True)
    ]
    ends = f"{left:g}{f'{right:g}':>{width - len(f'{left:g}')}}" if right > left else f"{left:g}"
    return [*lines, f"{'':>{room}} └{'─' * width}", f"{'':>{room}}  {ends}"]


def _line(start: tuple[int, int] | None, end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the dots from one place to the next."""
    if start is None or end[0] < start[0]:  # a curve that begins again
        return [end]
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    return [
        (
            start[0] + round((end[0] - start[0]) * step / steps),
            start[1] + round((end[1] - start[1]) * step / steps),
        )
        for step in range(1, steps + 1)
    ] or [end]


__all__ = ["plot"]
