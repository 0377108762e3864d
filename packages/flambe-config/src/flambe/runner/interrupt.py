"""Signals that end a run: raised at once where a unit's own code runs, kept for the next safe moment everywhere else.

A signal may come between any two lines. Raised while the keeper writes or while descriptors are being swapped, it would leave
half of it done.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flambe.runner.environment import active


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end. number: of the first one that came."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupt:
    """Whether a signal has come."""

    def __init__(self) -> None:
        self.number: int | None = None

    def check(self) -> None:
        """Raise Stopped if one has."""
        if self.number is not None:
            raise Stopped(self.number)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
        running = active()
        if running is not None:
            running.stop_requested = True
        if _interruptible:
            raise Stopped(self.number)


_interruptible = False


@contextmanager
def catch_signals() -> Iterator[Interrupt]:
    """Take SIGINT and SIGTERM while this is entered. In other threads than the main one, which get none, nothing happens."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, interrupt._take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals raise at once inside: code that may take long, and whose tearing does no harm."""
    global _interruptible
    _interruptible = True
    try:
        yield
    finally:
        _interruptible = False
