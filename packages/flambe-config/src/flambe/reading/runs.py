"""``Runs``: a table of runs, as a list of rows. Everything returns a new one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from flambe.reading.column_map import COLUMNWISE, GENERIC, POINTWISE, InvalidMapError, names_of, read_maps
from flambe.reading.column_names import ARTIFACT, is_detail
from flambe.reading.row import NoSuchColumn, Row

if TYPE_CHECKING:
    from flambe.reading.grouped import GroupedRuns

Cells = Mapping[str, Any]

LAZY = "METRIC"
"""What a data frame shows in place of a metric, or artifact, that nobody has asked for."""


class Runs(Sequence[Cells]):
    """Rows of runs. ``runs[3]`` is a row, ``runs[:3]`` are Runs, ``runs["train.loss"]`` is the list of the cells of a column: None
    where a row does not have it. Maps are those of ``flambe.reading.column_map``.

    Some rows of a table (a slice, a group) have its columns: cells of one that only others fill are None.
    """

    def __init__(self, rows: Iterable[Cells] = ()) -> None:
        self._rows = list(rows)
        self._keys: list[str] | None = None
        self._table_rows = self._rows
        """Those of the table that these are a part of."""

    # -- a sequence --------------------------------------------------------------------------------------------------

    @overload
    def __getitem__(self, key: int) -> Cells: ...
    @overload
    def __getitem__(self, key: slice) -> Runs: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            return self._column(key)
        return self.part(self._rows[key]) if isinstance(key, slice) else self._rows[key]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Cells]:
        return iter(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runs) and [dict(row) for row in self] == [dict(row) for row in other]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        from flambe.reading.text_table import text_table

        few = self._rows[:10]
        columns = self._shown(few)
        lines = text_table([[_text(_cheap(row, name)) for name in columns] for row in few], columns)
        more = f"\n… {len(self) - len(few)} more" if len(self) > len(few) else ""
        return f"{counted(len(self), 'run')}\n{lines}{more}" if columns else counted(len(self), "run")

    def _shown(self, rows: list[Cells]) -> list[str]:
        wanted = [name for name in ("name", "index", "unit", "status", "metric") if any(name in row for row in rows)]
        plain = [name for row in rows for name in (row.cells if isinstance(row, Row) else row)]
        rest = [name for name in dict.fromkeys(plain) if name.startswith("config.") or not isinstance(rows[0], Row)]
        varied = [name for name in rest if len({repr(_cheap(row, name)) for row in rows}) > 1 or not wanted]
        return [*wanted, *(name for name in varied if name not in wanted)][:8]

    # -- columns -----------------------------------------------------------------------------------------------------

    def part(self, rows: Iterable[Cells]) -> Runs:
        """Return some rows of this table, which keep its columns."""
        found = Runs(rows)
        found._table_rows = self._table_rows
        return found

    def keys(self) -> list[str]:
        """Return the columns that any row has, in order of first appearance."""
        if self._keys is None:
            self._keys = list(dict.fromkeys(name for row in self._rows for name in row))
        return list(self._keys)

    def toPandas(self, lazy: bool = True) -> Any:
        """Return a data frame. lazy: metrics and artifacts are not read, and show as ``METRIC`` and ``ARTIFACT``."""
        from flambe.reading.data_frame import data_frame

        return data_frame(self, lazy=lazy)

    def diff(self, start_key: str = "config") -> list[str]:
        """Return the columns below ``start_key`` that are not the same in all rows; one that a row lacks is not."""
        names = [name for name in self.keys() if name == start_key or name.startswith(f"{start_key.rstrip('.')}.")]
        return [name for name in names if len({key_of(row.get(name, _ABSENT)) for row in self._rows}) > 1]

    # -- maps --------------------------------------------------------------------------------------------------------

    def map(self, maps: Any) -> Runs:
        """Return a row for each row, with the results of pointwise maps."""
        return self.apply(maps, POINTWISE)

    def transform(self, maps: Any) -> Runs:
        """Return a row for each row, with the results of columnwise maps, which have to return a value for each row."""
        return self.apply(maps, COLUMNWISE)

    def aggregate(self, maps: Any) -> Runs:
        """Return one row with what columnwise maps make of all rows; no row of no rows."""
        return self.apply(maps, COLUMNWISE, reduce=True)

    def apply(self, maps: Any, kind: str = GENERIC, *, reduce: bool = False, map_type: str | None = None) -> Runs:
        """Return the results of maps of a kind (see ``flambe.reading.column_map``).

        reduce: whether they make one row of all; else they have to keep the number of rows. map_type: the older name of kind.
        Raises InvalidMapError, NoSuchColumn.
        """
        kind = (map_type or kind).lower()
        read = read_maps(maps, kind)
        if not self._rows:
            return Runs()
        table = self._table(name for one in read for name in one.columns)
        if reduce:
            whole: dict[str, Any] = {}
            for one in read:
                whole |= one.one(table, kind)
            return Runs([whole])
        columns: dict[str, list[Any]] = {}
        for one in read:
            columns |= one.rows(table, len(self), kind)
        return Runs({name: cells[place] for name, cells in columns.items()} for place in range(len(self)))

    def filter(self, map: Any, bygroups: str | Sequence[str] | None = None) -> Runs:
        """Return the rows for which a generic map, which gives a boolean for each, gives True.

        bygroups: columns; the map is asked for each group of equal rows in these, and the groups come one after another.
        """
        if bygroups is not None:
            return self.part(row for group in self.groupby(bygroups).values() for row in group.filter(map))
        read = read_maps(map, GENERIC)
        if len(read) != 1 or len(read[0].outputs) != 1:
            raise InvalidMapError("a filter takes one map with one result")
        if not self._rows:
            return self.part(())
        [verdicts] = read[0].rows(self._table(read[0].columns), len(self), GENERIC).values()
        for verdict in verdicts:
            if not isinstance(verdict, bool):
                raise InvalidMapError(f"{read[0]} returned {verdict!r:.60}", expected="True or False for each row")
        return self.part(row for row, verdict in zip(self._rows, verdicts, strict=True) if verdict)

    # -- order and groups ----------------------------------------------------------------------------------------------

    def sort(self, by: str | Sequence[str], ascending: bool = True) -> Runs:
        """Return the rows ordered by columns, the first weighs most. Numbers come before texts; rows without a value last, either way."""
        rows = self._rows
        for name in reversed(names_of(by)):
            cells = self._column(name)
            pairs = (
                list(zip(cells, rows, strict=True)) if rows is self._rows else [(row.get(name), row) for row in rows]
            )
            have = [pair for pair in pairs if pair[0] is not None]
            have.sort(key=lambda pair: order_of(pair[0]), reverse=not ascending)
            rows = [row for _, row in have] + [row for cell, row in pairs if cell is None]
        return self.part(rows)

    def groupby(self, group_keys: str | Sequence[str]) -> GroupedRuns:
        """Return the rows by their values in some columns: groups in order of first appearance.

        A row without a column belongs to the group of None. Raises NoSuchColumn for one that no row has.
        """
        from flambe.reading.grouped import GroupedRuns

        names = names_of(group_keys)
        table = self._table(names) if self._rows else {name: [] for name in names}
        groups: dict[tuple[Any, ...], list[Cells]] = {}
        labels: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for place, row in enumerate(self._rows):
            label = tuple(table[name][place] for name in names)
            key = tuple(map(key_of, label))
            labels.setdefault(key, label)
            groups.setdefault(key, []).append(row)
        return GroupedRuns(names, [(labels[key], self.part(rows)) for key, rows in groups.items()])

    def merge(self, other: Runs) -> Runs:
        """Return rows with the columns of both, row by row; those of ``other`` win. Raises InvalidMapError for unequal lengths."""
        if len(self) != len(other):
            raise InvalidMapError(f"{len(self)} rows cannot be merged with {len(other)}", expected="equally many")
        return Runs({**one, **two} for one, two in zip(self._rows, other, strict=True))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _column(self, name: str) -> list[Any]:
        cells = [row.get(name) for row in self._rows]
        if self._rows and all(cell is None for cell in cells) and not any(name in row for row in self._table_rows):
            raise NoSuchColumn(name, Runs(self._table_rows).keys())
        return cells

    def _table(self, names: Iterable[str]) -> dict[str, list[Any]]:
        return {name: self._column(name) for name in dict.fromkeys(names)}


class _Absent:
    """The place of a value that a row does not have."""


_ABSENT = _Absent()


def order_of(value: Any) -> tuple[int, Any]:
    """Return a key that orders any values: numbers, NaN after them, then texts, then lists by what is in them, then the rest."""
    if isinstance(value, int | float):
        return (1, 0) if value != value else (0, value)
    if isinstance(value, str):
        return (2, value)
    return (3, [order_of(item) for item in value]) if isinstance(value, list | tuple) else (4, repr(value))


def counted(count: int, what: str) -> str:
    """Return ``1 run``, ``2 runs``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def key_of(value: Any) -> Any:
    """Return something to tell equal values by: lists too, and True from 1."""
    if isinstance(value, list | tuple):
        return ("list", *map(key_of, value))
    if isinstance(value, Mapping):
        return ("map", *((name, key_of(item)) for name, item in value.items()))
    if isinstance(value, float) and math.isnan(value):
        return "NaN", float
    return (value, "bool") if isinstance(value, bool) else value if value.__hash__ is not None else repr(value)


def _cheap(row: Cells, name: str) -> Any:
    if isinstance(row, Row):
        return "ARTIFACT" if name.startswith(ARTIFACT) else LAZY if is_detail(name) else row.cells.get(name)
    return row.get(name)


def _text(value: Any) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"


__all__ = ["LAZY", "Cells", "Runs", "counted", "key_of", "order_of"]
