"""A folder as one piece of bytes, for workers that share no disk with the keeper."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tarfile
from pathlib import Path


def pack(folder: Path) -> bytes:
    """Return the files below ``folder`` as an uncompressed tar archive (state does not compress)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name)
    return buffer.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Write the files of an archive below ``folder``; members that point outside are refused (PEP 706)."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r") as archive:
        archive.extractall(folder, filter="data")


def add(source: Path, target: Path) -> None:
    """Put what a folder holds into another one, file by file, in the place of what is called the same there."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        place = target / path.name
        if path.is_dir() and not path.is_symlink() and place.is_dir():
            add(path, place)
        else:
            take(path, place)


def take(source: Path | bytes, target: Path) -> None:
    """Put a file, a folder or a packed folder at ``target``, whole, by one rename."""
    if isinstance(source, Path):
        with contextlib.suppress(OSError):  # most often nothing is in the way
            os.rename(source, target)
            return
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        try:
            os.rename(source, target)
        except OSError:  # another disk
            aside = target.with_name(f".{target.name}.in")
            shutil.rmtree(aside, ignore_errors=True)
            shutil.move(source, aside)
            os.rename(aside, target)
    else:
        aside = target.with_name(f".{target.name}.in")
        shutil.rmtree(aside, ignore_errors=True)
        unpack(source, aside)
        os.rename(aside, target)
