"""``Disk``: the edge to the file system. It records every change of a folder, and lets the n-th one fail as disks do.

All code above runs as it is: the functions of ``os`` are replaced, and ``open`` by Python's own reading and writing in Python
(``_pyio``), which goes through them. SQLite writes by itself: of a database each statement counts, and what is short there is a
limit of the system on the size of its files.
"""

from __future__ import annotations

import _pyio
import builtins
import errno
import io
import os
import resource
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CHANGES = ("open", "write", "fsync", "ftruncate", "truncate", "rename", "replace", "mkdir", "rmdir", "unlink", "remove",
           "link", "symlink", "chmod", "sendfile", "exchange", "statement")  # fmt: skip
"""What may fail. ``open`` counts where it may make a file; ``statement`` is one of SQLite, reading too."""

FULL, BROKEN, SHORT, FULL_FROM_NOW_ON = "full", "broken", "short", "full from now on"
FAULTS = (FULL, BROKEN, SHORT, FULL_FROM_NOW_ON)
"""ENOSPC once; EIO once; half of a write, then ENOSPC once; ENOSPC for ever. What gives room back never meets a full disk."""

_SAID = {
    errno.ENOSPC: ("database or disk is full", sqlite3.SQLITE_FULL),
    errno.EIO: ("disk I/O error", sqlite3.SQLITE_IOERR),
}

_FREES = frozenset({"unlink", "remove", "rmdir", "ftruncate", "truncate"})


class Change(NamedTuple):
    """One change. kind: of ``CHANGES``. path: what is changed. more: data and offset of a write, the second path of a rename."""

    kind: str
    path: str
    more: Any = None


class Disk:
    """Counts what changes below ``root``. fail_at: number of the change that fails, from 1."""

    def __init__(self, root: Path, *, fail_at: int = 0, fault: str = FULL, record: bool = False) -> None:
        self.root = os.path.realpath(root)
        self.count = 0
        self.changes: list[Change] = []
        self.failed: Change | None = None
        self._fail_at = fail_at
        self._fault = fault
        self._record = record
        self._full = False
        self._short = False
        self._files: dict[int, str] = {}

    # -- what the functions of os ask --------------------------------------------------------------------------------------

    def _meet(self, kind: str, path: str, more: Any = None) -> bool:
        """Count a change, and raise if it is to fail. Returns whether a write is to be short."""
        self.count += 1
        if self._record:
            self.changes.append(Change(kind, path, more))
        frees = kind in _FREES
        if (self._full and not frees) or (self._short and kind == "write"):
            self._short = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if self.count != self._fail_at:
            return False
        if self._fault == SHORT and kind in ("write", "statement"):
            self.failed = Change(kind, path)
            self._short = kind == "write"
            return True
        if self._fault != BROKEN and frees:
            return False
        self.failed = Change(kind, path)
        self._full = self._fault == FULL_FROM_NOW_ON
        code = errno.EIO if self._fault == BROKEN else errno.ENOSPC
        raise OSError(code, os.strerror(code), path)

    def _path(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Return a path below the root, None for any other."""
        if isinstance(path, int):
            return self._files.get(path)
        text = os.fspath(path)
        text = os.fsdecode(text)
        if dir_fd is not None and not os.path.isabs(text):
            text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
        text = os.path.abspath(text)
        return text if text.startswith(self.root + os.sep) else None

    @contextmanager
    def statement(self, path: str) -> Iterator[None]:
        """Count a statement on the database ``path``, and let it fail if it is to. A short one finds no room for half a page more."""
        try:
            is_short = self._meet("statement", path)
        except OSError as error:
            words, code = _SAID[error.errno or 0]
            told = sqlite3.OperationalError(words)
            told.sqlite_errorcode = code
            raise told from None
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if is_short:
            most = os.stat(path).st_size + 2048 if self.count % 2 else 2048  # of the database, or of its journal
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    @contextmanager
    def watch(self) -> Iterator[Disk]:
        """Stand between the code and the disk while this is entered."""
        real: dict[str, Any] = {name: getattr(os, name) for name in CHANGES if hasattr(os, name)}
        opened, closed = os.open, os.close
        replaced: dict[str, Callable[..., Any]] = {}

        def on_path(name: str) -> Callable[..., Any]:
            def call(path: Any, *args: Any, dir_fd: int | None = None, **more: Any) -> Any:
                place = self._path(path, dir_fd)
                if place is not None:
                    self._meet(name, place, args[0] if args else None)
                extra = {} if dir_fd is None else {"dir_fd": dir_fd}
                return real[name](path, *args, **extra, **more)

            return call

        def on_two(name: str) -> Callable[..., Any]:
            def call(source: Any, target: Any, *args: Any, **more: Any) -> Any:
                place = self._path(target)
                if place is not None:
                    self._meet(name, place, os.fspath(source))
                return real[name](source, target, *args, **more)

            return call

        def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            place = self._path(path, dir_fd)
            writes = flags & (os.O_WRONLY | os.O_RDWR)
            if place is not None and writes:
                if flags & (os.O_CREAT | os.O_TRUNC):
                    self._meet("open", place, flags)
                descriptor = opened(path, flags, mode, dir_fd=dir_fd)
                self._files[descriptor] = place
                return descriptor
            descriptor = opened(path, flags, mode, dir_fd=dir_fd)
            self._files.pop(descriptor, None)
            return descriptor

        def close_(descriptor: int) -> None:
            self._files.pop(descriptor, None)
            closed(descriptor)

        def write(descriptor: int, data: Any) -> int:
            place = self._files.get(descriptor)
            if place is not None:
                at = os.fstat(descriptor).st_size if _appends(descriptor) else os.lseek(descriptor, 0, os.SEEK_CUR)
                data = bytes(data)  # a view in a traceback would hold the buffer that it is of
                if self._meet("write", place, (at, data) if self._record else None) and len(data) > 1:
                    data = data[: len(data) // 2]
            return int(real["write"](descriptor, data))

        def sendfile(target: int, source: int, offset: int, count: int) -> int:
            # What shutil copies with. A copy is a write like any other.
            data = os.pread(source, count, offset)
            return write(target, data) if data else 0

        def on_descriptor(name: str) -> Callable[..., Any]:
            def call(descriptor: int, *args: Any) -> Any:
                place = self._files.get(descriptor)
                if place is not None:
                    self._meet(name, place, args[0] if args else None)
                return real[name](descriptor, *args)

            return call

        for name in ("mkdir", "rmdir", "unlink", "remove", "truncate", "chmod"):
            replaced[name] = on_path(name)
        for name in ("rename", "replace", "link", "symlink"):
            replaced[name] = on_two(name)
        for name in ("fsync", "ftruncate"):
            replaced[name] = on_descriptor(name)
        replaced.update(open=open_, close=close_, write=write, sendfile=sendfile)

        connect = sqlite3.connect

        def connect_(path: Any, *args: Any, **more: Any) -> Any:
            place = self._path(path) if path != ":memory:" else None
            if place is None:
                return connect(path, *args, **more)
            connection = connect(path, *args, factory=_Watched, **more)
            connection.disk, connection.place = self, place
            return connection

        from flambe.build import saving

        exchange = saving._exchange

        def exchange_(first: Path, second: Path) -> bool:
            self._meet("exchange", os.fspath(second), os.fspath(first))
            return exchange(first, second)

        before = {name: getattr(os, name) for name in replaced}
        opens = (builtins.open, io.open, tarfile.bltn_open)
        for name, function in replaced.items():
            setattr(os, name, function)
        read = builtins.open

        def opened_by_name(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            # Python's own reading in C opens without asking ``os``, and is ten times as fast.
            return (_pyio.open if set(mode) & set("wax+") else read)(file, mode, *args, **more)

        builtins.open = io.open = tarfile.bltn_open = opened_by_name  # type: ignore[assignment,attr-defined]
        saving._exchange = exchange_
        sqlite3.connect = connect_
        try:
            yield self
        finally:
            for name, function in before.items():
                setattr(os, name, function)
            builtins.open, io.open, tarfile.bltn_open = opens  # type: ignore[misc,attr-defined]
            saving._exchange = exchange
            sqlite3.connect = connect


class _Watched(sqlite3.Connection):
    """A connection whose statements count, and the end of a transaction too."""

    disk: Disk
    place: str

    def execute(self, *args: Any) -> Any:
        with self.disk.statement(self.place):
            return super().execute(*args)

    def executemany(self, *args: Any) -> Any:
        with self.disk.statement(self.place):
            return super().executemany(*args)

    def executescript(self, *args: Any) -> Any:
        with self.disk.statement(self.place):
            return super().executescript(*args)

    def __exit__(self, *args: Any) -> Any:
        try:
            with self.disk.statement(self.place):
                return super().__exit__(*args)
        except sqlite3.Error:
            super().__exit__(sqlite3.Error, None, None)
            raise


def _appends(descriptor: int) -> bool:
    import fcntl

    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
