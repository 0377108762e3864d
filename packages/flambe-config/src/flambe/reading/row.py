"""One row of a table of runs: a mapping of columns whose metrics and artifacts are read when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambe.errors import ConfigError, did_you_mean
from flambe.reading.column_names import ARTIFACT, is_detail
from flambe.reading.detail import Series, value_of
from flambe.reading.known import Known
from flambe.reading.operand import AGE, ALIASES, age_of
from flambe.reading.sheet import MISSING

if TYPE_CHECKING:
    from flambe.reading.recorded import RecordedRun
    from flambe.reading.recorded_artifact import RecordedArtifact
    from flambe.reading.recorded_unit import RecordedUnit


class NoSuchColumn(ConfigError, KeyError):
    """A column that a row, or every row, does not have. remedy: what else to do."""

    def __init__(self, name: str, known: Sequence[str], *, remedy: str = "") -> None:
        ends = [other for other in known if other.endswith(f".{name}")]
        hint = f"Did you mean {ends[0]!r}?" if ends else did_you_mean(name, known)
        hint = hint or f"`keys()` tells all {len(known)}."
        super().__init__(f"there is no column {name!r}", hint=f"{hint} {remedy}".rstrip())


class Row(Mapping[str, Any]):
    """A run, or a unit of one. A metric column is the list of its values in the order of their lines.

    number: which unit of the run it is; None for the run as a whole.
    """

    def __init__(self, known: Known, number: int | None = None) -> None:
        self._known = known
        self._number = number
        self._logs: dict[tuple[str, str], dict[str, list[Any]]] = {}

    @property
    def cells(self) -> dict[str, Any]:
        """The columns that take no reading of metrics or artifacts. Do not change it."""
        return self._known.row() if self._number is None else self._known.rows()[self._number]

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return Path(self._known.path)

    @cached_property
    def run(self) -> RecordedRun:
        """The run with everything that is recorded of it."""
        return self._known.open()

    @property
    def series(self) -> dict[str, Series]:
        """Column → what is known of each metric, without its values."""
        detail = self._known.details()
        return detail.run if self._number is None else detail.units.get(str(self.cells["unit"]), {})

    @property
    def files(self) -> list[tuple[str, str, str, int]]:
        """Unit, type, name and size of each artifact."""
        files = self._known.details().files
        return files if self._number is None else [file for file in files if file[0] == self.cells["unit"]]

    @cached_property
    def _artifacts(self) -> dict[str, RecordedArtifact]:
        owners = dict.fromkeys(owner for owner, *_ in self.files)
        found = (file for owner in owners for file in self._unit(owner).artifacts())
        return {file.column: file for file in found}

    def artifact(self, name: str, type: str | None = None) -> RecordedArtifact:
        """Return an artifact by its name below the folder of its type. Raises NoSuchColumn when there is none."""
        for file in self._artifacts.values():
            if file.name == name and type in (None, file.type):
                return file
        raise NoSuchColumn(name, list(self._artifacts))

    def _files_in(self, place: str) -> dict[str, RecordedArtifact]:
        """Return all artifacts of a type (``pickle.``), or of a folder in it (``pickle.sub.dir.``), by their names there. mlxp writes the
        latter ``pickle..sub.dir``.
        """
        found = {}
        for file in self._artifacts.values():
            if f"{place}.".startswith(f"{file.type}."):
                folder = place.removeprefix(file.type).strip("./").replace("/", ".")
                parts = file.name.split("/")
                for depth in range(len(parts)):
                    if ".".join(parts[:depth]) == folder:
                        found["/".join(parts[depth:])] = file
        return found

    def __getitem__(self, column: str) -> Any:
        name = ALIASES.get(column, column)
        if self._number is None and not is_detail(name) and (cell := self._known.cell(name)) is not MISSING:
            return cell
        cells = self.cells
        if name in cells:
            return cells[name]
        if name == AGE and (age := age_of(cells)) is not None:
            return age
        if name.startswith(ARTIFACT):
            if name in self._artifacts:
                return self._artifacts[name]
            if files := self._files_in(name.removeprefix(ARTIFACT)):
                return files
        elif is_detail(name):
            series = self.series
            if name in series:
                return self._values(series[name])
            if (value := value_of(series, name)) is not None:
                return value
        raise NoSuchColumn(column, list(self), remedy=f"`.get({column!r})` is None where a row lacks one.")

    def __iter__(self) -> Iterator[str]:
        yield from self.cells
        yield from self.series
        yield from self._artifacts

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<Row {self.cells.get('unit', '')} {self._known.path}>".replace("  ", " ")

    def answers(self, columns: Sequence[str]) -> Mapping[str, Any]:
        """Return the row as a query asks it: a metric is its last value, an artifact its size. columns: what it asks for."""
        wanted = [name for name in columns if is_detail(name)]
        if self._number is None:
            pairs = ((name, self._known.cell(name)) for name in columns)
            return {name: cell for name, cell in pairs if cell is not MISSING}
        if not wanted:
            return self.cells
        series, found = self.series, dict(self.cells)
        for name in wanted:
            file = self._artifacts.get(name) if name.startswith(ARTIFACT) else None
            if (value := file.size if file is not None else value_of(series, name)) is not None:
                found[name] = value
        return found

    def _values(self, series: Series) -> list[Any]:
        place = (series.unit, series.log)
        if place not in self._logs:
            self._logs[place] = self._unit(series.unit).series(series.log)
        return self._logs[place].get(series.key, [])

    def _unit(self, unit: str) -> RecordedUnit:
        return self.run.bare_unit(unit)


__all__ = ["NoSuchColumn", "Row"]
