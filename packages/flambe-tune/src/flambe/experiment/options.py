"""Search options as Python objects: what ``!g`` and ``!s`` are in YAML.

They are nodes of a spec (plain maps), so they may stand anywhere inside of a ``Schema``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from flambe.spec.nodes import GRID


class Options(dict[str, Any]):
    """Base of search options: a ``$grid`` node."""

    @property
    def elements(self) -> list[Any]:
        """The values that are tried."""
        elements: list[Any] = self[GRID]
        return elements


class GridSearchOptions(Options):
    """Each of ``elements`` is a variant (``!g``)."""

    def __init__(self, elements: Sequence[Any]) -> None:
        if not elements:
            raise ValueError("a grid needs at least one element")
        super().__init__({GRID: list(elements)})


class SampledUniformSearchOptions(Options):
    """``k`` numbers drawn uniformly from [low, high], both ends included (``!s``).

    Whole numbers when both ends are whole, else numbers rounded to ``decimals``. An experiment draws them from its seed;
    before that they are drawn from seed 0.
    """

    def __init__(self, low: float, high: float, k: int, decimals: int = 10) -> None:
        if low > high:
            raise ValueError(f"low is above high: {low} > {high}")
        if k < 1:
            raise ValueError(f"k is {k}, expected at least 1")
        self.low, self.high, self.k, self.decimals = low, high, k, decimals
        super().__init__({GRID: self.draw(random.Random(0))})

    def draw(self, generator: random.Random) -> list[float]:
        """Return ``k`` numbers from ``generator``."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return [generator.randint(self.low, self.high) for _ in range(self.k)]
        return [round(generator.uniform(self.low, self.high), self.decimals) for _ in range(self.k)]
