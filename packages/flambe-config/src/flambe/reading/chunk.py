"""Some runs of an index, whose columns are loaded when somebody asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from flambe.reading.sheet import MISSING

if TYPE_CHECKING:
    from flambe.reading.index import Index
    from flambe.reading.known import Known

MOST = 256
"""Runs of a chunk."""
_NUMBERS = count(-1, -1)


class Chunk:
    """names: of its columns. columns: those that were loaded so far, a cell for each run. size: how many runs."""

    __slots__ = ("columns", "index", "is_whole", "names", "number", "size")

    def __init__(self, index: Index, number: int, size: int, names: frozenset[str]) -> None:
        self.index = index
        self.number = number
        self.size = size
        self.names = names
        self.columns: dict[str, Sequence[Any]] = {}
        self.is_whole = False

    @classmethod
    def whole(cls, index: Index, columns: Mapping[str, Sequence[Any]], size: int) -> Chunk:
        """Return one that no index has yet, with all its columns."""
        chunk = cls(index, next(_NUMBERS), size, frozenset(columns))
        chunk.columns, chunk.is_whole = dict(columns), True
        return chunk

    def row(self, at: int) -> dict[str, Any] | None:
        """Return all cells of a run; None where the index has lost them: another process may have put them elsewhere."""
        if not self.is_whole:
            found = self.index.whole(self.number)
            if found.keys() != self.names:
                return None
            # What is no column of the chunk, and was asked for, stays.
            self.columns, self.is_whole = found | {n: c for n, c in self.columns.items() if n not in found}, True
        return {name: cells[at] for name, cells in self.columns.items() if cells[at] is not MISSING}

    def cell(self, name: str, at: int) -> Any:
        """Return a cell of a column that was loaded. Raises KeyError for one that was not."""
        if self.is_whole and name not in self.columns:
            return MISSING
        return self.columns[name][at]


class Stretch(NamedTuple):
    """Runs that follow one another, and lie so in a chunk too: cells ``begin`` to ``end`` of its columns. Without a chunk it is one run."""

    chunk: Chunk | None
    begin: int
    end: int
    known: Known


def stretches(order: Sequence[Known]) -> list[Stretch]:
    """Return the runs as few pieces: of thousands of them, a column is then put together without a look at each."""
    found: list[Stretch] = []
    chunk: Chunk | None = None
    first, begin, end = None, 0, 0
    for known in order:
        if known.chunk is chunk and known.at == end and chunk is not None:
            end += 1
            continue
        if first is not None:
            found.append(Stretch(chunk, begin, end, first))
        first, chunk, begin, end = known, known.chunk, known.at, known.at + 1
    return found if first is None else [*found, Stretch(chunk, begin, end, first)]


__all__ = ["Chunk", "Stretch", "stretches"]
