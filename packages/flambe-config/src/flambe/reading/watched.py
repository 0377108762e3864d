"""Files that grow or are replaced while they are read: looked at again only after a change.

Reads only. What cannot be read is told by ``problem``, and the reader goes on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from flambe.errors import FlambeError
from flambe.reading.inside import LONGEST, opened, read_stamped
from flambe.reading.work_time import WorkTime
from flambe.record.ledger import LedgerState, read_event

_T = TypeVar("_T")
_PIECE = 1 << 20


class Watched(Generic[_T]):
    """What a file says, read again only after the file changed. A missing or broken file says ``empty``.

    read: its bytes → what they say; raises FlambeError for what is none. once: look at it the first time only.
    """

    def __init__(self, path: str | Path, read: Callable[[bytes], _T], empty: _T, *, once: bool = False) -> None:
        self._path = path
        self._read = read
        self._empty = empty
        self._once = once
        self._is_held = False
        self._seen: tuple[int, int, int] | None = None
        self._value = empty
        self.problem: str | None = None

    def give(self, data: bytes, stat: os.stat_result) -> None:
        """Take what somebody has read from the file already."""
        self._take(data, stat)
        self._is_held = self._once

    def get(self) -> _T:
        if self._is_held:
            return self._value
        self._is_held = self._once
        try:
            if self._seen is None or _stamp(os.stat(self._path, follow_symlinks=False)) != self._seen:
                self._take(*read_stamped(self._path))
        except (FileNotFoundError, NotADirectoryError):
            self._seen, self._value, self.problem = None, self._empty, None
        except OSError as error:
            self._seen, self._value, self.problem = None, self._empty, f"{self._path} {error.strerror or error}"
        return self._value

    def _take(self, data: bytes, stat: os.stat_result) -> None:
        try:
            self._value = self._read(data)
            self._seen, self.problem = _stamp(stat), None
        except (FlambeError, msgspec.MsgspecError) as error:
            problem = str(error)
            problem = problem if str(self._path) in problem else f"{self._path}: {problem}"
            self._seen, self._value, self.problem = None, self._empty, problem


def _stamp(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


class LedgerTail:
    """The state of a ledger that somebody else is writing: each call reads only the lines that are new."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0
        self.state = LedgerState()
        self.work = WorkTime()
        self.problem: str | None = None

    def refresh(self) -> LedgerState:
        try:
            descriptor, stat = opened(self._path)
        except (FileNotFoundError, NotADirectoryError):
            self._inode, self._offset, self.state, self.work = 0, 0, LedgerState(), WorkTime()
            return self.state
        except OSError as error:
            self.problem = f"{self._path} {error.strerror or error}"
            return self.state
        try:
            if stat.st_ino != self._inode or stat.st_size < self._offset:
                if self._inode:
                    self._offset, self.state, self.work, self.problem = 0, LedgerState(), WorkTime(), None
                self._inode = stat.st_ino
            if self._offset:
                os.lseek(descriptor, self._offset, os.SEEK_SET)
            self._read_on(descriptor)
        except OSError as error:
            self.problem = f"{self._path} {error.strerror or error}"
        finally:
            os.close(descriptor)
        return self.state

    def _read_on(self, descriptor: int) -> None:
        rest = b""
        data = None
        # Fewer bytes than were asked for are the last ones.
        while (data is None or len(data) == _PIECE) and (data := os.read(descriptor, _PIECE)):
            whole, end, rest = (rest + data).rpartition(b"\n")
            self._offset += len(whole) + len(end)
            for line in whole.split(b"\n") if end else ():
                self._take(line)
            if len(rest) > LONGEST:
                raise OSError(errno.EFBIG, f"has a line of more than {LONGEST:,} bytes")

    def _take(self, line: bytes) -> None:
        try:
            event = read_event(line)
            self.state.apply(event)
            self.work.take(event)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.problem = f"{self._path}: a line is no event ({error!r})"


__all__ = ["LedgerTail", "Watched"]
