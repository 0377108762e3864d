"""SQL over what is recorded of runs: a database in memory, made of the tables that a question names, for reading only.

========= =====================================================================================================
runs      a row for each run: ``RUN_COLUMNS``
units     a row for each variant of each stage: ``UNIT_COLUMNS``, name and index of its run
params    run, unit, name (without ``params.``), value
config    run, name (without ``config.``), value
info      run, name (without ``info.``), value
metrics   run, unit, log, key, and last, first, min, max, mean, std, len, argmin, argmax of its values
artifacts run, unit, type, name, bytes
========= =====================================================================================================

Booleans are 1 and 0, lists and mappings are JSON.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flambe.errors import ConfigError, did_you_mean
from flambe.reading.column_names import CONFIG, INFO, PARAMS, RUN_COLUMNS, UNIT_COLUMNS
from flambe.reading.series import FUNCTIONS

if TYPE_CHECKING:
    from flambe.reading.row import Row

TABLES: dict[str, tuple[str, ...]] = {
    "runs": RUN_COLUMNS,
    "units": (*UNIT_COLUMNS, "name", "index"),
    "params": ("run", "unit", "name", "value"),
    "config": ("run", "name", "value"),
    "info": ("run", "name", "value"),
    "metrics": ("run", "unit", "log", "key", *FUNCTIONS),
    "artifacts": ("run", "unit", "type", "name", "bytes"),
}
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_WIDEST = 1 << 63
_DOUBLE = re.compile(
    r"""'(?:[^']|'')*' | `[^`]*` | \[[^\]]*\] | --[^\n]* | /\*.*?\*/ | "((?:[^"]|"")*)\"""", re.X | re.S
)
"""What SQL does not look into, and names in double quotes."""
_SIDE = {CONFIG: "config", PARAMS: "params", INFO: "info"}


def answer(text: str, runs: Iterable[Row], units: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the rows that a SELECT gives. runs, units: what the tables are made of.

    Raises ConfigError for what is no SELECT, and for tables and columns that there are none of.
    """
    database = sqlite3.connect(":memory:")
    try:
        for table in named(text):
            columns = TABLES[table]
            database.execute(f"CREATE TABLE {table} ({', '.join(map(_quoted, columns))})")
            places = ",".join("?" * len(columns))
            rows = (tuple(map(_cell, row)) for row in _rows_of(table, runs, units))
            database.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608 - our own names
        database.execute("PRAGMA query_only = ON")
        database.set_authorizer(_authorize)
        try:
            if '"' in text:
                # A name in double quotes that is no column would be a text to SQLite; one in its other quotes is an error.
                database.execute(_DOUBLE.sub(_in_backquotes, text)).close()
            cursor = database.execute(text)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _fault(error, text) from error
        names = [column[0] for column in cursor.description or ()]
        try:
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise _fault(error, text) from error
    finally:
        database.close()


def named(text: str) -> list[str]:
    """Return the tables that a question may mean, by the words in it."""
    words = {word.lower() for word in re.findall(r"\w+", text)}
    return [table for table in TABLES if table in words]


def _authorize(action: int, *about: Any) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _in_backquotes(match: re.Match[str]) -> str:
    name: str | None = match[1]
    return match[0] if name is None else "`" + name.replace('""', '"').replace("`", "``") + "`"


def _fault(error: Exception, text: str) -> ConfigError:
    what = str(error)
    kind, _, name = what.partition(": ")
    hint = expected = None
    if kind == "no such table":
        hint, expected = did_you_mean(name, TABLES), f"one of {', '.join(TABLES)}"
    elif kind == "no such column":
        hint = _where_it_is(name, text)
    elif what.startswith('near "."') and (long := re.search(r"\b(?:config|params|info)(?:\.\w+){2,}", text)):
        hint = _where_it_is(long[0], text)  # of more parts than SQL has names for
    elif "not authorized" in what:
        expected = "a SELECT: nothing can be changed"
    return ConfigError(f"SQL: {what}", expected=expected, hint=hint)


def _where_it_is(name: str, text: str) -> str | None:
    """Return where a column is that no table has: options, facts and metrics are rows."""
    for prefix, table in _SIDE.items():
        if name.startswith(prefix):
            key = name.removeprefix(prefix).replace("'", "''")
            searched = "; what was searched is in params too" if table == "config" else ""
            return f"It is a row of {table}: SELECT run, value FROM {table} WHERE name = '{key}'{searched}."  # noqa: S608 - words
    columns = dict.fromkeys(column for names in TABLES.values() for column in names)
    first, dot, last = name.rpartition(".")
    near = did_you_mean(last, columns)
    if f'"{name}"' in text and not dot:
        return " ".join(filter(None, (near, f"Double quotes name a column; a text is in single ones: '{name}'.")))
    if near:
        return near
    if dot and not re.search(rf"\b{re.escape(first)}\b(?!\.)", text):  # no table, and none by another name
        log, key = first.replace("'", "''"), last.replace("'", "''")
        return f"A metric is a row of metrics: SELECT run, last FROM metrics WHERE log = '{log}' AND key = '{key}'."  # noqa: S608 - words
    return None


def _rows_of(table: str, runs: Iterable[Row], units: Iterable[Row]) -> Iterator[Sequence[Any]]:
    if table in ("runs", "units"):
        columns = TABLES[table]
        for row in runs if table == "runs" else units:
            yield [row.cells.get(name) for name in columns]
    elif table in ("config", "info"):
        prefix = CONFIG if table == "config" else INFO
        for row in runs:
            for name, value in row.cells.items():
                if name.startswith(prefix):
                    yield row.cells["run"], name[len(prefix) :], value
    elif table == "params":
        for row in units:
            for name, value in row.cells.items():
                if name.startswith(PARAMS):
                    yield row.cells["run"], row.cells["unit"], name[len(PARAMS) :], value
    elif table == "metrics":
        for row in units:
            for series in row.series.values():
                yield row.cells["run"], series.unit, series.log, series.key, *series.summary
    else:
        for row in runs:
            for unit, kind, name, size in row.files:
                yield row.cells["run"], unit, kind, name, size


def _quoted(name: str) -> str:
    return f'"{name}"'


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -_WIDEST <= value < _WIDEST else str(value)
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    # SQLite has no NaN, and keeps infinities.
    return None if isinstance(value, float) and math.isnan(value) else value


__all__ = ["TABLES", "answer", "named"]
