"""One run that was read: what tells that it is still what it was, and what is known of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from flambe.reading.column_names import CONFIG, INFO, is_detail
from flambe.reading.sheet import MISSING

if TYPE_CHECKING:
    from flambe.reading.detail import Detail
    from flambe.reading.recorded import RecordedRun

_Unit = TypeVar("_Unit")
Cells = dict[str, Any]
Stamp = tuple[int, int, int]
"""Inode, time of modification in nanoseconds and size of a file."""
GONE: Stamp = (0, 0, 0)

BELOW = "$below"
"""In what is kept of a unit: its folder, from that of the run."""
HERE = ("run", "info.path")
"""Columns that no index keeps: where a run is now."""


def stamp_of(path: str, *, folder: bool = False) -> Stamp:
    """Return the stamp of a file, or folder; ``GONE`` where there is none."""
    try:
        found = os.stat(path, follow_symlinks=folder)
    except (OSError, ValueError):
        return GONE
    return (found.st_ino, found.st_mtime_ns, found.st_size)


class Place(msgspec.Struct):
    """Which unit a row is of."""

    unit: str
    stage: str
    variant: str
    status: str
    best: bool = False


_decode_places = msgspec.msgpack.Decoder(list[Place]).decode
_decode_units = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode


class Known(msgspec.Struct, array_like=True, eq=False, gc=False):
    """place: the folder of the run, from the one above all. kind: whose it is, empty for ours.

    inode, mtime, size: the stamp of its record. ledger: that of its ledger, None where the record alone tells.
    changing: whether it has to be read again in any case. What follows these is what this process knows of it:
    top: the folder above all; of one that the index told of, the chunk knows it. chunk, at: where the index has its cells. cells: all of them but metrics and artifacts, None until somebody asked for them.
    detail: its metrics and artifacts, None until somebody asked for them; bytes are for ``detail_of``.
    told: what could not be read of it, and the stamp of its ledger then.
    """

    place: str
    kind: str
    inode: int
    mtime: int
    size: int
    ledger: Stamp | None
    changing: bool
    top: str = ""
    chunk: Any = None
    at: int = 0
    cells: Any = None
    units: bytes | None = None
    detail: Any = None
    told: Any = None
    rows_of_units: Any = None

    @property
    def path(self) -> str:
        """The folder of the run."""
        top = self.top or self.chunk.index.top
        return f"{top}/{self.place}" if self.place else top

    def head(self) -> tuple[Any, ...]:
        """Return what an index keeps of it."""
        return self.place, self.kind, self.inode, self.mtime, self.size, self.ledger, self.changing

    @property
    def record(self) -> Stamp:
        return self.inode, self.mtime, self.size

    def row(self) -> Cells:
        """Return all columns of the run, but metrics and artifacts. Do not change it."""
        if self.cells is None:
            found = self.chunk.row(self.at)
            if found is None:
                from flambe.reading.reading import read_run

                found = read_run(self.path, self.kind).row
            self.cells = {"run": self.path, **found, "info.path": self.path}
        cells: Cells = self.cells
        return cells

    def cell(self, name: str) -> Any:
        """Return the cell of a column, ``MISSING`` where there is none. A metric is its last value, an artifact its size."""
        if is_detail(name):
            value = self.details().of_run(name)
            return MISSING if value is None else value
        if name in HERE:
            return self.path
        if self.cells is None:
            try:
                return self.chunk.cell(name, self.at)
            except KeyError:
                self.row()
        return self.cells.get(name, MISSING)

    def rows(self) -> list[Cells]:
        """Return all columns of each unit, those of the run included; but metrics and artifacts."""
        if self.rows_of_units is None:
            shared = {
                name: value
                for name, value in self.row().items()
                if name in ("run", "name", "index") or name.startswith((INFO, CONFIG))
            }
            rows = []
            self.places()  # of rows that are none the run is read
            for cells in self._units(_decode_units):
                for name in HERE:
                    cells.pop(name, None)  # nobody has to write what is to be
                below = cells.pop(BELOW, None)
                path = os.path.normpath(f"{self.path}/{below}") if below is not None else None
                rows.append(shared | cells | ({"path": path, "info.path": path} if path else {}))
            self.rows_of_units = rows
        found: list[Cells] = self.rows_of_units
        return found

    def places(self) -> list[Place]:
        """Return which units there are."""
        return self._units(_decode_places)

    def _units(self, decode: Callable[[bytes], list[_Unit]]) -> list[_Unit]:
        with contextlib.suppress(msgspec.MsgspecError):
            if self.units is not None:
                return decode(self.units)
        # Another process may have taken it from the index meanwhile, and anybody may have written a list.
        from flambe.reading.reading import read_run

        self.units = read_run(self.path, self.kind).units
        return decode(self.units)

    def details(self) -> Detail:
        """Return what is known of metrics and artifacts, read now where nobody has asked before."""
        if isinstance(self.detail, bytes):
            from flambe.reading.detail import detail_of

            self.detail = detail_of(self.detail)
        if self.detail is None:
            from flambe.reading.reading import read_detail

            self.detail = read_detail(self)[0]
        found: Detail = self.detail
        return found

    def open(self, *, once: bool = False) -> RecordedRun:
        """Return the run with everything that is recorded of it. once: read each file once, also when it changes."""
        from flambe.reading.reading import open_run

        return open_run(self.path, self.kind, once=once)


__all__ = ["BELOW", "GONE", "HERE", "Cells", "Known", "Stamp", "stamp_of"]
