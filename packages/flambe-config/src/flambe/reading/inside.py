"""Reading the files of a folder that anybody may have made: never out of it, never without end.

A link in it may lead anywhere, a pipe would wait for ever, and a file with a hole can be larger than any memory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

MOST = 1 << 26
"""Bytes that are read of a document."""
LONGEST = 1 << 23
"""Bytes of one line of a stream."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(path: str | os.PathLike[str]) -> int:
    """Return the descriptor of a plain file. Raises OSError for anything else, and for a link."""
    return opened(path)[0]


def opened(path: str | os.PathLike[str]) -> tuple[int, os.stat_result]:
    """Return the descriptor of a plain file, and what the system says of it. Raises as ``open_file`` does."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a link, and links are not followed here", os.fspath(path)) from None
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return descriptor, found
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no plain file", os.fspath(path))


def read_file(path: str | os.PathLike[str], most: int = MOST) -> bytes:
    """Return what a plain file holds. Raises OSError; also where it is a link, or larger than ``most``."""
    return read_stamped(path, most)[0]


def read_stamped(path: str | os.PathLike[str], most: int = MOST) -> tuple[bytes, os.stat_result]:
    """Return what a plain file holds, and what the system said of it before it was read. Raises as ``read_file`` does."""
    descriptor, found = opened(path)
    try:
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"has {found.st_size:,} bytes, and at most {most:,} are read", os.fspath(path))
        data = os.read(descriptor, found.st_size + 1)
        # Fewer than were asked for: that is all. More: somebody is writing it.
        while found.st_size < len(data) <= most and (more := os.read(descriptor, 1 << 20)):
            data += more
        return data[:most], found
    finally:
        os.close(descriptor)


def read_lines(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield the whole lines of a plain file; a torn last one is left out. Raises OSError, also for a line above ``LONGEST``."""
    descriptor = open_file(path)
    try:
        rest = b""
        while data := os.read(descriptor, 1 << 20):
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            if len(rest) > LONGEST:
                raise OSError(errno.EFBIG, f"has a line of more than {LONGEST:,} bytes", os.fspath(path))
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def entered(path: str) -> Iterator[int]:
    """Give the descriptor of a folder, from which the system finds what is below in less time; one of nothing where it cannot be
    entered.
    """
    try:
        descriptor = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield -1
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def folders(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the folders in ``path`` that are no links; none where it is no folder."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def plain_files(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the plain files in ``path``, sorted; none where it is no folder, or not ours to read."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:
        return []


def is_file_name(name: str) -> bool:
    """Whether a text, which anybody may have written, names something in a folder and nothing outside of it."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def leads_out(root: str, *names: str) -> bool:
    """Whether one of the folders ``root/names[0]``, ``root/names[0]/names[1]``, … is a link."""
    path = root
    for name in names:
        path = f"{path}/{name}"
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return True
        except (OSError, ValueError):  # nothing there
            return False
    return False


__all__ = [
    "LONGEST",
    "MOST",
    "entered",
    "folders",
    "is_file_name",
    "leads_out",
    "open_file",
    "opened",
    "plain_files",
    "read_file",
    "read_lines",
    "read_stamped",
]
