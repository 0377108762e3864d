"""A function of columns, as ``(function, columns)`` or ``(function, columns, names of the results)``, and what it gives.

============== ========================================================= =====================================
kind           what the function gets                                    what it returns
============== ========================================================= =====================================
pointwise      one cell                                                  one cell
columnwise     all cells of one column, as a list                        as many cells, or one where it reduces
rowwise        the cells of one row, an argument for each column         one cell
generic        a list for each column, as arguments                      as many cells, or one where it reduces
============== ========================================================= =====================================

Pointwise and columnwise functions are called for each of their columns; the names of the results are ``f<function>.<column>``. The
others give one column, ``f<function>.<column>_<column>``, or as many as they are given names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flambe.errors import UsageError, did_you_mean

POINTWISE, COLUMNWISE, ROWWISE, GENERIC = KINDS = ("pointwise", "columnwise", "rowwise", "generic")


class InvalidMapError(UsageError, ValueError):
    """A map that is none, or whose function returns what its kind does not allow."""


class ColumnMap(NamedTuple):
    """A function, the columns it takes, and the names of what it gives."""

    function: Callable[..., Any]
    columns: tuple[str, ...]
    outputs: tuple[str, ...]

    def __str__(self) -> str:
        return f"the map {_name(self.function)} of {', '.join(self.columns)}"

    def rows(self, table: Mapping[str, list[Any]], size: int, kind: str) -> dict[str, list[Any]]:
        """Return name → ``size`` cells. table: column → its cells. Raises InvalidMapError for another number of them."""
        if kind == POINTWISE:
            return {
                name: [self.function(cell) for cell in table[column]]
                for column, name in zip(self.columns, self.outputs, strict=True)
            }
        if kind == ROWWISE:
            cells = [self.function(*row) for row in zip(*(table[column] for column in self.columns), strict=True)]
            return self._split(cells) if len(self.outputs) > 1 else {self.outputs[0]: cells}
        found = self._called(table, kind)
        return {name: self._checked(cells, size) for name, cells in found.items()}

    def one(self, table: Mapping[str, list[Any]], kind: str) -> dict[str, Any]:
        """Return name → the one value that the cells of ``table`` come to."""
        if kind in (POINTWISE, ROWWISE):
            raise InvalidMapError(f"{self} is {kind} and reduces nothing", expected="columnwise or generic")
        return {name: _plain(value) for name, value in self._called(table, kind).items()}

    def _called(self, table: Mapping[str, list[Any]], kind: str) -> dict[str, Any]:
        if kind == COLUMNWISE:
            pairs = zip(self.columns, self.outputs, strict=True)
            return {name: self.function(list(table[column])) for column, name in pairs}
        whole = self.function(*(list(table[column]) for column in self.columns))
        if len(self.outputs) == 1:
            return {self.outputs[0]: whole}
        if not isinstance(whole, list | tuple) or len(whole) != len(self.outputs):
            raise InvalidMapError(f"{self} has to return {len(self.outputs)} columns, and not {whole!r:.60}")
        return dict(zip(self.outputs, whole, strict=True))

    def _split(self, cells: list[Any]) -> dict[str, list[Any]]:
        for cell in cells:
            if not isinstance(cell, list | tuple) or len(cell) != len(self.outputs):
                raise InvalidMapError(
                    f"{self} has to return {len(self.outputs)} values for a row, and not {cell!r:.60}"
                )
        return {name: [cell[place] for cell in cells] for place, name in enumerate(self.outputs)}

    def _checked(self, cells: Any, size: int) -> list[Any]:
        cells = _plain(cells)
        if not isinstance(cells, list | tuple) or len(cells) != size:
            what = f"{len(cells)} values" if isinstance(cells, list | tuple) else f"{cells!r:.60}"
            raise InvalidMapError(
                f"{self} returned {what}",
                expected=f"{size}, one for each row",
                hint="To reduce rows to one, use aggregate.",
            )
        return list(cells)


def read_maps(given: Any, kind: str) -> list[ColumnMap]:
    """Return the maps of an argument: one map, or a list of them. Raises InvalidMapError."""
    if kind not in KINDS:
        raise InvalidMapError(f"{kind!r} is no kind of map", expected=", ".join(KINDS), hint=did_you_mean(kind, KINDS))
    many = isinstance(given, Sequence) and not isinstance(given, str) and not (given and callable(given[0]))
    maps = [_read(one, kind) for one in (given if many else [given])]
    if not maps:
        raise InvalidMapError("there is no map", expected="(function, columns)")
    return maps


def _read(given: Any, kind: str) -> ColumnMap:
    expected = "(function, column or columns) or (function, columns, name or names)"
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) not in (2, 3) or not callable(given[0]):
        raise InvalidMapError(f"{given!r:.80} is no map", expected=expected)
    columns = names_of(given[1])
    if not columns:
        raise InvalidMapError(f"{given!r:.80} names no column", expected=expected)
    if len(given) == 3:
        outputs = names_of(given[2])
    elif kind in (POINTWISE, COLUMNWISE):
        outputs = tuple(f"f{_name(given[0])}.{column}" for column in columns)
    else:
        outputs = (f"f{_name(given[0])}.{'_'.join(columns)}",)
    if kind in (POINTWISE, COLUMNWISE) and len(outputs) != len(columns):
        raise InvalidMapError(
            f"a {kind} map of {len(columns)} columns has {len(outputs)} names", expected="one for each"
        )
    return ColumnMap(given[0], columns, outputs)


def names_of(given: Any) -> tuple[str, ...]:
    """Return a column, or several, as a tuple. Raises InvalidMapError for what is none."""
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Sequence) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise InvalidMapError(f"{given!r:.80} is no column", expected="a text, or a tuple of texts")
    return names


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    return "lambda" if name == "<lambda>" else str(name or type(function).__name__)


def _plain(value: Any) -> Any:
    """Return arrays and tensors as lists, and their scalars as numbers."""
    return value.tolist() if hasattr(value, "tolist") else value


__all__ = [
    "COLUMNWISE",
    "GENERIC",
    "KINDS",
    "POINTWISE",
    "ROWWISE",
    "ColumnMap",
    "InvalidMapError",
    "names_of",
    "read_maps",
]
