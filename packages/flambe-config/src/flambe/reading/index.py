"""What was read of the runs below a folder, kept in the user's cache folder: the next process reads only what has changed.

A cache and nothing more. It is named by the real path and the inode of the folder, so a folder that was moved, or another in
its place, has its own. One that cannot be written is done without, a broken one is made again; two readers may use it at
once. A file in it holds columns in MessagePack, and no code.

Runs lie in *chunks* of at most ``_MOST``, column by column, so that a question reads the columns that it names and nothing
else. A chunk is never changed: what was read anew goes into another one, which wins, and small ones are put together again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flambe.reading.chunk import Chunk
from flambe.reading.known import GONE, Cells, Known, Stamp
from flambe.reading.sheet import MISSING

_VERSION = 3
_WAIT_S = 2.0
_MOST_NAMES = 500
_OLD_S = 120 * 86400
_MOST = 256
"""Runs of a chunk."""
_SMALL = 128
"""A chunk of fewer is put together with what comes next."""
_TAKEN_AWAY = "gone"
"""In place of the tool that made a run: an older chunk has it, and it is there no more."""


class Listing(NamedTuple):
    """The names of the folders in a folder, in order, and the stamp that it had then."""

    stamp: Stamp
    names: list[str]


_decode_heads = msgspec.msgpack.Decoder(list[Known]).decode
_decode_column = msgspec.msgpack.Decoder(list[Any]).decode
_encode = msgspec.msgpack.Encoder().encode


def cache_folder() -> Path:
    """Return the folder of all indices: in the user's cache folder of the platform."""
    if sys.platform.startswith("linux"):
        # platformdirs says the same, and takes longer to import than a query takes.
        base = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
        return Path(base, "flambe", "index")
    from platformdirs import user_cache_path

    return user_cache_path("flambe", appauthor=False) / "index"


class Index:
    """The index of the runs below ``root``. folder: where it is kept; None keeps nothing."""

    def __init__(self, root: Path, folder: Path | None, *, top: str = "") -> None:
        """top: the path that runs are told by; ``root`` as it is written."""
        self.top = top
        self._path: str | None = None
        if folder is not None:
            with contextlib.suppress(OSError):
                real = os.path.realpath(root)
                self._path = str(folder / f"{_name_of(real, os.stat(real).st_ino)}.sqlite")

    def load(self) -> tuple[dict[str, Known], dict[str, Listing]]:
        """Return what is known: place → run, and place → listing of each folder that is no run."""
        for _ in range(2):
            try:
                with self._connection(write=False) as connection:
                    if connection is None:
                        break
                    chunks = connection.execute("SELECT chunk, heads FROM chunks ORDER BY chunk").fetchall()
                    listed = connection.execute("SELECT place, i, m, s, names FROM folders").fetchall()
                return self._runs_in(chunks), {
                    p: Listing((i, m, s), names.split("/") if names else []) for p, i, m, s, names in listed
                }
            except sqlite3.OperationalError:
                break  # locked for longer than anybody should wait, or not ours to read
            except (sqlite3.DatabaseError, msgspec.MsgspecError):
                self._remove()
        return {}, {}

    def _runs_in(self, chunks: Sequence[tuple[int, bytes]]) -> dict[str, Known]:
        found: dict[str, Known] = {}
        taken_away = False
        for number, data in chunks:
            heads = _decode_heads(data)
            chunk = Chunk(self, number, len(heads))
            for at, known in enumerate(heads):
                known.chunk, known.at = chunk, at
                found[known.place] = known
                taken_away |= known.kind == _TAKEN_AWAY
        return {place: known for place, known in found.items() if known.kind != _TAKEN_AWAY} if taken_away else found

    def fill(self, chunks: Iterable[Chunk], names: Iterable[str]) -> None:
        """Load columns of chunks. A chunk that lacks one then is lost."""
        wanted = {chunk.number: chunk for chunk in chunks}
        with contextlib.suppress(sqlite3.Error, msgspec.MsgspecError), self._connection(write=False) as connection:
            if connection is None or not wanted:
                return
            there = {number for (number,) in connection.execute("SELECT chunk FROM chunks")}
            for name in names:
                rows = connection.execute("SELECT chunk, has, cells FROM columns WHERE name = ?", (name,))
                found = {number: (has, cells) for number, has, cells in rows}
                for number, chunk in wanted.items():
                    if number in there and name not in chunk.columns:
                        has, cells = found.get(number, (b"", b""))
                        chunk.columns[name] = _cells_of(has, cells) if cells else [MISSING] * chunk.size

    def whole(self, chunk: int) -> dict[str, list[Any]]:
        """Return all columns of a chunk; none when it is lost."""
        with contextlib.suppress(sqlite3.Error, msgspec.MsgspecError), self._connection(write=False) as connection:
            if connection is not None:
                return _columns_of(connection, chunk)
        return {}

    def details(self, places: Sequence[str]) -> dict[str, bytes]:
        """Return place → what was read of the metrics and artifacts of a run, as far as it is known."""
        return self._some("details", places)

    def units(self, places: Sequence[str]) -> dict[str, bytes]:
        """Return place → the columns of the units of a run, as far as they are known."""
        return self._some("units", places)

    def _some(self, table: str, places: Sequence[str]) -> dict[str, bytes]:
        question = f"SELECT place, data FROM {table}"  # noqa: S608 - our own names
        found: dict[str, bytes] = {}
        with contextlib.suppress(sqlite3.Error), self._connection(write=False) as connection:
            if connection is None:
                return {}
            if len(places) > _MOST_NAMES:
                return dict(connection.execute(question))
            for place in places:
                found.update(connection.execute(f"{question} WHERE place = ?", (place,)))
        return found

    def save(
        self,
        runs: Iterable[tuple[Known, Cells, bytes]] = (),
        listings: Iterable[tuple[str, Listing]] = (),
        details: Iterable[tuple[str, bytes]] = (),
        gone: Iterable[str] = (),
        live: int = 0,
    ) -> None:
        """Keep what was read. What cannot be written is not kept.

        runs: row and units of each. gone: places where nothing is any more. live: how many runs there are now.
        """
        runs = list(runs)
        folders = [(place, *listing.stamp, "/".join(listing.names)) for place, listing in listings]
        places = [(place,) for place in gone]
        stale = [*places, *((known.place,) for known, _, _ in runs)]
        with contextlib.suppress(sqlite3.Error, UnicodeError), self._connection(write=True) as connection:
            if connection is None:
                return
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                if stale:
                    rows: dict[str, tuple[Known, Cells]] = {place: (_gone(place), {}) for (place,) in places}
                    _rewrite(connection, rows | {known.place: (known, cells) for known, cells, _ in runs}, live)
                connection.executemany("DELETE FROM units WHERE place = ?", places)
                connection.executemany("DELETE FROM folders WHERE place = ?", stale)
                connection.executemany("DELETE FROM details WHERE place = ?", stale)
                connection.executemany(
                    "INSERT OR REPLACE INTO units VALUES (?,?)", [(known.place, units) for known, _, units in runs]
                )
                connection.executemany("INSERT OR REPLACE INTO folders VALUES (?,?,?,?,?)", folders)
                connection.executemany("INSERT OR REPLACE INTO details VALUES (?,?)", list(details))

    @contextlib.contextmanager
    def _connection(self, *, write: bool) -> Iterator[sqlite3.Connection | None]:
        """Give a connection for this moment (threads and forks may not share one); None where there is no index."""
        path = self._path
        if path is None or (not write and not os.path.exists(path)):
            yield None
            return
        if write:
            try:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            except OSError:
                yield None
                return
        connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        try:
            if connection.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                if not write:
                    yield None
                    return
                self._make(connection)
                _sweep(os.path.dirname(path))
            yield connection
        finally:
            connection.close()

    @staticmethod
    def _make(connection: sqlite3.Connection) -> None:
        # No fsync: after a crash of the machine it is made again. Numbers of chunks begin at the time, so that those of an
        # index which was taken away, and which a reader may still hold, never mean another chunk.
        connection.executescript(
            # Our own numbers, and nobody's text.
            f"""
            PRAGMA synchronous = OFF;
            BEGIN IMMEDIATE;
            DROP TABLE IF EXISTS runs; DROP TABLE IF EXISTS chunks; DROP TABLE IF EXISTS columns;
            DROP TABLE IF EXISTS units; DROP TABLE IF EXISTS folders; DROP TABLE IF EXISTS details;
            CREATE TABLE chunks (chunk INTEGER PRIMARY KEY AUTOINCREMENT, size INT, heads BLOB);
            CREATE TABLE columns (chunk INT, name TEXT, has BLOB, cells BLOB);
            CREATE INDEX columns_by_name ON columns (name, chunk);
            CREATE INDEX columns_by_chunk ON columns (chunk);
            CREATE TABLE units (place TEXT PRIMARY KEY, data BLOB);
            CREATE TABLE folders (place TEXT PRIMARY KEY, i INT, m INT, s INT, names TEXT);
            CREATE TABLE details (place TEXT PRIMARY KEY, data BLOB);
            INSERT INTO sqlite_sequence VALUES ('chunks', {time.time_ns() >> 10});
            PRAGMA user_version = {_VERSION};
            COMMIT;
            """  # noqa: S608
        )

    def _remove(self) -> None:
        if self._path is not None:
            for name in (self._path, f"{self._path}-journal"):
                with contextlib.suppress(OSError):
                    os.unlink(name)


def _name_of(real: str, inode: int) -> str:
    try:
        # OpenSSL takes longer to load than most questions take.
        from _blake2 import blake2b
    except ImportError:  # of CPython, and private
        from hashlib import blake2b
    return str(blake2b(f"{real}\0{inode}".encode(errors="surrogateescape"), digest_size=16).hexdigest())


def _rewrite(connection: sqlite3.Connection, rows: Mapping[str, tuple[Known, Cells]], live: int) -> None:
    """Write runs into chunks: with those of the chunks that are small, and of all where most of what they hold is outdated."""
    [(total,)] = connection.execute("SELECT coalesce(sum(size), 0) FROM chunks")
    most = _SMALL if total + len(rows) < 2 * live + _MOST else _MOST + 1
    old = connection.execute("SELECT chunk, heads FROM chunks WHERE size < ? ORDER BY chunk", (most,)).fetchall()
    merged: dict[str, tuple[Known, Cells]] = {}
    for number, data in old:
        columns = _columns_of(connection, number)
        for at, known in enumerate(_decode_heads(data)):
            cells = {name: column[at] for name, column in columns.items() if column[at] is not MISSING}
            merged[known.place] = (known, cells)
    merged |= rows
    if most > _MOST:  # nothing is left that they would take away
        merged = {place: row for place, row in merged.items() if row[0].kind != _TAKEN_AWAY}
    for number, _ in old:
        connection.execute("DELETE FROM chunks WHERE chunk = ?", (number,))
        connection.execute("DELETE FROM columns WHERE chunk = ?", (number,))
    whole = list(merged.values())
    for start in range(0, len(whole), _MOST):
        _write_chunk(connection, whole[start : start + _MOST])


def _write_chunk(connection: sqlite3.Connection, rows: Sequence[tuple[Known, Cells]]) -> None:
    heads = [known.head() for known, _ in rows]
    cursor = connection.execute("INSERT INTO chunks (size, heads) VALUES (?,?)", (len(rows), _encode(heads)))
    columns: dict[str, list[Any]] = {}
    for at, (_, cells) in enumerate(rows):
        for name, value in cells.items():
            if name not in columns:
                columns[name] = [MISSING] * len(rows)
            columns[name][at] = value
    written = []
    for name, column in columns.items():
        has = bytes(cell is not MISSING for cell in column)
        kept = _encode([None if cell is MISSING else cell for cell in column] if 0 in has else column)
        written.append((cursor.lastrowid, name, has if 0 in has else b"", kept))
    connection.executemany("INSERT INTO columns VALUES (?,?,?,?)", written)


def _columns_of(connection: sqlite3.Connection, number: int) -> dict[str, list[Any]]:
    rows = connection.execute("SELECT name, has, cells FROM columns WHERE chunk = ? ORDER BY rowid", (number,))
    return {name: _cells_of(has, cells) for name, has, cells in rows}


def _cells_of(has: bytes, cells: bytes) -> list[Any]:
    found = _decode_column(cells)
    return [cell if there else MISSING for cell, there in zip(found, has, strict=True)] if has else found


def _gone(place: str) -> Known:
    return Known(place, _TAKEN_AWAY, *GONE, None, False)


def _sweep(folder: str) -> None:
    """Take away the indices that nobody has written for months: their folders are gone, most likely."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_S:
                os.unlink(entry.path)


__all__ = ["Index", "Listing", "cache_folder"]
