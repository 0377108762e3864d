"""Search options as Python objects: what ``!g`` and ``!s`` are in YAML."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from flambe.spec.nodes import GRID


class GridSearchOptions:
    """Each of ``elements`` is a variant (``!g``)."""

    def __init__(self, elements: Sequence[Any]) -> None:
        if not elements:
            raise ValueError("a grid needs at least one element")
        self.elements = list(elements)

    def node(self, seed: int = 0) -> dict[str, Any]:
        """Return the ``$grid`` node."""
        return {GRID: list(self.elements)}


class SampledUniformSearchOptions:
    """``k`` numbers drawn uniformly from [low, high], both ends included (``!s``).

    Whole numbers when both ends are whole, else numbers rounded to ``decimals``. Drawn from the seed of the experiment.
    """

    def __init__(self, low: float, high: float, k: int, decimals: int = 10) -> None:
        if low > high:
            raise ValueError(f"low is above high: {low} > {high}")
        if k < 1:
            raise ValueError(f"k is {k}, expected at least 1")
        self.low, self.high, self.k, self.decimals = low, high, k, decimals

    def node(self, seed: int = 0) -> dict[str, Any]:
        """Return the ``$grid`` node of the numbers that ``seed`` draws."""
        generator = random.Random(seed)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return {GRID: [generator.randint(self.low, self.high) for _ in range(self.k)]}
        return {GRID: [round(generator.uniform(self.low, self.high), self.decimals) for _ in range(self.k)]}
