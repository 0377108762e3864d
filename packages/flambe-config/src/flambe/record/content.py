"""The content of a file or folder, as a digest. That of what is large is kept in the cache folder of the user, until it changes."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec

from flambe.cli.console import say
from flambe.record.layout import LEDGER
from flambe.spec.digest import digest_of, file_digest

TREE = "tree:"
"""What the digest of a folder begins with."""

_LARGE_BYTES = 2**20
"""From here on a digest is kept: below, reading the file costs no more than asking for what was kept."""
_LONG_BYTES = 2**31
_SETTLED_NS = 2 * 10**9
"""A file may change twice within one tick of its disk's clock: one that has just changed is read again."""
_NO_DATA = frozenset({"__pycache__", ".git", ".hg", ".svn", ".DS_Store"})


class _Mark(NamedTuple):
    """What changes with a file. place: its path below the folder that is looked at."""

    place: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class _Kept(msgspec.Struct):
    path: str
    mark: str
    digest: str


def content_digest(path: str | os.PathLike[str]) -> str | None:
    """Return the SHA-256 of what is in a file as hex, of what is below a folder as ``tree:`` and hex; None where there is neither, or
    it cannot be read.

    Of a folder the names and contents of its files count, links by what they point to. Runs that lie in it are no content, nor are
    caches of Python and folders of version control.
    """
    path = os.fspath(path)
    try:
        if os.path.isfile(path):
            return _of_file(path, _mark(os.stat(path), ""))
        return _of_folder(path) if os.path.isdir(path) else None
    except OSError:
        return None


def _of_file(path: str, mark: _Mark) -> str:
    if mark.size < _LARGE_BYTES:
        return file_digest(path)
    return _kept(path, [mark]) or _keep(path, [mark], file_digest(path))


def _of_folder(path: str) -> str:
    marks = sorted(_marks(path))
    found = _kept(path, marks)
    if found is not None:
        return found
    whole = hashlib.sha256()
    for mark in marks:
        whole.update(
            f"{mark.place}\0{_of_file(os.path.join(path, mark.place), mark)}\n".encode(errors="surrogateescape")
        )
    return _keep(path, marks, f"{TREE}{whole.hexdigest()}")


def _marks(folder: str) -> Iterator[_Mark]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        if LEDGER in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in _NO_DATA and not _leads_up(parent, name)]
        below = "" if parent == folder else f"{os.path.relpath(parent, folder)}/"
        for name in files:
            if name not in _NO_DATA:
                with suppress(FileNotFoundError):  # a link to nowhere
                    found = os.stat(os.path.join(parent, name))
                    if stat.S_ISREG(found.st_mode):
                        yield _mark(found, below + name)


def _leads_up(parent: str, name: str) -> bool:
    """Whether a folder is a link to one that it lies in."""
    path = os.path.join(parent, name)
    return os.path.islink(path) and f"{os.path.realpath(parent)}/".startswith(f"{os.path.realpath(path)}/")


def _mark(found: os.stat_result, place: str) -> _Mark:
    return _Mark(place, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


# -- the cache ---------------------------------------------------------------------------------------------------------


def _cache_file(path: str) -> str:
    from platformdirs import user_cache_dir

    name = hashlib.sha256(os.path.realpath(path).encode(errors="surrogateescape")).hexdigest()[:32]
    return os.path.join(user_cache_dir("flambe", appauthor=False), "digests", name)


def _kept(path: str, marks: list[_Mark]) -> str | None:
    """Return the digest that was kept for a path, if all below it is as it was then."""
    size = sum(mark.size for mark in marks)
    if size >= _LARGE_BYTES:
        with suppress(OSError, msgspec.MsgspecError), open(_cache_file(path), "rb") as stream:
            kept = msgspec.json.decode(stream.read(), type=_Kept)
            if kept.mark == digest_of(marks) and kept.path == os.path.realpath(path):
                return kept.digest
    if size >= _LONG_BYTES:
        say(f"reading {path} ({size / 1e9:.0f} GB) for its digest: once, until it changes")
    return None


def _keep(path: str, marks: list[_Mark], digest: str) -> str:
    settled = time.time_ns() - max((max(mark.mtime_ns, mark.ctime_ns) for mark in marks), default=0) > _SETTLED_NS
    if settled and sum(mark.size for mark in marks) >= _LARGE_BYTES:
        file = _cache_file(path)
        aside = f"{file}.{os.getpid()}"
        with suppress(OSError):  # a cache that cannot be written is none
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(aside, "wb") as stream:
                stream.write(msgspec.json.encode(_Kept(os.path.realpath(path), digest_of(marks), digest)))
            os.replace(aside, file)
    return digest


__all__ = ["TREE", "content_digest"]
