"""Some runs of an index, whose columns are loaded when somebody asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flambe.reading.sheet import MISSING

if TYPE_CHECKING:
    from flambe.reading.index import Index


class Chunk:
    """columns: those that were loaded so far, a cell for each run. size: how many runs."""

    __slots__ = ("columns", "index", "is_whole", "number", "size")

    def __init__(self, index: Index, number: int, size: int) -> None:
        self.index = index
        self.number = number
        self.size = size
        self.columns: dict[str, list[Any]] = {}
        self.is_whole = False

    def row(self, at: int) -> dict[str, Any] | None:
        """Return all cells of a run; None where the index has lost them: another process may have put them elsewhere."""
        if not self.is_whole:
            if not (found := self.index.whole(self.number)):
                return None
            # What is no column of the chunk, and was asked for, stays.
            self.columns, self.is_whole = found | {n: c for n, c in self.columns.items() if n not in found}, True
        return {name: cells[at] for name, cells in self.columns.items() if cells[at] is not MISSING}

    def cell(self, name: str, at: int) -> Any:
        """Return a cell of a column that was loaded. Raises KeyError for one that was not."""
        if self.is_whole and name not in self.columns:
            return MISSING
        return self.columns[name][at]


__all__ = ["Chunk"]
