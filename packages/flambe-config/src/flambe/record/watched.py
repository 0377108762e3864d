"""Files that grow or are replaced while they are read: looked at again only after a change.

Reads only. What cannot be read is told by ``problem``, and the reader goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from flambe.errors import FlambeError
from flambe.record.ledger import LedgerState, read_event

_T = TypeVar("_T")


class Watched(Generic[_T]):
    """What a file says, read again only after the file changed. A missing or broken file says ``empty``."""

    def __init__(self, path: Path, read: Callable[[Path], _T], empty: _T) -> None:
        self._path = path
        self._read = read
        self._empty = empty
        self._seen: tuple[int, int, int] | None = None
        self._value = empty
        self.problem: str | None = None

    def get(self) -> _T:
        try:
            stat = self._path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._value = self._read(self._path)
                self._seen, self.problem = seen, None
        except FileNotFoundError:
            self._seen, self._value, self.problem = None, self._empty, None
        except (OSError, FlambeError, msgspec.MsgspecError) as error:
            self._seen, self._value, self.problem = None, self._empty, f"{self._path}: {error}"
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
            with self._path.open("rb") as stream:
                stat = os.fstat(stream.fileno())
                if stat.st_ino != self._inode or stat.st_size < self._offset:
                    self._inode, self._offset = stat.st_ino, 0
                    self.state, self.started, self.problem = LedgerState(), {}, None
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            self._inode, self._offset, self.state, self.started = 0, 0, LedgerState(), {}
            return self.state
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}"
            return self.state
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                event = read_event(line)
                self.state.apply(event)
                if event["event"] == "start":
                    self.started.setdefault(event["unit"], event["t"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.problem = f"{self._path}: a line is no event ({error!r})"
        return self.state


__all__ = ["LedgerTail", "Watched"]
