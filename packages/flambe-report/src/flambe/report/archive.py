"""Folders as tar streams, written while they are read: nothing is held in memory or put on the disk."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 18
_LARGE = frozenset({".safetensors", ".pt", ".bin", ".onnx"})


def tar_stream(folder: Path, name: str, *, logs_only: bool = False) -> Iterator[bytes]:
    """Yield a tar archive of ``folder`` under the top folder ``name``.

    logs_only: leave out states of models. Links are left out, so nothing from outside of ``folder`` gets in. A file
    that grows meanwhile is taken as long as it was, one that shrinks is filled with zeros.
    """
    for root, folders, files in os.walk(folder):
        # Hidden files are what somebody is just writing.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            path = Path(root, file)
            if file.startswith(".") or path.is_symlink() or (logs_only and path.suffix in _LARGE):
                continue
            try:
                stream = path.open("rb")
            except OSError:
                continue  # gone since the folder was listed, or not ours to read
            with stream:
                yield from _member(stream, f"{name}/{path.relative_to(folder).as_posix()}")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(stream: BinaryIO, name: str) -> Iterator[bytes]:
    stat = os.fstat(stream.fileno())
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = stat.st_size, int(stat.st_mtime), 0o644
    yield member.tobuf(tarfile.PAX_FORMAT)
    left = stat.st_size
    while left > 0:
        chunk = stream.read(min(_CHUNK, left)) or bytes(min(_CHUNK, left))
        left -= len(chunk)
        yield chunk
    yield bytes(-stat.st_size % tarfile.BLOCKSIZE)
