"""What Linux itself tells of changes in folders, so that thousands of them need not be looked at one by one.

Only of file systems whose changes all go through this kernel: on a network drive another machine writes unnoticed.
"""

from __future__ import annotations

import os
import struct
import sys
import weakref
from typing import Any

_FLAGS = 0o4000 | 0o2000000
"""IN_NONBLOCK, IN_CLOEXEC."""
_CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
"""A file in the folder was written, given other attributes, closed after writing, moved, made or deleted; or the folder was."""
_ONLY_FOLDERS, _NO_LINKS = 0x1000000, 0x2000000
_LOST_SOME, _ENDED = 0x4000, 0x8000
_HEAD = struct.Struct("iIII")
_LOCAL = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x2FC12FC1})
"""ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS."""
_LIMIT = "/proc/sys/fs/inotify/max_user_watches"
_SHARE = 4
"""Of the watches that a user may have, editors and others want some too."""


class Inotify:
    """Watches folders. After a fork the child has to make its own."""

    def __init__(self) -> None:
        """Raises OSError where there is no such thing."""
        if not sys.platform.startswith("linux"):
            raise OSError("inotify is of Linux")
        import ctypes

        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        with open(_LIMIT, encoding="ascii") as stream:
            self._left = int(stream.read()) // _SHARE
        self._descriptor: int = self._libc.inotify_init1(_FLAGS)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._end = weakref.finalize(self, os.close, self._descriptor)
        self._process = os.getpid()
        self._paths: dict[int, str] = {}

    @property
    def is_mine(self) -> bool:
        """Whether no fork has taken place since it was made: two readers of one queue would each get half of it."""
        return self._process == os.getpid()

    def add(self, path: str) -> bool:
        """Watch a folder, from now on; False where that is not possible."""
        if self._left <= 0:
            return False
        watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), _CHANGES | _ONLY_FOLDERS | _NO_LINKS)
        if watch < 0:
            return False
        self._left -= watch not in self._paths
        self._paths[watch] = path
        return True

    def changed(self) -> set[str] | None:
        """Return the folders in which something has changed since this was asked last; None where that is not known of all."""
        found: set[str] = set()
        while True:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return found
            place = 0
            while place < len(data):
                watch, mask, _, length = _HEAD.unpack_from(data, place)
                place += _HEAD.size + length
                if mask & _LOST_SOME:
                    return None
                if watch in self._paths:
                    found.add(self._paths[watch])
                if mask & _ENDED and self._paths.pop(watch, None) is not None:
                    self._left += 1


def tells_all(path: str) -> bool:
    """Whether every change below a folder goes through this kernel."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    # The kernel writes 120 bytes, of which the type of the file system is the first word.
    found = (ctypes.c_long * 64)()
    return ctypes.CDLL(None).statfs(os.fsencode(path), found) == 0 and found[0] & 0xFFFFFFFF in _LOCAL


__all__ = ["Inotify", "tells_all"]
