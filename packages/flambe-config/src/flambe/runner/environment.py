"""What code inside a running unit may ask and tell: its folder, the files it read, whether to stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from flambe.record.inputs import Input, describe_input, place_of


class Active(Protocol):
    """The unit that is running in this process."""

    unit: Any
    folder: Path
    inputs: dict[str, Input]
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
        place = place_of(os.fspath(path), _active.unit.cwd or os.getcwd())
        _active.inputs[real] = describe_input(real, place=place)


def should_stop() -> bool:
    """Whether whoever runs this unit wants it to end; long steps ask between iterations."""
    return _active is not None and _active.stop_requested
