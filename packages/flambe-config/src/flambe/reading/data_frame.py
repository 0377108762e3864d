"""A table of runs as a data frame of pandas, which is imported when somebody asks for one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flambe.errors import FlambeError
from flambe.reading.column_names import ARTIFACT, is_detail
from flambe.reading.row import Row

if TYPE_CHECKING:
    from flambe.reading.runs import Runs

_PANDAS = "pandas"


def data_frame(runs: Runs, *, lazy: bool) -> Any:
    """Return a ``pandas.DataFrame`` with a row for each run. lazy: neither metrics nor artifacts are read.

    Raises FlambeError where pandas is not installed.
    """
    try:
        # Named in a variable: the floor runs everywhere, and pandas is nothing that it needs.
        frames: Any = importlib.import_module(_PANDAS)
    except ModuleNotFoundError as error:
        raise FlambeError("pandas is not installed", hint="pip install pandas") from error
    columns = runs.keys()
    rows = [{name: _cell(row, name, lazy) for name in columns if name in row} for row in runs]
    return frames.DataFrame(rows, columns=columns)


def _cell(row: Any, name: str, lazy: bool) -> Any:
    if lazy and isinstance(row, Row) and is_detail(name):
        return "ARTIFACT" if name.startswith(ARTIFACT) else "METRIC"
    return row[name]


__all__ = ["data_frame"]
