"""What ``--agg`` and ``--best`` write: ``mean(last(train.loss)) as m``, ``min(m)``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from flambe.errors import UsageError, did_you_mean
from flambe.reading.aggregates import BY_NAME
from flambe.reading.operand import ALIASES
from flambe.reading.query import FUNCTIONS
from flambe.reading.runs import Cells, order_of

_COLUMN = r"(?:`[^`]+`|[^\s(),`]+)"
_EXPRESSION = re.compile(
    rf"\s*(?P<outer>\w+)\s*\(\s*(?:(?P<inner>\w+)\s*\(\s*(?P<of>{_COLUMN})\s*\)|(?P<column>{_COLUMN}))\s*\)"
    r"(?:\s+as\s+(?P<name>[\w.]+))?\s*\Z"
)
_BESTS = ("min", "max")


class Expression(NamedTuple):
    """``outer(cell)``: outer goes over rows, cell is a column, or a function of the values of a metric. name: of the result."""

    outer: str
    cell: str
    name: str
    column: str

    def of(self, runs: Iterable[Cells]) -> Any:
        """Return what it is of some rows. A metric that no function is asked of gives its values, step by step."""
        return BY_NAME[self.outer]([row.get(self.cell) for row in runs])

    def best(self, runs: Iterable[Cells]) -> Cells | None:
        """Return the row that has the least, or greatest, cell; the first of equal ones; None where no row has any."""
        there = [row for row in runs if (value := _scalar(row.get(self.cell))) is not None and value == value]
        rows = sorted(there, key=lambda row: order_of(_scalar(row[self.cell])), reverse=self.outer == "max")
        return rows[0] if rows else None


def _scalar(value: Any) -> Any:
    """Return the value of a cell; of a metric, its last."""
    return next((item for item in reversed(value) if item is not None), None) if isinstance(value, list) else value


def read_expressions(text: str, option: str) -> list[Expression]:
    """Return the expressions of a text with commas between. Raises UsageError naming ``option``."""
    parts = [part for part in re.split(r",(?![^`(]*[`)])", text) if part.strip()]
    if not parts:
        raise UsageError(f"{option} is empty", expected="such as mean(last(train.loss))")
    return [_read(part, option) for part in parts]


def read_best(text: str) -> Expression:
    """Return what ``--best`` asks for. Raises UsageError."""
    found = _read(text, "--best")
    if found.outer not in _BESTS:
        raise UsageError(f"--best: {text.strip()!r}", expected="min(COLUMN) or max(COLUMN)")
    return found


def _read(text: str, option: str) -> Expression:
    match = _EXPRESSION.match(text)
    if match is None:
        raise UsageError(
            f"{option}: {text.strip()!r}", expected="FUNCTION(COLUMN) or FUNCTION(FUNCTION(COLUMN)) [as NAME]"
        )
    outer, inner = match["outer"], match["inner"]
    _check(outer, tuple(BY_NAME), option)
    column = (match["of"] or match["column"]).strip("`")
    column = ALIASES.get(column, column)
    if inner is not None:
        _check(inner, FUNCTIONS, option)
    written = re.sub(r"\s+as\s+[\w.]+\s*\Z", "", text).strip()
    return Expression(outer, f"{inner}({column})" if inner else column, match["name"] or written, column)


def _check(function: str, known: Sequence[str], option: str) -> None:
    if function not in known:
        raise UsageError(
            f"{option}: unknown function {function!r}", expected=", ".join(known), hint=did_you_mean(function, known)
        )


__all__ = ["Expression", "read_best", "read_expressions"]
