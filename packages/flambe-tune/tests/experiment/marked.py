"""Processes told by what is in their environment: their numbers may be somebody else's by now."""

from __future__ import annotations

import contextlib
from pathlib import Path


def with_mark(mark: str) -> dict[int, list[bytes]]:
    """Return the processes that have ``mark`` in their environment, with the whole of it."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "environ").read_bytes().split(b"\0")
            if mark.encode() in words:
                found[int(folder.name)] = words
    return found
