"""Tables as CSV files (RFC 4180) that keep what a cell is: text is quoted, numbers are not, and nothing is None."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flambe.errors import FlambeError
from flambe.record.metrics import plain_number

_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n)')
_WORDS = {"": None, "true": True, "false": False}

Row = dict[str, Any]


def rows_of(value: Any) -> list[Row]:
    """Return the rows of a table: a list of mappings, a mapping of columns, or a data frame.

    Raises FlambeError for anything else, and for columns of different lengths.
    """
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        value = {str(name): value[name].tolist() for name in value.columns}
    if isinstance(value, Mapping):
        columns = {str(name): list(column) for name, column in value.items()}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise FlambeError(f"the columns of a table are of different lengths: {lengths}")
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        rows = list(value)
        if all(isinstance(row, Mapping) for row in rows):
            return [{str(name): cell for name, cell in row.items()} for row in rows]
    raise FlambeError(
        f"a {type(value).__qualname__} is no table",
        expected="a list of mappings, a mapping of columns, or a data frame",
    )


def encode(rows: list[Row]) -> str:
    """Return rows as CSV with a header. A row that lacks a column has None there. Raises TypeError for other cells."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [map(_quoted, names), *([_cell(row.get(name)) for name in names] for row in rows)]
    return "".join(",".join(line) + "\r\n" for line in lines)


def decode(text: str) -> list[Row]:
    """Return the rows of a CSV file with a header. Raises FlambeError for what is none."""
    lines = list(_lines(text if text.endswith("\n") or not text else text + "\n"))
    if not lines:
        return []
    names = [str(cell) for cell in lines[0]]
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(names):
            raise FlambeError(f"row {number} of this table has {len(line)} cells, its header {len(names)}")
    return [dict(zip(names, line, strict=True)) for line in lines[1:]]


def _lines(text: str) -> Iterator[list[Any]]:
    line: list[Any] = []
    at = 0
    while at < len(text):
        found = _CELL.match(text, at)
        if found is None:
            raise FlambeError(
                f"this is no table: a quote is open or in the middle of a cell, near {text[at : at + 40]!r}"
            )
        quoted, bare, end = found.groups()
        line.append(_value(bare) if quoted is None else quoted.replace('""', '"'))
        if end != ",":
            yield line
            line = []
        at = found.end()


def _cell(value: Any) -> str:
    plain = plain_number(value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return str(plain).lower()
    # "NaN" without quotes is the number.
    return _quoted(plain) if isinstance(value, str) else str(plain)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _value(bare: str) -> Any:
    if bare in _WORDS:
        return _WORDS[bare]
    for number in (int, float):
        try:
            return number(bare)
        except ValueError:
            continue
    return bare
