"""The values of metrics, one by one, and plots of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from flambe.errors import UsageError, did_you_mean
from flambe.reading.query import parse
from flambe.reading.reader import Reader
from flambe.report.plot import Point, plot
from flambe.report.rows import Row, cell

_MOST_PLOTS = 24


def curve_rows(reader: Reader, where: str, names: Sequence[str]) -> list[Row]:
    """Return a row for each value: run, unit, log, step, t (seconds since its unit began), metric, value.

    where: of the rows of units. names: ``log.key`` or ``key``, or patterns of them as the shell has (``*loss``); empty for all.
    Raises UsageError for one that is no metric of a unit, ConfigError for a fault in ``where``.
    """
    query = parse(where)
    units = [(unit, unit.row()) for run in reader for unit in run.units()]
    if units and query.columns:
        if (unknown := reader.unknown(query, units=True)) is not None:
            raise unknown
        chosen = {(row.cells["run"], row.cells["unit"]) for row in reader.select(query, units=True)}
        units = [(unit, row) for unit, row in units if (row["run"], row["unit"]) in chosen]
    rows: list[Row] = []
    seen: dict[str, bool] = {}  # name → whether it was asked for
    for unit, row in units:
        for log in unit.logs():
            for line in unit.metrics(log):
                values = {key: value for key, value in line.items() if key != "step" and not key.startswith("_")}
                for name in (*values, *(f"{log}.{key}" for key in values)):
                    if name not in seen:
                        seen[name] = not names or any(_is_meant(name, one) for one in names)
                rows.extend(
                    {"run": row["run"], "unit": unit.id, "log": log, "step": line.get("step"),
                     "t": line.get("_t"), "metric": key, "value": value}
                    for key, value in values.items()
                    if seen[key] or seen[f"{log}.{key}"]
                )  # fmt: skip
    for name in names:
        if not any(_is_meant(one, name) for one in seen):
            hint = did_you_mean(name, seen) or (f"Known are {', '.join(list(seen)[:40])}." if seen else None)
            raise UsageError(f"{name!r} is neither a path nor a metric of a unit", hint=hint)
    return rows


def _is_meant(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def plots(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a plot for each metric of each unit. x: the step, else the place in the file."""
    curves: dict[tuple[str, str, str], list[Point]] = {}
    last: dict[tuple[str, str, str], Any] = {}
    several = len({row["run"] for row in rows}) > 1
    for row in rows:
        where = cell("run", row["run"]) + " " if several else ""
        key = (where, row["unit"], f"{row['log']}.{row['metric']}")
        points = curves.setdefault(key, [])
        if isinstance(row["value"], int | float):
            x = row["step"] if isinstance(row["step"], int | float) else len(points)
            points.append((float(x), float(row["value"])))
            last[key] = row["value"]
    for key, points in list(curves.items())[:_MOST_PLOTS]:
        where, unit, name = key
        yield cell("", f"{where}{unit}  {name}") + (f"  {cell('', last[key])}" if key in last else "")
        yield from plot(points)
        yield ""
    if len(curves) > _MOST_PLOTS:
        yield f"… and {len(curves) - _MOST_PLOTS} more; name a metric, or choose units with --where."


__all__ = ["curve_rows", "plots"]
