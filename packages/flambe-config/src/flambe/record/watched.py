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
from flambe.record.inside import LONGEST, open_file, read_file
from flambe.record.ledger import LedgerState, read_event

_T = TypeVar("_T")


class Watched(Generic[_T]):
    """What a file says, read again only after the file changed. A missing or broken file says ``empty``.

    read: its bytes → what they say; raises FlambeError for what is none.
    """

    def __init__(self, path: Path, read: Callable[[bytes], _T], empty: _T) -> None:
        self._path = path
        self._read = read
        self._empty = empty
        self._seen: tuple[int, int, int] | None = None
        self._value = empty
        self.problem: str | None = None

    def get(self) -> _T:
        try:
            stat = os.stat(self._path, follow_symlinks=False)
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._value = self._read(read_file(self._path))
                self._seen, self.problem = seen, None
        except (FileNotFoundError, NotADirectoryError):
            self._seen, self._value, self.problem = None, self._empty, None
        except OSError as error:
            self._seen, self._value, self.problem = None, self._empty, f"{self._path} {error.strerror or error}"
        except (FlambeError, msgspec.MsgspecError) as error:
            problem = str(error)
            problem = problem if str(self._path) in problem else f"{self._path}: {problem}"
            self._seen, self._value, self.problem = None, self._empty, problem
        return self._value


class LedgerTail:
    """The state of a ledger that somebody else is writing: each call reads only the lines that are new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0
        self.state = LedgerState()
        self.started: dict[str, str] = {}
        self.problem: str | None = None

    def refresh(self) -> LedgerState:
        try:
            descriptor = open_file(self._path)
        except (FileNotFoundError, NotADirectoryError):
            self._inode, self._offset, self.state, self.started = 0, 0, LedgerState(), {}
            return self.state
        except OSError as error:
            self.problem = f"{self._path} {error.strerror or error}"
            return self.state
        try:
            stat = os.fstat(descriptor)
            if stat.st_ino != self._inode or stat.st_size < self._offset:
                self._inode, self._offset = stat.st_ino, 0
                self.state, self.started, self.problem = LedgerState(), {}, None
            os.lseek(descriptor, self._offset, os.SEEK_SET)
            self._read_on(descriptor)
        except OSError as error:
            self.problem = f"{self._path} {error.strerror or error}"
        finally:
            os.close(descriptor)
        return self.state

    def _read_on(self, descriptor: int) -> None:
        rest = b""
        while data := os.read(descriptor, 1 << 20):
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
            if event["event"] == "start":
                self.started.setdefault(event["unit"], event["t"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.problem = f"{self._path}: a line is no event ({error!r})"


__all__ = ["LedgerTail", "Watched"]
