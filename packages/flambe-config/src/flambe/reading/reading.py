"""Reading one run from its files, as an index keeps it: its row, the rows of its units, its metrics and artifacts."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flambe.errors import ConfigError
from flambe.reading.columns import has_one_stage
from flambe.reading.detail import Detail, Series
from flambe.reading.foreign import open_foreign
from flambe.reading.known import BELOW, Cells, Known
from flambe.reading.recorded import RecordedRun
from flambe.reading.series import FUNCTIONS
from flambe.record.run import FINISHED, RUNNING

_OF_THE_PLACE = ("run", "path", "info.path")
"""Columns that are no part of what is kept: they change when a folder is moved."""
_encode = msgspec.msgpack.Encoder().encode


class Reading(NamedTuple):
    """row: the columns of the run; units: those of its units, encoded. problems: what could not be read.

    finished: whether it changes no more, unless its record says so first. changing: whether it has to be read again in any case.
    """

    row: Cells
    units: bytes
    finished: bool
    changing: bool
    problems: list[str]


def open_run(path: str, kind: str, *, once: bool = False) -> RecordedRun:
    """Return the reader of one run directory. kind: whose it is, empty for ours. once: read each file once."""
    return open_foreign(kind, Path(path)) if kind else RecordedRun(path, once=once)


def read_run(path: str, kind: str, record: tuple[bytes, os.stat_result] | None = None) -> Reading:
    """Read a run. record: what is in its ``run.json``, where that was read already.

    Raises ConfigError when its record is none, or holds what no table can have.
    """
    run = open_run(path, kind, once=True)
    if record is not None:
        run.give_record(*record)
    units = run.units()
    row = run.columns(units)
    for name in _OF_THE_PLACE:
        row.pop(name, None)
    rows = [_without_place(unit.columns(), path) for unit in units]
    try:
        try:
            _encode(row)
            data = _encode(rows)
        except OverflowError:
            row, rows = _fitting(row), _fitting(rows)
            _encode(row)
            data = _encode(rows)
    except (OverflowError, UnicodeError, TypeError, msgspec.MsgspecError, RecursionError) as error:
        raise ConfigError(f"{path} holds a value that no table can have: {error}") from error
    status, problems = row.get("status"), run.problems()
    return Reading(row, data, status in FINISHED or kind != "", status == RUNNING or bool(problems), problems)


def read_detail(known: Known) -> tuple[Detail, list[str]]:
    """Return the metrics and artifacts of a run, and what could not be read of them."""
    run = known.open(once=True)
    detail = Detail(run={}, units={}, files=[])
    places = known.places()
    several = not has_one_stage(known.cell("kind"))
    counts = Counter(place.stage for place in places)
    for name, stage, is_best in ((place.unit, place.stage, place.best) for place in places):
        unit = run.bare_unit(name)
        series = {
            f"{log}.{key}": Series(name, log, key, [summary.get(function) for function in FUNCTIONS])
            for (log, key), summary in unit.summaries().items()
        }
        detail.units[name] = series
        detail.files += [(name, file.type, file.name, file.size) for file in unit.artifacts()]
        # The variant that stands for its stage in the row of the run: its best, else its only one.
        if is_best or counts[stage] == 1:
            detail.run.update({f"{stage}/{column}" if several else column: one for column, one in series.items()})
    return detail, run.problems()


def _without_place(cells: Cells, run: str) -> Cells:
    path = cells.pop("path", None)
    for name in _OF_THE_PLACE:
        cells.pop(name, None)
    if path is not None:
        cells[BELOW] = path[len(run) + 1 :] if path.startswith(f"{run}/") else os.path.relpath(path, run)
    return cells


def _fitting(value: Any) -> Any:
    """Return cells whose integers fit into 64 bits; larger ones become texts."""
    if isinstance(value, dict):
        return {name: _fitting(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fitting(item) for item in value]
    large = isinstance(value, int) and not -(1 << 63) <= value < 1 << 63
    return hex(value) if large else value


__all__ = ["Reading", "open_run", "read_detail", "read_run"]
