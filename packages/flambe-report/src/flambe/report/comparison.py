"""Two runs beside each other: the columns in which they differ."""

from __future__ import annotations

from typing import Any

from flambe.reading.column_names import CONFIG, PARAMS
from flambe.reading.operand import equal
from flambe.reading.row import Row

_PLAIN = ("name", "kind", "status", "metric_name", "metric", "best", "done", "failed", "result_digest")
_CODE = "info.code.tree"


def differences(one: Row, other: Row, *, everything: bool = False) -> list[dict[str, Any]]:
    """Return a row for each column that differs: column, a, b. A value that a run does not have is left out.

    Compared are status and result, the config, parameters, the code, and the last value of each metric; with ``everything`` all
    columns there are.
    """
    a, b = _cells(one), _cells(other)
    names = [name for name in dict.fromkeys((*a, *b)) if everything or _matters(name)]
    rows = []
    for name in names:
        if (name in a) != (name in b) or not equal(a.get(name), b.get(name)):
            row: dict[str, Any] = {"column": name}
            row |= {side: cells[name] for side, cells in (("a", a), ("b", b)) if name in cells}
            rows.append(row)
    return rows


def _matters(name: str) -> bool:
    return (
        name in _PLAIN
        or name.startswith((CONFIG, PARAMS))
        or name == _CODE
        or (not name.startswith("info.") and "." in name)
    )


def _cells(row: Row) -> dict[str, Any]:
    return dict(row.cells) | {name: series.of("last") for name, series in row.series.items()}


__all__ = ["differences"]
