"""What readers want to know of the runs that have ended, kept beside them: who comes for the first time need not read each run.

``{output_dir}/{name}/.finished`` has a piece for each end of a run, added when the run ends. A piece counts for as long as the
``run.json`` that it tells of has the same time and size, so a run that was gone on with, replaced or deleted is not mistaken,
and a folder may be moved or copied with its times. Nothing rests on the file: what is torn in it, lacking or of another
version is read from the runs.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flambe.errors import ConfigError
from flambe.reading.chunk import MOST, Chunk
from flambe.reading.inside import is_file_name, read_file
from flambe.reading.known import HERE, Known
from flambe.reading.seal import Torn, seal, unseal
from flambe.record import layout

if TYPE_CHECKING:
    from flambe.reading.index import Index

_MARK = b"\n\0run 1\n"
"""Before each piece; with the version of what rows say. Whatever was torn ends at the next one."""
_TIDY_FROM = 1 << 20
"""Bytes from which on it is looked through for pieces that are outdated, each time that it has doubled."""
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_SURE = ("id", "name", "index", "kind", "status")
"""What the row of any run has, so that whoever has one need not ask."""
_TYPES: dict[str, tuple[type, ...]] = {
    "index": (int,),
    **dict.fromkeys(("id", "name", "kind", "status", "status_reason", "created", "started", "ended", "host", "tool"), (str,)),
    **dict.fromkeys(("expected", "done", "reused", "failed", "pruned", "running", "pending", "seconds"), (int, float)),
}  # fmt: skip


class Finished(msgspec.Struct, array_like=True, gc=False):
    """name: of the folder of the run. mtime, size: of its ``run.json``. columns: the names of those of its row, encoded. cells: what is
    in them. units, detail: what an index keeps of its units, and of its metrics and artifacts.
    """

    name: str
    mtime: int
    size: int
    columns: bytes
    cells: list[bool | int | float | str | list[Any] | dict[str, Any] | None]
    units: bytes
    detail: bytes

    def is_of(self, record: os.stat_result) -> bool:
        """Whether the run is what it was when it ended. record: of its ``run.json``."""
        return (record.st_mtime_ns, record.st_size) == (self.mtime, self.size)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Finished).decode
_decode_columns = msgspec.msgpack.Decoder(list[str]).decode


class Columns:
    """The columns of rows, and whether cells can be a row of them: anybody may have written a list."""

    def __init__(self, encoded: bytes) -> None:
        """Raises MsgspecError for what are no columns of a run."""
        self.names = _decode_columns(encoded)
        if len({*self.names, *HERE}) < len(self.names) + len(HERE) or not {*_SURE} <= {*self.names}:
            raise msgspec.ValidationError("no row of a run")
        self._typed = [(at, _TYPES[name]) for at, name in enumerate(self.names) if name in _TYPES]
        self._pick = itemgetter(*(at for at, _ in self._typed))
        self._right: set[tuple[type, ...]] = set()

    def fit(self, cells: list[Any]) -> bool:
        """Whether there is a cell for each column, of a type that it may have."""
        if len(cells) != len(self.names):
            return False
        kinds = tuple(map(type, self._pick(cells)))
        if kinds not in self._right:  # of thousands of rows few differ
            if not all(kind in allowed for kind, (_, allowed) in zip(kinds, self._typed, strict=True)):
                return False
            self._right.add(kinds)
        return True


def enlist(run: str | os.PathLike[str]) -> None:
    """Add a run that has ended to the list in the folder above it; what cannot be written is done without.

    A run that is broken is not listed, so that whoever asks is told so.
    """
    from flambe.reading.reading import read_detail, read_run
    from flambe.reading.whole_run import record_in

    path = os.path.abspath(run)
    folder, name = os.path.split(path)
    with contextlib.suppress(ConfigError, OSError, UnicodeError):
        record = record_in(path)
        if record is None:
            return
        reading = read_run(path, "", record)
        known = Known(name, "", 0, 0, 0, None, False, folder, cells=reading.row, units=reading.units)
        detail, problems = read_detail(known)
        if reading.finished and not reading.problems and not problems:
            stamp = record[1].st_mtime_ns, record[1].st_size
            columns, cells = _encode(list(reading.row)), list(reading.row.values())
            _add(folder, _piece(Finished(name, *stamp, columns, cells, reading.units, _encode(detail))))


def finished_in(folder: str, most: int) -> dict[str, Finished]:
    """Return name → the last end of each run that is listed in ``folder``; nothing of a list of more than ``most`` bytes."""
    found: dict[str, Finished] = {}
    columns: dict[bytes, Columns] = {}
    with contextlib.suppress(OSError):
        for piece in read_file(f"{folder}/{layout.FINISHED}", most).split(_MARK)[1:]:
            with contextlib.suppress(Torn, msgspec.MsgspecError, RecursionError):
                one = _decode(unseal(piece, ""))
                if one.columns not in columns:
                    columns[one.columns] = Columns(one.columns)
                if columns[one.columns].fit(one.cells):
                    found[one.name] = one
    return found


def chunks_of(runs: Sequence[tuple[Known, Finished]], index: Index) -> Iterator[tuple[Chunk, list[Known]]]:
    """Put the cells of runs into chunks, each of those that follow one another and have the same columns, and say where each is."""
    for encoded, same in groupby(runs, lambda run: run[1].columns):
        names, several = _decode_columns(encoded), list(same)
        for start in range(0, len(several), MOST):
            some = several[start : start + MOST]
            cells = zip(*(one.cells for _, one in some), strict=True)
            chunk = Chunk.whole(index, dict(zip(names, cells, strict=True)), len(some))
            for at, (known, _) in enumerate(some):
                known.chunk, known.at = chunk, at
            yield chunk, [known for known, _ in some]


def _piece(one: Finished) -> bytes:
    return _MARK + seal(_encode(one), "")


def _add(folder: str, piece: bytes) -> None:
    descriptor = os.open(f"{folder}/{layout.FINISHED}", _FLAGS, 0o666)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return
        # One call: processes that end at once do not write into each other.
        os.write(descriptor, piece)
    finally:
        os.close(descriptor)
    size = found.st_size + len(piece)
    if size > _TIDY_FROM and size.bit_length() > found.st_size.bit_length():
        _tidy(folder, size)


def _tidy(folder: str, size: int) -> None:
    """Leave out what tells of runs that are gone, or no more what they were. A run that ends meanwhile may go missing."""
    from flambe.record.run import replace_file  # who only asks many runs starts without it

    pieces = []
    for name, one in finished_in(folder, 2 * size).items():
        with contextlib.suppress(OSError):
            if is_file_name(name) and one.is_of(os.lstat(f"{folder}/{name}/{layout.RUN}")):
                pieces.append(_piece(one))
    with contextlib.suppress(OSError):
        replace_file(Path(folder, layout.FINISHED), b"".join(pieces))


__all__ = ["Finished", "chunks_of", "enlist", "finished_in"]
