"""What code inside a running unit may ask and tell: its folder, the files it read, whether to stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from flambe.spec.digest import file_digest


class Active(Protocol):
    """The unit that is running in this process."""

    unit: Any
    folder: Path
    inputs: dict[str, dict[str, Any]]
    stop_requested: bool
    is_echoed: bool


_active: Active | None = None


def activate(active: Active | None) -> None:
    """Make ``active`` the running unit of this process; None when it has ended."""
    global _active
    _active = active


def active() -> Active | None:
    """Return the running unit of this process, if any."""
    return _active


def note_input(path: str | os.PathLike[str]) -> None:
    """Record that a file was read: its digest becomes part of the record, and a reuse of the result asks for it.

    Outside a running unit nothing happens.
    """
    if _active is None:
        return
    real = os.path.realpath(path)
    if real not in _active.inputs:
        _active.inputs[real] = describe_input(real)


def describe_input(path: str, *, at_most: int | None = None) -> dict[str, Any]:
    """Return path, size, time of change and digest of a file. at_most: bytes of a file whose digest is wanted; else it is None."""
    stat = os.stat(path)
    digest = file_digest(path) if at_most is None or stat.st_size <= at_most else None
    return {"path": path, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest}


def input_is_unchanged(described: dict[str, Any]) -> bool:
    """Whether a file is still what ``describe_input`` saw; its content is read only when size or time differ."""
    try:
        stat = os.stat(described["path"])
        if stat.st_size != described["size"]:
            return False
        same_time = bool(stat.st_mtime_ns == described["mtime_ns"])
        return same_time or file_digest(described["path"]) == described["sha256"]
    except OSError:
        return False


def should_stop() -> bool:
    """Whether whoever runs this unit wants it to end; long steps ask between iterations."""
    return _active is not None and _active.stop_requested
