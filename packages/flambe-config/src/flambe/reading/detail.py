"""What is read of a run only when somebody asks: its metrics, in sums, and the names of its artifacts."""

from __future__ import annotations

from typing import Any

import msgspec

from flambe.reading.column_names import ARTIFACT
from flambe.reading.series import FUNCTIONS


class Series(msgspec.Struct, array_like=True):
    """A metric column: the unit, log and key that it is, and what ``FUNCTIONS`` are of it (None where there is no answer)."""

    unit: str
    log: str
    key: str
    summary: list[Any]

    def __post_init__(self) -> None:
        if len(self.summary) != len(FUNCTIONS):  # somebody else has written it
            raise ValueError(f"expected {len(FUNCTIONS)} values")

    def of(self, function: str) -> Any:
        return self.summary[FUNCTIONS.index(function)]


class Detail(msgspec.Struct, array_like=True):
    """run: column → metric in the row of the run. units: unit → column → metric. files: unit, type, name and size of artifacts."""

    run: dict[str, Series] = {}
    units: dict[str, dict[str, Series]] = {}
    files: list[tuple[str, str, str, int]] = []

    def of_run(self, column: str) -> Any:
        """Return what a query is told of a column of the run: a metric is its last value, an artifact its size. None: nothing."""
        if column.startswith(ARTIFACT):
            return next((size for _, kind, file, size in self.files if column == f"{ARTIFACT}{kind}.{file}"), None)
        return value_of(self.run, column)


_decode = msgspec.msgpack.Decoder(Detail).decode


def detail_of(data: bytes) -> Detail | None:
    """Return what was kept of the metrics and artifacts of a run; None when it is broken."""
    try:
        return _decode(data)
    except msgspec.MsgspecError:
        return None


def value_of(series: dict[str, Series], name: str) -> Any:
    """Return what a column of a query is of the metrics of a row: ``min(val.loss)``, or the last value of ``val.loss``."""
    if name in series:
        return series[name].of("last")
    function, bracket, rest = name.partition("(")
    if bracket and function in FUNCTIONS and rest[:-1] in series:
        return series[rest[:-1]].of(function)
    return None


__all__ = ["Detail", "Series", "detail_of", "value_of"]
