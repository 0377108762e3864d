"""What was read of the runs below a folder, kept in the user's cache folder: the next process reads only what has changed.

A cache and nothing more. It is named by the real path and the inode of the folder, so a folder that was moved, or another in
its place, has its own. One that cannot be written is done without, a broken one is made again; two readers may use it at
once. A file in it holds rows in MessagePack, and no code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_VERSION = 1
_WAIT_S = 2.0
_MOST_NAMES = 500
_OLD_S = 120 * 86400

Stamp = tuple[int, int, int]
"""Inode, time of modification in nanoseconds and size of a file."""
GONE: Stamp = (0, 0, 0)


class Entry(NamedTuple):
    """What was read of one run. place: its folder, from the one above all. kind: whose it is, empty for ours.

    record, ledger: stamps of the files that it was read from. changing: whether it has to be read again in any case.
    row: its columns; units: those of its variants, None while nobody has asked the index for them.
    """

    place: str
    kind: str
    record: Stamp
    ledger: Stamp
    changing: bool
    row: bytes
    units: bytes | None


class Listing(NamedTuple):
    """The names of the folders in a folder, in order, and the stamp that it had then."""

    stamp: Stamp
    names: list[str]


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

    def __init__(self, root: Path, folder: Path | None) -> None:
        self._path: str | None = None
        if folder is not None:
            with contextlib.suppress(OSError):
                real = os.path.realpath(root)
                name = f"{real}\0{os.stat(real).st_ino}"
                self._path = str(folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.sqlite")

    def load(self) -> tuple[dict[str, Entry], dict[str, Listing]]:
        """Return what is known: place → entry, and place → listing of each folder that is no run."""
        for _ in range(2):
            try:
                with self._connection(write=False) as connection:
                    if connection is None:
                        break
                    rows = connection.execute(
                        "SELECT place, kind, i, m, s, li, lm, ls, changing, row FROM runs"
                    ).fetchall()
                    listed = connection.execute("SELECT place, i, m, s, names FROM folders").fetchall()
                entries = {row[0]: Entry(row[0], row[1], row[2:5], row[5:8], row[8] == 1, row[9], None) for row in rows}
                return entries, {
                    p: Listing((i, m, s), names.split("/") if names else []) for p, i, m, s, names in listed
                }
            except sqlite3.OperationalError:
                break  # locked for longer than anybody should wait, or not ours to read
            except sqlite3.DatabaseError:
                self._remove()
        return {}, {}

    def details(self, places: Sequence[str]) -> dict[str, bytes]:
        """Return place → what was read of the metrics and artifacts of a run, as far as it is known."""
        return self._some("SELECT place, detail FROM details", places)

    def units(self, places: Sequence[str]) -> dict[str, bytes]:
        """Return place → the columns of the units of a run, as far as they are known."""
        return self._some("SELECT place, units FROM runs", places)

    def _some(self, question: str, places: Sequence[str]) -> dict[str, bytes]:
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
        entries: Iterable[Entry] = (),
        listings: Iterable[tuple[str, Listing]] = (),
        details: Iterable[tuple[str, bytes]] = (),
        gone: Iterable[str] = (),
    ) -> None:
        """Keep what was read. gone: places where nothing is any more. What cannot be written is not kept."""
        runs = [(e.place, e.kind, *e.record, *e.ledger, int(e.changing), e.row, e.units) for e in entries]
        folders = [(place, *listing.stamp, "/".join(listing.names)) for place, listing in listings]
        places = [(place,) for place in gone]
        stale = [*places, *((run[0],) for run in runs)]
        with contextlib.suppress(sqlite3.Error), self._connection(write=True) as connection:
            if connection is None:
                return
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("DELETE FROM runs WHERE place = ?", places)
                connection.executemany("DELETE FROM folders WHERE place = ?", stale)
                connection.executemany("DELETE FROM details WHERE place = ?", stale)
                connection.executemany("INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?)", runs)
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
        # No fsync: after a crash of the machine it is made again.
        connection.executescript(
            f"""
            PRAGMA synchronous = OFF;
            BEGIN IMMEDIATE;
            DROP TABLE IF EXISTS runs; DROP TABLE IF EXISTS folders; DROP TABLE IF EXISTS details;
            CREATE TABLE runs (place TEXT PRIMARY KEY, kind TEXT, i INT, m INT, s INT, li INT, lm INT, ls INT,
                               changing INT, row BLOB, units BLOB);
            CREATE TABLE folders (place TEXT PRIMARY KEY, i INT, m INT, s INT, names TEXT);
            CREATE TABLE details (place TEXT PRIMARY KEY, detail BLOB);
            PRAGMA user_version = {_VERSION};
            COMMIT;
            """
        )

    def _remove(self) -> None:
        if self._path is not None:
            for name in (self._path, f"{self._path}-journal"):
                with contextlib.suppress(OSError):
                    os.unlink(name)


def _sweep(folder: str) -> None:
    """Take away the indices that nobody has written for months: their folders are gone, most likely."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_S:
                os.unlink(entry.path)


__all__ = ["GONE", "Entry", "Index", "Listing", "Stamp", "cache_folder"]
