"""What was read of the runs below a folder, kept in the user's cache folder: the next process reads only what has changed.

A cache and nothing more. It is named by the real path and the inode of the folder, so a folder that was moved, or another in
its place, has its own. One that cannot be written is done without, a broken one is made again; two readers may use it at
once. A file in it holds columns in MessagePack, and no code. Everything has a checksum: SQLite sees that a page is none, and
not that it is full of zeros, or of another time.

Runs lie in *chunks* of at most ``MOST``, column by column, so that a question reads the columns that it names and nothing
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

from flambe.reading.chunk import MOST, Chunk
from flambe.reading.known import GONE, Cells, Known, Stamp
from flambe.reading.seal import Torn, seal, unseal
from flambe.reading.sheet import MISSING

_VERSION = 4
_WAIT_S = 2.0
_MOST_NAMES = 500
_OLD_S = 120 * 86400
_SMALL = 128
"""A chunk of fewer is put together with what comes next."""
_BUSY, _LOCKED, _READ_ONLY, _FULL, _CANNOT_OPEN = 5, 6, 8, 13, 14
_NO_FAULT = frozenset({_BUSY, _LOCKED, _READ_ONLY, _FULL, _CANNOT_OPEN})
"""What SQLite says of an index that is sound, and cannot be had now."""
_TAKEN_AWAY = "gone"
"""In place of the tool that made a run: an older chunk has it, and it is there no more."""


class Listing(NamedTuple):
    """The names of the folders in a folder, in order, and the stamp that it had then."""

    stamp: Stamp
    names: list[str]


_decode_heads = msgspec.msgpack.Decoder(tuple[list[str], list[Known]]).decode
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
        with self._sound(), self._connection(write=False) as connection:
            if connection is not None:
                chunks = connection.execute("SELECT chunk, heads FROM chunks ORDER BY chunk").fetchall()
                listed = connection.execute("SELECT place, i, m, s, names FROM folders").fetchall()
                return self._runs_in(chunks), dict(_listing(*row) for row in listed)
        return {}, {}

    def _runs_in(self, chunks: Sequence[tuple[int, bytes]]) -> dict[str, Known]:
        found: dict[str, Known] = {}
        taken_away = False
        for number, data in chunks:
            names, heads = _decode_heads(unseal(data, str(number)))
            chunk = Chunk(self, number, len(heads), frozenset(names))
            for at, known in enumerate(heads):
                known.chunk, known.at = chunk, at
                found[known.place] = known
                taken_away |= known.kind == _TAKEN_AWAY
        return {place: known for place, known in found.items() if known.kind != _TAKEN_AWAY} if taken_away else found

    def fill(self, chunks: Iterable[Chunk], names: Iterable[str]) -> None:
        """Load columns of chunks. A chunk that lacks one then, of those that it has, is lost."""
        wanted = {chunk.number: chunk for chunk in chunks}
        with self._sound(), self._connection(write=False) as connection:
            if connection is None or not wanted:
                return
            for name in names:
                rows = connection.execute("SELECT chunk, has, cells FROM columns WHERE name = ?", (name,))
                found = {number: (has, cells) for number, has, cells in rows}
                for number, chunk in wanted.items():
                    if name in chunk.columns:
                        continue
                    if name not in chunk.names:
                        chunk.columns[name] = [MISSING] * chunk.size
                    elif number in found:
                        chunk.columns[name] = _cells_of(number, name, *found[number])

    def whole(self, chunk: int) -> dict[str, list[Any]]:
        """Return all columns of a chunk; none when it is lost."""
        with self._sound(), self._connection(write=False) as connection:
            if connection is not None:
                return _columns_of(connection, chunk)
        return {}

    def details(self, runs: Iterable[Known]) -> dict[str, bytes]:
        """Return place → what was read of the metrics and artifacts of a run, as far as it is known."""
        return self._some("details", runs)

    def units(self, runs: Iterable[Known]) -> dict[str, bytes]:
        """Return place → the columns of the units of a run, as far as they are known."""
        return self._some("units", runs)

    def _some(self, table: str, runs: Iterable[Known]) -> dict[str, bytes]:
        question = f"SELECT place, data FROM {table}"  # noqa: S608 - our own names
        wanted = {known.place: known for known in runs}
        found: dict[str, bytes] = {}
        with self._sound(), self._connection(write=False) as connection:
            if connection is None:
                return {}
            if len(wanted) > _MOST_NAMES:
                rows: Iterable[tuple[str, bytes]] = connection.execute(question)
            else:
                rows = (row for place in wanted for row in connection.execute(f"{question} WHERE place = ?", (place,)))
            for place, data in rows:
                if place in wanted:
                    found[place] = unseal(data, _about(wanted[place]))
        return found

    def save(
        self,
        runs: Iterable[tuple[Known, Cells, bytes]] = (),
        listings: Iterable[tuple[str, Listing]] = (),
        details: Iterable[tuple[Known, bytes]] = (),
        chunks: Iterable[tuple[Chunk, Sequence[Known]]] = (),
        gone: Iterable[str] = (),
        live: int = 0,
    ) -> None:
        """Keep what was read. What cannot be written is not kept.

        runs: row and units of each. chunks: of runs that have units, and details that are bytes. gone: places where nothing is any
        more. live: how many runs there are now.
        """
        runs, chunks = list(runs), list(chunks)
        listed = [known for _, several in chunks for known in several]
        units = [*((known, units) for known, _, units in runs), *((known, known.units or b"") for known in listed)]
        details = [*details, *((known, known.detail) for known in listed)]
        places = [(place,) for place in gone]
        stale = [*places, *((known.place,) for known, _, _ in runs)]
        with self._sound(), self._connection(write=True) as connection:
            if connection is None:
                return
            folders = [(place, *listing.stamp, _kept_names(place, listing)) for place, listing in listings]
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                if stale:
                    rows: dict[str, tuple[Known, Cells]] = {place: (_gone(place), {}) for (place,) in places}
                    _rewrite(connection, rows | {known.place: (known, cells) for known, cells, _ in runs}, live)
                for chunk, several in chunks:
                    _write_chunk(connection, several, chunk.columns)
                connection.executemany("DELETE FROM units WHERE place = ?", places)
                connection.executemany("DELETE FROM folders WHERE place = ?", stale)
                connection.executemany("DELETE FROM details WHERE place = ?", stale)
                connection.executemany(
                    "INSERT OR REPLACE INTO units VALUES (?,?)",
                    [(known.place, seal(data, _about(known))) for known, data in units],
                )
                connection.executemany("INSERT OR REPLACE INTO folders VALUES (?,?,?,?,?)", folders)
                connection.executemany(
                    "INSERT OR REPLACE INTO details VALUES (?,?)",
                    [(known.place, seal(data, _about(known))) for known, data in details],
                )

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        """Let nobody hear of what is wrong with an index, which is taken away when it is broken: whoever asks looks at the files."""
        try:
            yield
        except UnicodeEncodeError:
            pass  # a name that is no text
        except (sqlite3.Error, Torn, msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Even the words of a fault may be torn.
            if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF not in _NO_FAULT:
                self._remove()

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
            if write:
                # Nobody waits for the disk: what a power cut leaves torn is found.
                connection.execute("PRAGMA synchronous = OFF")
            yield connection
        finally:
            connection.close()

    @staticmethod
    def _make(connection: sqlite3.Connection) -> None:
        # Numbers of chunks begin at the time, so that those of an index which was taken away, and which a reader may still hold,
        # never mean another chunk.
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
            CREATE TABLE folders (place TEXT PRIMARY KEY, i INT, m INT, s INT, names BLOB);
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
    most = _SMALL if total + len(rows) < 2 * live + MOST else MOST + 1
    old = connection.execute("SELECT chunk, heads FROM chunks WHERE size < ? ORDER BY chunk", (most,)).fetchall()
    merged: dict[str, tuple[Known, Cells]] = {}
    for number, data in old:
        columns = _columns_of(connection, number)
        names, heads = _decode_heads(unseal(data, str(number)))
        if columns.keys() != set(names):
            raise Torn(f"the chunk {number} has lost columns")
        for at, known in enumerate(heads):
            cells = {name: column[at] for name, column in columns.items() if column[at] is not MISSING}
            merged[known.place] = (known, cells)
    merged |= rows
    if most > MOST:  # nothing is left that they would take away
        merged = {place: row for place, row in merged.items() if row[0].kind != _TAKEN_AWAY}
    for number, _ in old:
        connection.execute("DELETE FROM chunks WHERE chunk = ?", (number,))
        connection.execute("DELETE FROM columns WHERE chunk = ?", (number,))
    whole = list(merged.values())
    for start in range(0, len(whole), MOST):
        some = whole[start : start + MOST]
        _write_chunk(connection, [known for known, _ in some], _columns([cells for _, cells in some]))


def _write_chunk(connection: sqlite3.Connection, runs: Sequence[Known], columns: Mapping[str, Sequence[Any]]) -> None:
    cursor = connection.execute("INSERT INTO chunks (size) VALUES (?)", (len(runs),))
    number = cursor.lastrowid
    heads = _encode((list(columns), [known.head() for known in runs]))
    connection.execute("UPDATE chunks SET heads = ? WHERE chunk = ?", (seal(heads, str(number)), number))
    written = []
    for name, column in columns.items():
        has = bytes(cell is not MISSING for cell in column) if MISSING in column else b""
        kept = _encode([None if cell is MISSING else cell for cell in column] if has else column)
        written.append((number, name, has, seal(kept, f"{number} {name} {has!r}")))
    connection.executemany("INSERT INTO columns VALUES (?,?,?,?)", written)


def _columns(rows: Sequence[Cells]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for at, cells in enumerate(rows):
        for name, value in cells.items():
            if name not in columns:
                columns[name] = [MISSING] * len(rows)
            columns[name][at] = value
    return columns


def _columns_of(connection: sqlite3.Connection, number: int) -> dict[str, list[Any]]:
    rows = connection.execute("SELECT name, has, cells FROM columns WHERE chunk = ? ORDER BY rowid", (number,))
    return {name: _cells_of(number, name, has, cells) for name, has, cells in rows}


def _cells_of(number: int, name: str, has: bytes, cells: bytes) -> list[Any]:
    found = _decode_column(unseal(cells, f"{number} {name} {has!r}"))
    return [cell if there else MISSING for cell, there in zip(found, has, strict=True)] if has else found


def _listing(place: str, i: int, m: int, s: int, names: bytes) -> tuple[str, Listing]:
    text = unseal(names, f"{place} {(i, m, s)}").decode()
    return place, Listing((i, m, s), text.split("/") if text else [])


def _kept_names(place: str, listing: Listing) -> bytes:
    return seal("/".join(listing.names).encode(), f"{place} {listing.stamp}")


def _about(known: Known) -> str:
    """Return which state of a run something is about."""
    return f"{known.place} {known.mtime} {known.inode} {known.size}"


def _gone(place: str) -> Known:
    return Known(place, _TAKEN_AWAY, *GONE, None, False)


def _sweep(folder: str) -> None:
    """Take away the indices that nobody has written for months: their folders are gone, most likely."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_S:
                os.unlink(entry.path)


__all__ = ["Index", "Listing", "cache_folder"]
