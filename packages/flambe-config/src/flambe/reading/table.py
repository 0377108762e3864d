"""``Table``: runs in their order, column by column; of what an index has, only the columns that somebody asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from flambe.reading.chunk import stretches
from flambe.reading.column_names import is_detail
from flambe.reading.detail import Detail, detail_of
from flambe.reading.index import Index
from flambe.reading.known import HERE, Known

Tell = Callable[[int, int], None]

_encode = msgspec.msgpack.Encoder().encode


class Table:
    """problems: what could not be read of the metrics and artifacts of runs. tell: is given how many runs were read, and of how many."""

    def __init__(self, runs: Sequence[Known], index: Index, tell: Tell | None = None) -> None:
        self.runs = list(runs)
        self.problems: list[str] = []
        self._index = index
        self._tell = tell
        self._pieces = stretches(self.runs)
        self._columns: dict[str, list[Any]] = {}

    def have(self, names: Iterable[str]) -> None:
        """Load columns, all of them at once."""
        lacking = [name for name in names if name not in self._columns]
        if any(map(is_detail, lacking)):
            self.read_details()
        if plain := [name for name in lacking if not is_detail(name) and name not in HERE]:
            self._index.fill({piece.chunk for piece in self._pieces if piece.chunk is not None}, plain)
        self._columns |= {name: self._cells_of(name) for name in lacking}

    def column(self, name: str) -> list[Any]:
        """Return the cell of each run in a column, ``MISSING`` where it has none."""
        self.have([name])
        return self._columns[name]

    def _cells_of(self, name: str) -> list[Any]:
        if not is_detail(name) and name not in HERE:
            with contextlib.suppress(KeyError):  # the index has lost a chunk
                found: list[Any] = []
                for chunk, begin, end, known in self._pieces:
                    found += [known.cell(name)] if chunk is None else chunk.columns[name][begin:end]
                return found
        return [known.cell(name) for known in self.runs]

    def read_units(self) -> None:
        """Have the columns of the units of all runs."""
        lacking = {known.place: known for known in self.runs if known.units is None}
        for place, units in self._index.units(lacking.values()).items() if lacking else ():
            if place in lacking:
                lacking[place].units = units

    def read_details(self) -> None:
        """Have metrics and artifacts of all runs; files are read of those that no index knows."""
        lacking = {known.place: known for known in self.runs if not isinstance(known.detail, Detail)}
        if not lacking:
            return
        kept = {place: known.detail for place, known in lacking.items() if known.detail is not None}
        kept |= self._index.details(known for known in lacking.values() if known.detail is None)
        for place, data in kept.items():
            if place in lacking and (detail := detail_of(data)) is not None:
                lacking.pop(place).detail = detail
        if not lacking:
            return
        from flambe.reading.reading import read_detail

        self.read_units()
        fresh = []
        for number, known in enumerate(lacking.values(), 1):
            known.detail, problems = read_detail(known)
            self.problems.extend(problem for problem in problems if problem not in self.problems)
            if self._tell is not None:
                self._tell(number, len(lacking))
            # Of a run that goes on, more comes without a word in its record.
            if known.ledger is None and not known.changing and not problems:
                fresh.append((known, _encode(known.detail)))
        if fresh:
            self._index.save(details=fresh)


__all__ = ["Table", "Tell"]
