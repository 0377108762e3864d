"""Some columns of many rows, as a query asks them: column by column where it can, row by row where it has to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any


class Missing:
    """What a row has in a column that it does not have: every comparison with it is false."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


class Sheet:
    """columns: name → a cell for each of ``count`` rows, ``MISSING`` where a row has none."""

    def __init__(self, columns: Mapping[str, Sequence[Any]], count: int) -> None:
        self._columns = columns
        self.count = count

    def column(self, name: str) -> Sequence[Any]:
        found = self._columns.get(name)
        return [MISSING] * self.count if found is None else found

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Each row, with the cells that it has."""
        names = list(self._columns)
        if not names:
            return [{} for _ in range(self.count)]
        return [
            {name: cell for name, cell in zip(names, cells, strict=True) if cell is not MISSING}
            for cells in zip(*self._columns.values(), strict=True)
        ]


__all__ = ["MISSING", "Missing", "Sheet"]
