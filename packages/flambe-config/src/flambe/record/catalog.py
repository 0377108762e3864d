"""The runs at and below one folder, as rows: found by walking, read once, and read again when their files have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flambe.errors import ConfigError
from flambe.record import layout
from flambe.record.columns import ARTIFACT, CONFIG, INFO, PARAMS
from flambe.record.foreign import open_foreign, recognize, record_of
from flambe.record.index import GONE, Entry, Index, Listing, Stamp
from flambe.record.inside import read_file
from flambe.record.recorded import RUN_COLUMNS, UNIT_COLUMNS, RecordedRun, natural
from flambe.record.run import FINISHED, RUNNING
from flambe.record.series import FUNCTIONS

Cells = dict[str, Any]

_DEEPEST = 32
_SETTLED_NS = 2_000_000_000
"""A folder whose time is younger than this when it was listed may get more without another time."""
_OF_THE_PLACE = ("run", "path", "info.path")
"""Columns that are no part of what is kept: they change when a folder is moved."""
_BELOW = "$below"
"""In what is kept of a unit: its folder, from that of the run."""
_PLAIN = frozenset({*RUN_COLUMNS, *UNIT_COLUMNS})

_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(dict[str, Any]).decode
_decode_rows = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode


class Series(msgspec.Struct, array_like=True):
    """A metric column: the unit, log and key that it is, and what ``FUNCTIONS`` are of it (None where there is no answer)."""

    unit: str
    log: str
    key: str
    summary: list[Any]

    def of(self, function: str) -> Any:
        return self.summary[FUNCTIONS.index(function)]


class Detail(msgspec.Struct, array_like=True):
    """What is read of a run only when somebody asks: metrics and artifacts.

    run: column → metric in the row of the run. units: unit → column → metric. files: unit, type, name and size of artifacts.
    """

    run: dict[str, Series] = {}
    units: dict[str, dict[str, Series]] = {}
    files: list[tuple[str, str, str, int]] = []


_decode_detail = msgspec.msgpack.Decoder(Detail).decode


class Known:
    """One run that was read. cells: its columns but metrics and artifacts, as far as they were asked for; all where ``whole``."""

    __slots__ = ("_inode", "_record", "_time", "cells", "detail", "entry", "path", "told", "unit_cells", "whole")

    def __init__(self, path: str, entry: Entry, cells: Cells | None = None) -> None:
        self.path = path
        self.entry = entry
        self.cells: Cells = {} if cells is None else cells
        self.whole = cells is not None
        self.unit_cells: list[Cells] | None = None
        self.detail: Detail | None = None
        self.told: tuple[Stamp, list[str]] | None = None
        """What could not be read of it, when this process did, and the stamp of its ledger then."""
        # What tells a finished run of ours that is what it was, in a single call of the system for each of thousands.
        still = entry.ledger == GONE and not entry.changing and not entry.kind
        self._record = f"{path}/{layout.RUN}" if still else None
        self._inode, self._time, _ = entry.record

    def is_settled(self) -> bool:
        """Whether this is a finished run whose record is what it was. False may also mean: look closer."""
        if self._record is None:
            return False
        try:
            stat = os.lstat(self._record)
        except OSError:
            return False
        return stat.st_ino == self._inode and stat.st_mtime_ns == self._time and stat.st_size == self.entry.record[2]

    def row(self) -> Cells:
        """Return all columns of the run, but metrics and artifacts."""
        if not self.whole:
            self.cells = {"run": self.path, **_decode_row(self.entry.row), "info.path": self.path}
            self.whole = True
        return self.cells

    def rows(self) -> list[Cells]:
        """Return all columns of each unit, those of the run included; but metrics and artifacts."""
        if self.unit_cells is None:
            row = self.row()
            shared = {
                name: value
                for name, value in row.items()
                if name in ("run", "name", "index") or name.startswith((INFO, CONFIG))
            }
            self.unit_cells = []
            for cells in _decode_rows(self._units()):
                below = cells.pop(_BELOW, None)
                path = os.path.normpath(f"{self.path}/{below}") if below is not None else None
                self.unit_cells.append(shared | cells | ({"path": path, "info.path": path} if path else {}))
        return self.unit_cells

    def _units(self) -> bytes:
        if self.entry.units is None:
            # Another process may have taken it from the index meanwhile.
            units = [_without_place(unit.columns(), self.path) for unit in self.open().units()]
            self.entry = self.entry._replace(units=_encode(units))
        return self.entry.units or b""

    def answers(self, columns: Sequence[str]) -> Mapping[str, Any]:
        """Return the row of the run as a query asks it: a metric is its last value, an artifact its size. columns: all that it
        asks for; ``Catalog.need`` had them before."""
        details = [name for name in columns if is_detail(name)]
        if not details:
            return self.cells
        found = {name: self.cells[name] for name in columns if name in self.cells}
        detail = self.details()
        for name in details:
            if name.startswith(ARTIFACT):
                value = next((size for _, kind, file, size in detail.files if name == f"{ARTIFACT}{kind}.{file}"), None)
            else:
                value = value_of(detail.run, name)
            if value is not None:
                found[name] = value
        return found

    def details(self) -> Detail:
        """Return what is known of metrics and artifacts, read now where nobody has asked before."""
        if self.detail is None:
            self.detail = _detail_of(self.open())
        return self.detail

    def open(self) -> RecordedRun:
        return open_run(Path(self.path), self.entry.kind)


def open_run(path: Path, kind: str) -> RecordedRun:
    """Return the reader of one run directory. kind: whose it is, empty for ours."""
    return open_foreign(kind, path) if kind else RecordedRun(path)


class Catalog:
    """The runs at and below ``root``. problems: what could not be read at the last look.

    cache: the folder of indices, None for none. looks: whether files are looked at again, once something is known.
    """

    def __init__(self, root: Path, cache: Path | None, *, looks: bool = True) -> None:
        self.root = root
        self.problems: list[str] = []
        self.read = 0
        """How many runs were read from their files so far."""
        self._top = str(root.absolute())
        self._index = Index(root, cache)
        self._looks = looks
        self._known: dict[str, Known] | None = None
        self._listings: dict[str, Listing] = {}
        self._loaded: set[str] = set()
        self._order: list[Known] = []
        self._broken: dict[str, tuple[Stamp, str, Stamp, list[str]]] = {}

    # -- finding -----------------------------------------------------------------------------------------------------

    def refresh(self) -> list[Known]:
        """Look at every folder and record, read what has changed, and return all runs in natural order of their paths."""
        first = self._known is None
        if self._known is None:
            entries, self._listings = self._index.load()
            self._known = {place: Known(self._path_of(place), entry) for place, entry in entries.items()}
        if not self._looks and (self._known or not first):
            if first:
                self._order = sorted(self._known.values(), key=lambda known: natural(known.path))
            return self._order
        self.problems = []
        before, listed = self._known, self._listings
        self._fresh: list[Entry] = []
        self._found: dict[str, Known] = {}
        self._seen: dict[str, Listing] = {}
        self._walk("", 0)
        self._known, self._listings = self._found, self._seen
        self._order = list(self._found.values())
        relisted = [(place, listing) for place, listing in self._seen.items() if listed.get(place) is not listing]
        gone = [place for place in (*before, *listed) if place not in self._found and place not in self._seen]
        if self._fresh or relisted or gone:
            self._index.save(self._fresh, relisted, gone=gone)
        return self._order

    def _path_of(self, place: str) -> str:
        return f"{self._top}/{place}" if place else self._top

    def _walk(self, place: str, depth: int) -> None:
        path = self._path_of(place)
        known = self._known.get(place) if self._known else None
        if known is not None:
            stamp = _record_stamp(path, known.entry.kind)
            if stamp != GONE:
                if stamp != known.entry.record or self._has_moved_on(known):
                    known = self._take(place, known.entry.kind, stamp)
                if known is not None:
                    self._found[place] = known
                return
        stamp = stamp_of(path, folder=True)
        if self._is_still_broken(place, path, stamp):
            return
        listing = self._listings.get(place)
        if listing is None or listing.stamp != stamp:
            told = len(self.problems)
            try:
                names, kind = self._look_into(path)
            except OSError as error:
                if depth == 0 or not isinstance(error, FileNotFoundError):
                    self.problems.append(f"{path} {error.strerror or error}")
                return
            if kind is not None:
                if (taken := self._take(place, kind, _record_stamp(path, kind))) is not None:
                    self._found[place] = taken
                else:
                    self._broken[place] = (stamp, kind, _record_stamp(path, kind), self.problems[told:])
                return
            settled = time.time_ns() - stamp[1] > _SETTLED_NS and len(self.problems) == told
            listing = Listing(stamp if settled else GONE, names)
        self._seen[place] = listing
        if depth >= _DEEPEST:
            self.problems.append(f"{path} lies {depth} folders deep, and what is below is not looked at")
            return
        before, found = self._known or {}, self._found
        for name in listing.names:
            below = f"{place}/{name}" if place else name
            known = before.get(below)
            if known is not None and known.is_settled():
                found[below] = known
            else:
                self._walk(below, depth + 1)

    def _is_still_broken(self, place: str, path: str, folder: Stamp) -> bool:
        """Whether a run that could not be read is what it was; then that is told again."""
        if place not in self._broken:
            return False
        stamp, kind, record, problems = self._broken[place]
        if stamp == folder and record == _record_stamp(path, kind):
            self.problems.extend(problems)
            return True
        del self._broken[place]
        return False

    def _look_into(self, path: str) -> tuple[list[str], str | None]:
        """Return the names of the folders in a folder, or whose run it is."""
        names, files = [], set()
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    names.append(entry.name)
                else:
                    files.add(entry.name)
        if layout.RUN in files:
            try:
                if is_whole_run(path):
                    return [], ""
            except ConfigError as error:
                self.problems.append(str(error))
                return [], None
        if (kind := recognize(path, files, names)) is not None:
            return [], kind
        return sorted(filter(may_hold_runs, names), key=natural), None

    def _has_moved_on(self, known: Known) -> bool:
        entry = known.entry
        if known.told is not None and known.cells.get("status") != RUNNING:
            ledger, problems = known.told
            if stamp_of(f"{known.path}/{layout.LEDGER}") != ledger:
                return True
            self.problems.extend(problems)
            return False
        if entry.changing:
            return True
        return entry.ledger != GONE and stamp_of(f"{known.path}/{layout.LEDGER}") != entry.ledger

    def _take(self, place: str, kind: str, record: Stamp) -> Known | None:
        """Read a run from its files; None, and a problem, when its record is none."""
        path = self._path_of(place)
        run = open_run(Path(path), kind)
        ledger = stamp_of(f"{path}/{layout.LEDGER}")
        self.read += 1
        try:
            units = run.units()
            row, rows = run.columns(units), [unit.columns() for unit in units]
        except ConfigError as error:
            self.problems.append(str(error))
            return None
        self.problems.extend(run.problems())
        status = row.get("status")
        row = {name: value for name, value in row.items() if name not in _OF_THE_PLACE}
        rows = [_without_place(cells, path) for cells in rows]
        # A finished run changes no more unless its record says so first.
        finished = status in FINISHED or kind != ""
        changing = status == RUNNING or bool(run.problems())
        try:
            try:
                data = _encode(row), _encode(rows)
            except OverflowError:
                row, rows = _fitting(row), _fitting(rows)
                data = _encode(row), _encode(rows)
            entry = Entry(place, kind, record, GONE if finished else ledger, changing, *data)
        except (OverflowError, UnicodeError, msgspec.MsgspecError, RecursionError) as error:
            self.problems.append(f"{path} holds a value that no table can have: {error}")
            return None
        self._fresh.append(entry)
        known = Known(path, entry, {"run": path, **row, "info.path": path})
        if found := run.problems():
            known.told = (ledger, found)
        return known

    # -- columns -----------------------------------------------------------------------------------------------------

    def need(self, columns: Iterable[str]) -> None:
        """Read what these columns of all runs take, so that ``Known.answers`` has them."""
        wanted = dict.fromkeys(columns)
        # A few columns of thousands of rows: the others are passed over and not made.
        kept = [name for name in wanted if name not in self._loaded and not is_detail(name)]
        if kept and (partly := [known for known in self._order if not known.whole]):
            fields = [(f"f{place}", Any, msgspec.UNSET) for place in range(len(kept))]
            rename = {field[0]: name for field, name in zip(fields, kept, strict=True)}
            decode = msgspec.msgpack.Decoder(msgspec.defstruct("_Cells", fields, rename=rename)).decode
            for known in partly:
                found = decode(known.entry.row)
                known.cells["run"] = known.cells["info.path"] = known.path
                for field, name in rename.items():
                    value = getattr(found, field)
                    if value is not msgspec.UNSET:
                        known.cells[name] = value
        self._loaded.update(kept)
        if any(map(is_detail, wanted)):
            self.read_details()

    def read_units(self) -> None:
        """Have the columns of the units of all runs."""
        lacking = {known.entry.place: known for known in self._order if known.entry.units is None}
        for place, units in self._index.units(list(lacking)).items() if lacking else ():
            if place in lacking:
                lacking[place].entry = lacking[place].entry._replace(units=units)

    def read_details(self) -> None:
        """Have metrics and artifacts of all runs; files are read of those that no index knows."""
        lacking = {known.entry.place: known for known in self._order if known.detail is None}
        if not lacking:
            return
        for place, data in self._index.details(list(lacking)).items():
            if place in lacking:
                try:
                    lacking.pop(place).detail = _decode_detail(data)
                except msgspec.MsgspecError:
                    continue
        fresh = []
        for place, known in lacking.items():
            run = known.open()
            known.detail = _detail_of(run)
            self.problems.extend(problem for problem in run.problems() if problem not in self.problems)
            # Of a run that goes on, more comes without a word in its record.
            if known.entry.ledger == GONE and not known.entry.changing and not run.problems():
                fresh.append((place, _encode(known.detail)))
        if fresh:
            self._index.save(details=fresh)


def may_hold_runs(name: str) -> bool:
    """Whether a folder is looked into: the stages of a run hold no runs, and hidden folders are somebody's scratch."""
    return not name.startswith(".") and name != layout.STAGES


def is_detail(column: str) -> bool:
    """Whether a column is a metric or an artifact, which are read only when somebody asks."""
    return column not in _PLAIN and not column.startswith((CONFIG, INFO, PARAMS))


def value_of(series: dict[str, Series], name: str) -> Any:
    """Return what a column of a query is of the metrics of a row: ``min(val.loss)``, or the last value of ``val.loss``."""
    if name in series:
        return series[name].of("last")
    function, bracket, rest = name.partition("(")
    if bracket and function in FUNCTIONS and rest[:-1] in series:
        return series[rest[:-1]].of(function)
    return None


def stamp_of(path: str, *, folder: bool = False) -> Stamp:
    """Return the stamp of a file, or folder; ``GONE`` where there is none."""
    try:
        found = os.stat(path, follow_symlinks=folder)
    except (OSError, ValueError):
        return GONE
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _fitting(value: Any) -> Any:
    """Return cells whose integers fit into 64 bits; larger ones become texts."""
    if isinstance(value, dict):
        return {name: _fitting(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fitting(item) for item in value]
    large = isinstance(value, int) and not -(1 << 63) <= value < 1 << 63
    return hex(value) if large else value


def _record_stamp(path: str, kind: str) -> Stamp:
    for name in record_of(kind):
        if (stamp := stamp_of(f"{path}/{name}")) != GONE:
            return stamp
    return GONE


def is_whole_run(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is the directory of a whole run of ours. Raises ConfigError when its record cannot be read."""
    record = os.path.join(path, layout.RUN)
    try:
        head = msgspec.json.decode(read_file(record))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"{record} cannot be read: it {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{record} cannot be read: {error}") from error
    return isinstance(head, dict) and "flambe_record" in head and head.get("kind") != "stage"


def _without_place(cells: Cells, run: str) -> Cells:
    kept = {name: value for name, value in cells.items() if name not in _OF_THE_PLACE}
    return kept | {_BELOW: os.path.relpath(cells["path"], run)} if "path" in cells else kept


def _detail_of(run: RecordedRun) -> Detail:
    detail = Detail(run={}, units={}, files=[])
    units = run.units()
    standing = run.standing(units)
    for unit in units:
        series = {
            f"{log}.{key}": Series(unit.id, log, key, [summary.get(function) for function in FUNCTIONS])
            for (log, key), summary in unit.summaries().items()
        }
        detail.units[unit.id] = series
        detail.files += [(unit.id, file.type, file.name, file.size) for file in unit.artifacts()]
        if standing.get(unit.stage) is unit:
            detail.run.update({run.metric_name(unit, name): one for name, one in series.items()})
    return detail


__all__ = ["Catalog", "Cells", "Detail", "Known", "Series", "is_whole_run", "open_run"]
