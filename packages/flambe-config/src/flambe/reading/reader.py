"""Finding runs, asking for some of them, and making rows of them.

A directory is a run of ours if and only if it holds a ``run.json`` that is not the one of a unit; folders of mlxp and expyrun
are read beside them. The columns are those of ``flambe.reading.columns``, the questions those of ``flambe.reading.query``.

>>> reader = flambe.Reader("flambe-output")
>>> reader.filter("info.status == 'COMPLETE' & config.optimizer.lr <= 0.1 & min(val.loss) < 0.3")
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from flambe.errors import ConfigError, UsageError, did_you_mean
from flambe.reading.catalog import Catalog
from flambe.reading.column_names import ARTIFACT, CONFIG, INFO, RUN_COLUMNS, UNIT_COLUMNS, is_detail
from flambe.reading.detail import Detail
from flambe.reading.index import cache_folder
from flambe.reading.known import Cells, Known
from flambe.reading.operand import AGE, ALIASES, CREATED
from flambe.reading.query import HAS, Query, parse
from flambe.reading.row import Row
from flambe.reading.sheet import MISSING, Sheet
from flambe.reading.table import Tell

if TYPE_CHECKING:
    from flambe.reading.recorded import RecordedRun
    from flambe.reading.runs import Runs

__all__ = ["RUN_COLUMNS", "UNIT_COLUMNS", "Reader"]

_FORMATS = ("runs", "datadict", "pandas")


class Reader:
    """The runs at and below some folders, in natural order of their paths, each once.

    index: the folder that keeps what was read, for the next process; default one in the user's cache folder. None: keep nothing, and
    read every run itself, also where it is listed (``flambe.reading.finished``).
    refresh: whether folders are looked at again for each question, once something is known of them. ``problems`` tells which
    records could not be read. tell: is called with the number of runs that were read from their files so far, and of all that
    are seen yet, while that goes on. Raises ConfigError for a path that is no folder.
    """

    def __init__(
        self,
        *paths: str | os.PathLike[str],
        index: str | os.PathLike[str] | None = "",
        refresh: bool = True,
        tell: Tell | None = None,
    ) -> None:
        self.problems: list[str] = []
        roots = [Path(path) for path in paths]
        for root in roots:
            if not root.is_dir():
                what = "is no folder" if root.exists() else "does not exist"
                raise ConfigError(f"{root} {what}", expected="a run directory, or a folder of runs")
        cache = cache_folder() if index == "" else None if index is None else Path(index)
        self._paths = ", ".join(map(str, paths))
        self._catalogs = [Catalog(root, cache, looks=refresh, tell=tell) for root in roots]
        self._opened: dict[str, RecordedRun] = {}
        self._seen: list[Known] = []
        self._kept: list[bool] | None = None
        """Of the runs of several folders, whether each is the first of its place."""

    # -- one by one --------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[RecordedRun]:
        for known in self._look():
            if known.path not in self._opened:
                self._opened[known.path] = known.open()
            yield self._opened[known.path]

    def __len__(self) -> int:
        return len(self._look())

    def rows(self, where: str | Query = "") -> Iterator[Cells]:
        """Yield a row for each run that ``where`` is true of: ``RUN_COLUMNS``. ``filter`` gives all columns."""
        return (_narrow(row.cells) for row in self.select(where))

    def unit_rows(self, where: str | Query = "") -> Iterator[Cells]:
        """Yield a row for each unit of each run that ``where`` is true of: ``UNIT_COLUMNS`` and its parameters."""
        return (_narrow(row.cells) for row in self.select(where, units=True))

    # -- tables ------------------------------------------------------------------------------------------------------

    @overload
    def filter(
        self,
        query_string: str | Query = "",
        result_format: Literal["runs", "datadict"] = "runs",
        *,
        units: bool = False,
    ) -> Runs: ...
    @overload
    def filter(self, query_string: str | Query = "", result_format: str = "runs", *, units: bool = False) -> Any: ...
    def filter(self, query_string: str | Query = "", result_format: str = "runs", *, units: bool = False) -> Any:
        """Return the runs that a query is true of, in natural order of their paths.

        query_string: as in ``flambe.reading.query``; empty for all. A column that no run has makes comparisons false.
        result_format: ``runs`` for ``Runs`` (``datadict`` is its old name), whose metrics are read when they are asked for;
        ``pandas`` for a data frame with everything in it. units: a row for each variant of each stage, and not for each run.
        Raises ConfigError with the column of a fault in the query; warns where no run is recorded at all, and where nothing is found
        by a column that no run has.
        """
        from flambe.reading.runs import Runs

        if result_format not in _FORMATS:
            raise UsageError(
                f"result_format is {result_format!r}",
                expected="'runs' or 'pandas'",
                hint=did_you_mean(str(result_format), _FORMATS),
            )
        query = parse(query_string, source="query") if isinstance(query_string, str) else query_string
        found = Runs(self.select(query, units=units))
        if not found:
            import warnings

            if not self._seen:
                told = self.problems or [self.emptiness]
            else:
                unknown = self.unknown(query, units=units)
                told = [] if unknown is None else [str(unknown)]
            for problem in told:
                warnings.warn(problem, stacklevel=2)
        return found.toPandas(lazy=False) if result_format == "pandas" else found

    def select(self, where: str | Query = "", *, units: bool = False, source: str = "--where") -> list[Row]:
        """Return what ``filter`` does, as a plain list. source: what the query is called in errors."""
        query = parse(where, source=source) if isinstance(where, str) else where
        all_known = self._look()
        needed = dict.fromkeys(use.cell for use in query.columns)
        if AGE in needed:
            needed[CREATED] = None
        if units:
            self._read_units()
            if any(map(is_detail, needed)):
                self._read_details()
            rows = [Row(known, number) for known in all_known for number in range(len(known.rows()))]
            return [row for row in rows if query(row.answers(list(needed)))]
        needed.pop(AGE, None)
        for catalog in self._catalogs:
            catalog.table.have(needed)
        sheet = Sheet({name: self._column(name) for name in needed}, len(all_known))
        return [Row(known) for known in compress(all_known, query.answers(sheet))]

    @property
    def emptiness(self) -> str:
        """What to say where no run is recorded."""
        return f"nothing is recorded in {self._paths}"

    @property
    def fields(self) -> dict[str, str]:
        """Column → type of the values in it, of all runs: ``int``, ``float``, ``str``, ``bool``, ``list``, ``dict``; two of these
        with ``|`` between; ``metric``, ``artifact``."""
        return self._fields(units=False)

    @property
    def searchable(self) -> dict[str, str]:
        """Column → type, of what a query may ask for: everything."""
        return self.fields

    def unit_fields(self) -> dict[str, str]:
        """Return ``fields`` of the rows of units."""
        return self._fields(units=True)

    def _fields(self, *, units: bool) -> dict[str, str]:
        all_known = self._look()
        self._read_details()
        if units:
            self._read_units()
        kinds: dict[str, dict[str, None]] = {}
        for known in all_known:
            for cells in known.rows() if units else (known.row(),):
                for name, value in cells.items():
                    if value is not None:
                        kinds.setdefault(name, {})[type(value).__name__] = None
        found = {name: " | ".join(sorted(types)) for name, types in kinds.items() if not is_detail(name)}
        for known in all_known:
            detail = known.detail or Detail()
            for series in detail.units.values() if units else (detail.run,):
                found.update(dict.fromkeys(series, "metric"))
            found.update(dict.fromkeys((f"{ARTIFACT}{kind}.{name}" for _, kind, name, _ in detail.files), "artifact"))
        return found

    def sql(self, text: str) -> list[dict[str, Any]]:
        """Return the rows of a SELECT over the tables of ``flambe.reading.sql``: runs, units, params, config, info, metrics, artifacts.

        Raises ConfigError for anything but a SELECT, and for names that there are none of.
        """
        from flambe.reading.sql import answer, named

        tables = set(named(text))
        if tables & {"metrics", "artifacts"}:
            self._look()
            self._read_details()
        runs = self.select() if tables - {"units", "params", "metrics"} else []
        return answer(text, runs, self.select(units=True) if tables & {"units", "params", "metrics"} else [])

    def unknown(self, query: Query, *, units: bool = False) -> ConfigError | None:
        """Return what to say of a query that asks for a column that no run has (no unit, with ``units``)."""
        asked = (ALIASES.get(use.name, use.name) for use in query.columns if use.function != HAS)
        return query.unknown(self.known(units=units)) if self.lacking(asked, units=units) else None

    def known(self, *, units: bool = False) -> list[str]:
        """Return the names of all columns, first those that every run has (every unit, with ``units``)."""
        return [*sorted(_everywhere(units)), *self._fields(units=units)]

    def lacking(self, columns: Iterable[str], *, units: bool = False) -> list[str]:
        """Return those of ``columns`` that no run of the last look has (no unit, with ``units``): misspelt ones, most likely."""
        everywhere = _everywhere(units)
        names = [name for name in dict.fromkeys(columns) if name not in everywhere]
        seen = self._seen or self._look()
        if units:
            answers = [Row(known, number).answers(names) for known in seen for number in range(len(known.rows()))]
            return [name for name in names if answers and not any(name in answer for answer in answers)]
        return [name for name in names if seen and all(cell is MISSING for cell in self._column(name))]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _look(self) -> list[Known]:
        self.problems = []
        found = [catalog.refresh() for catalog in self._catalogs]
        self._kept = None
        if len(found) > 1:
            # Each once, where folders lie in one another; the first that has it counts.
            places: dict[str, None] = {}
            self._kept = []
            for known in chain(*found):
                place = os.path.realpath(known.path)
                self._kept.append(place not in places)
                places[place] = None
        self._seen = list(compress(chain(*found), self._kept)) if self._kept is not None else found[0]
        for catalog in self._catalogs:
            self._add_problems(catalog)
        return self._seen

    def _column(self, name: str) -> Sequence[Any]:
        """Return the cells of all runs of the last look in a column, ``MISSING`` where one has none."""
        columns = [catalog.table.column(name) for catalog in self._catalogs]
        for catalog in self._catalogs:
            self._add_problems(catalog)
        return columns[0] if self._kept is None else list(compress(chain(*columns), self._kept))

    def _add_problems(self, catalog: Catalog) -> None:
        found = [*catalog.problems, *catalog.table.problems]
        self.problems += [problem for problem in found if problem not in self.problems]

    def _read_units(self) -> None:
        for catalog in self._catalogs:
            catalog.table.read_units()

    def _read_details(self) -> None:
        for catalog in self._catalogs:
            catalog.table.read_details()
            self._add_problems(catalog)


def _everywhere(units: bool) -> set[str]:
    """Return the columns of every row."""
    return {*(UNIT_COLUMNS if units else RUN_COLUMNS), AGE, "name", "index"}


def _narrow(cells: Cells) -> Cells:
    return {name: value for name, value in cells.items() if not name.startswith((INFO, CONFIG))}
