"""Search options as Python objects: what ``!g`` and ``!s`` are in YAML. They may stand anywhere inside of a ``Schema``."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, overload

from flambe.compile.sample import Sample, draw_from
from flambe.spec.nodes import GRID


class Options(Sequence[Any]):
    """Values of which each is a variant; a sequence of them. Base of the two below."""

    def __init__(self, elements: Iterable[Any]) -> None:
        self.elements = list(elements)
        if not self.elements:
            raise ValueError("a search needs at least one value")

    @overload
    def __getitem__(self, key: int) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> list[Any]: ...
    def __getitem__(self, key: int | slice) -> Any:
        return self.elements[key]

    def __len__(self) -> int:
        return len(self.elements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and self.elements == other.elements

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.elements!r})"

    def to_node(self, generator: random.Random | None = None) -> dict[str, Any]:
        """Return the ``$grid`` node, of values that may be schemas. generator: for what is drawn."""
        return {GRID: self.elements}

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        """Return the PyYAML sequence of the values."""
        return representer.represent_sequence(tag, node.elements)


class GridSearchOptions(Options):
    """Each of ``elements`` is a variant (``!g``)."""

    @classmethod
    def from_sequence(cls, options: Sequence[Any]) -> GridSearchOptions:
        """Return the options of a list, as ``!g`` reads it."""
        return cls(options)


class SampledUniformSearchOptions(Options):
    """``k`` different numbers drawn uniformly from [low, high], both ends included (``!s``); fewer where there are no more.

    Whole numbers when both ends are whole, else numbers rounded to ``decimals``. An experiment draws them from its seed;
    before that they are drawn from seed 0. Written to YAML they are the numbers that were drawn (``!g``).
    """

    def __init__(self, low: float, high: float, k: int, decimals: int = 10) -> None:
        if low > high:
            raise ValueError(f"low is above high: {low} > {high}")
        if k < 1:
            raise ValueError(f"k is {k}, expected at least 1")
        self.low, self.high, self.k, self.decimals = low, high, int(k), decimals
        super().__init__(self.draw(random.Random(0)))

    @classmethod
    def from_sequence(cls, options: Sequence[Any]) -> SampledUniformSearchOptions:
        """Return the options of ``[low, high, k]`` or ``[low, high, k, decimals]``, as ``!s`` reads it.

        Raises ValueError for fewer or more numbers.
        """
        if len(options) not in (3, 4):
            raise ValueError(f"!s has {len(options)} numbers, expected [low, high, k] or [low, high, k, decimals]")
        return cls(*options)

    def draw(self, generator: random.Random) -> list[float]:
        """Return the numbers that ``generator`` gives."""
        return [*draw_from(Sample(self.low, self.high, self.k, self.decimals), generator)]

    def to_node(self, generator: random.Random | None = None) -> dict[str, Any]:
        """Return the ``$grid`` node of the numbers: drawn again where there is a generator."""
        return {GRID: self.elements if generator is None else self.draw(generator)}


__all__ = ["GridSearchOptions", "Options", "SampledUniformSearchOptions"]
