"""The runs at and below one folder: found by walking, and read again when their files have changed.

What is looked at, each time: every folder that is no run, the record of every run, and the ledger of every run that has not
ended. So what comes, goes, is moved, continued or written again is noticed at the next question; what is changed inside of a
finished run without a word in its ``run.json`` is not.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flambe.errors import ConfigError
from flambe.reading.chunk import Chunk
from flambe.reading.finding import may_hold_runs
from flambe.reading.finished import Finished, chunks_of, finished_in
from flambe.reading.foreign import recognize, record_of
from flambe.reading.index import Index, Listing
from flambe.reading.inotify import Inotify, tells_all
from flambe.reading.inside import entered
from flambe.reading.known import GONE, Known, Stamp, stamp_of
from flambe.reading.natural import natural
from flambe.reading.table import Table, Tell
from flambe.reading.whole_run import is_whole_run, record_in
from flambe.record import layout

_DEEPEST = 32
_SETTLED_NS = 2_000_000_000
"""What is younger than this when it is read may be written once more without another time: clocks of file systems are coarse."""

_FEW = 500
"""Runs that are as soon looked at as watched."""
_LIKE_A_RUN = 50_000
"""Bytes of a list of finished runs that are read about as soon as the files of one run."""


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Let the garbage collector rest: nothing that is read is garbage, and it would look through all of it again and again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Catalog:
    """The runs at and below ``root``, in natural order of their paths. problems: what could not be read at the last look.

    cache: the folder of indices; None for none, and then no list of runs is believed either. looks: whether files are looked at again, once something is known.
    tell: is given how many runs were read so far, and how many folders there are that may be one, as far as that is known.
    """

    def __init__(self, root: Path, cache: Path | None, *, looks: bool = True, tell: Tell | None = None) -> None:
        self.problems: list[str] = []
        self.read = 0
        """How many runs were read from their files so far."""
        self._top = str(root.absolute())
        self._index = Index(root, cache, top=self._top)
        self._believes = cache is not None
        self._looks = looks
        self._tell = tell
        self._known: dict[str, Known] | None = None
        self._listings: dict[str, Listing] = {}
        self.table = Table((), self._index)
        """Of the runs that were found at the last look."""
        self._broken: dict[str, tuple[Stamp, str, Stamp, list[str]]] = {}
        self._looked = 0
        self._watch: Inotify | None = None
        self._local: dict[int, bool] = {}
        """Device → whether Linux tells of all changes on it."""
        self._watched: set[str] = set()
        """Places of finished runs that were what they were when the system began to watch them, and of which it told nothing since."""

    # -- finding -----------------------------------------------------------------------------------------------------

    @_uncollected()
    def refresh(self) -> list[Known]:
        """Look at every folder and record, read what has changed, and return all runs in order."""
        first = self._known is None
        if self._known is None:
            self._known, self._listings = self._index.load()
        if not self._looks and (self._known or not first):
            if first:
                self.table = Table(
                    sorted(self._known.values(), key=lambda known: natural(known.path)), self._index, self._tell
                )
            return self.table.runs
        self.problems = []
        before, listed = self._known, self._listings
        self._fresh: list[tuple[Known, Any, bytes]] = []
        self._chunks: list[tuple[Chunk, list[Known]]] = []
        self._found: dict[str, Known] = {}
        self._seen: dict[str, Listing] = {}
        self._expected, read = 0, self.read
        self._hear()
        self._walk("", 0)
        if self._tell is not None and self.read > read:
            self._tell(self.read - read, self.read - read)
        self._known, self._listings = self._found, self._seen
        relisted = [(place, listing) for place, listing in self._seen.items() if listed.get(place) is not listing]
        gone = [place for place in before if place not in self._found] if before.keys() != self._found.keys() else []
        gone += [place for place in listed if place not in self._found and place not in self._seen]
        if first or relisted or gone or self.read > read:
            self.table = Table(list(self._found.values()), self._index, self._tell)
        if relisted or gone or self._fresh:
            self._index.save(self._fresh, relisted, chunks=self._chunks, gone=gone, live=len(self.table.runs))
        return self.table.runs

    def _hear(self) -> None:
        """Take in what the system tells of the folders that it watches; from the second look on, so that who asks once pays nothing."""
        self._looked += 1
        if self._watch is not None and self._watch.is_mine:
            changed = self._watch.changed()
            if changed is not None:
                cut = len(self._top) + 1
                self._watched.difference_update(path[cut:] for path in changed)
                return
        self._watch, self._watched = None, set()
        if self._looked > 1 and len(self._known or ()) > _FEW:
            with contextlib.suppress(OSError, ValueError):
                self._watch = Inotify()

    def _path_of(self, place: str) -> str:
        return f"{self._top}/{place}" if place else self._top

    def _walk(self, place: str, depth: int) -> None:
        path = self._path_of(place)
        known = self._known.get(place) if self._known else None
        if known is not None:
            stamp = _record_stamp(path, known.kind)
            if stamp != GONE:
                if stamp != known.record or self._has_moved_on(known):
                    known = self._take(place, known.kind, stamp, known)
                if known is not None:
                    self._found[place] = known
                return
        elif self._take_ours(place, path):
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
        self._expected += len(listing.names)
        prefix = f"{place}/" if place else ""
        if self._listings.get(place) is not listing:
            # Another folder may have come in the place of one that is watched.
            self._watched.difference_update([prefix + name for name in listing.names])
            if finished := self._finished_in(prefix, path, listing.names):
                self._walk_listed(finished, prefix, path, listing.names, depth + 1)
                return
        self._walk_below(prefix, path, listing.names, depth + 1)

    def _walk_below(self, prefix: str, path: str, names: list[str], depth: int) -> None:
        """Look at the folders in one. Of a finished run of ours a single call of the system tells, for each of thousands."""
        if self._watch is not None and self._is_local(path):
            self._walk_watched(self._watch, prefix, path, names, depth)
            return
        get, found, lstat = (self._known or {}).get, self._found, os.lstat
        with entered(path) as folder:
            for name in names:
                place = prefix + name
                known = get(place)
                if known is not None and known.ledger is None and not known.changing and not known.kind:
                    try:
                        stat = lstat(f"{name}/run.json", dir_fd=folder)
                        if (
                            stat.st_mtime_ns == known.mtime
                            and stat.st_ino == known.inode
                            and stat.st_size == known.size
                        ):
                            found[place] = known
                            continue
                    except OSError:
                        pass  # it went, or is told by whoever looks closer
                self._walk(place, depth)

    def _finished_in(self, prefix: str, path: str, names: list[str]) -> dict[str, Finished]:
        """Return what the list in a folder says of the runs there, when that is read sooner than those that nothing is known of."""
        known = self._known or {}
        new = sum(prefix + name not in known for name in names) if self._believes else 0
        return finished_in(path, new * _LIKE_A_RUN) if new else {}

    def _walk_listed(self, finished: dict[str, Finished], prefix: str, path: str, names: list[str], depth: int) -> None:
        """Look at the folders in one, and believe its list of the runs that are still what it says."""
        known_at, found, now = self._known or {}, self._found, time.time_ns()
        listed: list[tuple[Known, Finished]] = []
        with entered(path) as folder:
            for name in names:
                one, place = finished.get(name), prefix + name
                if one is not None and place not in known_at:
                    with contextlib.suppress(OSError):  # it went, or is told by whoever looks closer
                        stat = os.lstat(f"{name}/{layout.RUN}", dir_fd=folder)
                        if one.is_of(stat):
                            known = Known(
                                place, "", stat.st_ino, one.mtime, one.size, None, now - one.mtime < _SETTLED_NS
                            )
                            known.units, known.detail = one.units, one.detail
                            found[place] = known
                            listed.append((known, one))
                            continue
                self._walk(place, depth)
        self._chunks += chunks_of(listed, self._index)

    def _is_local(self, path: str) -> bool:
        device = os.stat(path).st_dev
        if device not in self._local:
            self._local[device] = tells_all(path)
        return self._local[device]

    def _walk_watched(self, watch: Inotify, prefix: str, path: str, names: list[str], depth: int) -> None:
        """Look at the folders in one of which Linux has told something, or that it does not watch yet."""
        known_at, found, watched = self._known or {}, self._found, self._watched
        device = os.stat(path).st_dev
        for name in names:
            place = prefix + name
            known = known_at.get(place)
            if known is not None and place in watched:
                found[place] = known
                continue
            still = known is not None and known.ledger is None and not known.changing and not known.kind
            # First the watch: what changes after the look is told by it.
            if known is not None and still and watch.add(f"{path}/{name}"):
                with contextlib.suppress(OSError):
                    stat = os.lstat(f"{path}/{name}/run.json")
                    if (stat.st_ino, stat.st_mtime_ns, stat.st_size, stat.st_dev) == (*known.record, device):
                        watched.add(place)
            self._walk(place, depth)

    def _take_ours(self, place: str, path: str) -> bool:
        """Read a folder that nothing is known of, where it is a run of ours."""
        if place in self._broken or place in self._listings:
            return False
        try:
            read = record_in(path)
        except ConfigError:
            return False  # told by whoever looks closer
        if read is None:
            return False
        stamp = (read[1].st_ino, read[1].st_mtime_ns, read[1].st_size)
        taken = self._take(place, "", stamp, read=read)
        if taken is not None:
            self._found[place] = taken
        else:
            self._broken[place] = (stamp_of(path, folder=True), "", stamp, self.problems[-1:])
        return True

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
        if known.told is not None and known.cell("status") != "RUNNING":
            ledger, problems = known.told
            if stamp_of(f"{known.path}/{layout.LEDGER}") != ledger:
                return True
            self.problems.extend(problems)
            return False
        if known.changing:
            return True
        return known.ledger is not None and stamp_of(f"{known.path}/{layout.LEDGER}") != known.ledger

    def _take(
        self,
        place: str,
        kind: str,
        record: Stamp,
        before: Known | None = None,
        read: tuple[bytes, os.stat_result] | None = None,
    ) -> Known | None:
        """Read a run from its files; None, and a problem, when its record is none.

        record: its stamp. before: what was known of it. read: what is in its record, where that was read already.
        """
        from flambe.reading.reading import read_run

        path = self._path_of(place)
        ledger, at = stamp_of(f"{path}/{layout.LEDGER}"), time.time_ns()
        self.read += 1
        if self._tell is not None:
            self._tell(len(self._found), max(self._expected, len(self._found) + 1))
        try:
            reading = read_run(path, kind, read)
        except ConfigError as error:
            self.problems.append(str(error))
            return None
        self.problems.extend(reading.problems)
        young = at - record[1] < _SETTLED_NS
        known = Known(place, kind, *record, None if reading.finished else ledger, reading.changing or young, self._top)
        known.cells = {"run": path, **reading.row, "info.path": path}
        known.units = reading.units
        if reading.problems and not young:
            known.told = (ledger, reading.problems)
        # What is read each time all the same need not be written each time.
        if before is None or before.head() != known.head() or before.row() != known.cells:
            self._fresh.append((known, reading.row, reading.units))
            return known
        before.units, before.rows_of_units, before.detail, before.told = reading.units, None, None, known.told
        return before


def _record_stamp(path: str, kind: str) -> Stamp:
    for name in record_of(kind):
        if (stamp := stamp_of(f"{path}/{name}")) != GONE:
            return stamp
    return GONE


__all__ = ["Catalog", "Tell"]
