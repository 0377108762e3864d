"""What a query compares: columns of a row, functions of them, and values that it writes; and how two of these compare.

Numbers compare with numbers, text with text, times with times; a boolean is no number. Whatever else meets is unequal, and
in no order: never an error.
"""

from __future__ import annotations

import datetime
import operator
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flambe.reading.series import FUNCTIONS, summary_of
from flambe.reading.sheet import MISSING, Sheet

Row = Mapping[str, Any]


class Test(NamedTuple):
    """What is asked of a row. of_row: its answer for one. of_all: those for all rows of a sheet, where columns are quicker."""

    of_row: Callable[[Row], bool]
    of_all: Callable[[Sheet], list[bool]]


def by_rows(test: Callable[[Row], bool]) -> Test:
    """Return a test that has to see each row."""
    return Test(test, lambda sheet: [test(row) for row in sheet.rows])


ALIASES = {
    "info.logger.log_id": "info.index",
    "info.log_id": "info.index",
    "info.logger.log_dir": "info.path",
    "info.log_dir": "info.path",
    "info.hostname": "info.host.name",
    "info.process_id": "info.host.pid",
    "info.user": "info.command.user",
    "info.work_dir": "info.command.cwd",
    "info.start_time": "info.time.started",
    "info.start_date": "info.time.started",
    "info.end_time": "info.time.ended",
    "info.end_date": "info.time.ended",
    "info.scheduler.scheduler_job_id": "info.scheduler.job_id",
    "info.version_manager.commit_hash": "info.code.git.commit",
}
"""Columns of mlxp → where the same is in ``run.json``."""

AGE = "info.age"
"""Seconds since a run was created, at the time of asking: no file has it."""
CREATED = "info.time.created"

SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
"""The units of durations."""

_NUMBERS: frozenset[type] = frozenset({int, float})
_TEXTS: frozenset[type] = frozenset({str})
_STARTING = {"STARTING": ("CREATED", "QUEUED")}
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?\Z")


class Operand(NamedTuple):
    """One side of a comparison. get: its value in a row. column: its name, where it is one alone; else constant: the value.

    cell: the column of a sheet that has what is asked for; None where that is no single one.
    """

    get: Callable[[Row], Any]
    column: str | None = None
    constant: Any = MISSING
    cell: str | None = None

    @property
    def may_stand_alone(self) -> bool:
        return self.column is not None or isinstance(self.constant, bool)


def constant(value: Any) -> Operand:
    """Return the operand that is ``value`` in every row."""
    return Operand(lambda row: value, constant=value)


def column(name: str) -> Operand:
    """Return the operand of a column; old names are those of today."""
    name = ALIASES.get(name, name)
    if name == AGE:
        return Operand(_age, name)
    return Operand(lambda row: row.get(name, MISSING), name, cell=name)


def called(function: str, name: str) -> Operand:
    """Return ``function(name)``: as the row has it already, else of the values that it has in that column."""
    whole = f"{function}({name})"

    def get(row: Row) -> Any:
        value = row.get(whole, MISSING)
        if value is MISSING and (values := row.get(name, MISSING)) is not MISSING:
            value = summary_of(values if isinstance(values, list) else [values]).get(function)
        return MISSING if value is None else value

    return Operand(get, cell=whole)


def age_of(row: Row) -> float | None:
    """Return the seconds since a run was created; None where that is not known."""
    created = instant(row.get(CREATED, row.get("created")))
    return None if created is None else max(0.0, round(time.time() - created, 3))


def _age(row: Row) -> Any:
    age = age_of(row)
    return MISSING if age is None else age


def instant(value: Any) -> float | None:
    """Return the seconds since 1970 of a text that is a date or a time; without a zone it is UTC, as in records."""
    if not isinstance(value, str) or not _TIME.match(value):
        return None
    try:
        moment = datetime.datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def comparison(sign: str, left: Operand, right: Operand) -> Test:
    """Return the test ``left sign right``. A row that lacks one of them fails it, whatever the sign."""
    for one, other in ((left, right), (right, left)):
        if one.constant in _STARTING and other.column in ("info.status", "status") and sign in ("==", "!="):
            return membership(other, [constant(state) for state in _STARTING[one.constant]], negated=sign == "!=")
    compare = SIGNS[sign]
    if left.cell is not None and (kinds := _plain_kinds(right.constant)):
        # By far the most frequent form, asked of every run there is.
        cell_name, get, value = left.cell, left.get, right.constant
        if sign == "!=":
            return asking(left, lambda cell: not (_is_nothing(cell) or (type(cell) in kinds and cell == value)))
        return Test(
            lambda row: type(cell := get(row)) in kinds and compare(cell, value),
            lambda sheet: [type(cell) in kinds and compare(cell, value) for cell in sheet.column(cell_name)],
        )

    def test(row: Row) -> bool:
        one, other = left.get(row), right.get(row)
        if _is_nothing(one) or _is_nothing(other):
            return False
        if sign == "==":
            return equal(one, other)
        if sign == "!=":
            return not equal(one, other)
        if (kind := _kind(one)) != _kind(other) or kind not in ("number", "text"):
            return False
        if kind == "text" and (first := instant(one)) is not None and (second := instant(other)) is not None:
            return compare(first, second)
        return compare(one, other)

    return by_rows(test)


def membership(left: Operand, items: list[Operand], *, negated: bool) -> Test:
    """Return the test ``left in items``; a row that lacks ``left`` fails it, also when ``negated``."""

    values = [item.constant for item in items]
    if left.cell is not None and not negated and values and all(map(_plain_kinds, values)):
        known = {(type(value) is str, value) for value in values}
        kinds = _NUMBERS | _TEXTS
        return asking(left, lambda cell: type(cell) in kinds and (type(cell) is str, cell) in known)

    def test(row: Row) -> bool:
        value = left.get(row)
        if _is_nothing(value):
            return False
        return any(equal(value, item.get(row)) for item in items) is not negated

    return by_rows(test)


def _is_nothing(cell: Any) -> bool:
    """Whether no comparison with a cell is true: there is none, or it is an empty map, which to mlxp is the same."""
    return cell is MISSING or type(cell) is dict


def matching(left: Operand, pattern: re.Pattern[str]) -> Test:
    """Return the test whether the text ``left`` has a part that ``pattern`` matches."""

    def test(value: Any) -> bool:
        return isinstance(value, str) and pattern.search(value) is not None

    return asking(left, test)


def asking(left: Operand, test: Callable[[Any], bool]) -> Test:
    """Return a test of one side alone, whose cell is ``MISSING`` where a row has none."""
    get, name = left.get, left.cell
    if name is None:
        return by_rows(lambda row: test(get(row)))
    return Test(lambda row: test(get(row)), lambda sheet: [test(cell) for cell in sheet.column(name)])


def equal(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one kind; texts also when they are the same moment."""
    if (kind := _kind(one)) != _kind(other):
        return False
    if one == other:
        return True
    if kind == "list":
        return len(one) == len(other) and all(map(equal, one, other))
    return kind == "text" and (first := instant(one)) is not None and first == instant(other)


def _plain_kinds(value: Any) -> frozenset[type] | None:
    """Return the types of what compares with a constant as Python does it: numbers, and texts that are no times."""
    if type(value) in _NUMBERS:
        return _NUMBERS
    return _TEXTS if isinstance(value, str) and instant(value) is None else None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list | tuple):
        return "list"
    return "text" if isinstance(value, str) else type(value).__name__


__all__ = ["AGE", "ALIASES", "FUNCTIONS", "MISSING", "Operand", "Row", "Sheet", "Test", "age_of", "equal", "instant"]
