"""A bar on a terminal while many runs are read for the first time."""

from __future__ import annotations

import time
from typing import Any

from flambe.cli.console import progress, stderr_is_terminal

_PATIENCE_S = 0.5
"""Who waits no longer wants no bar."""


class ReadingBar:
    """Called with how many runs were read and how many there are, as far as that is known; gone when all are."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._bar: Any = None

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if self._bar is None:
            if done >= of or now - self._began < _PATIENCE_S:
                return
            self._bar = progress()
            self._task = self._bar.add_task("reading runs", total=of)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=of)
        if done >= of:
            self._bar.stop()
            self._bar = self._began = None


def reading_bar() -> ReadingBar | None:
    """Return a bar where somebody may see it."""
    return ReadingBar() if stderr_is_terminal() else None


__all__ = ["ReadingBar", "reading_bar"]
