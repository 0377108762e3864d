"""Signals that end a run: raised at once where a unit's own code runs, kept for the next safe moment everywhere else.

A signal may come between any two lines. Raised while the keeper writes or while descriptors are being swapped, it would leave
half of it done.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flambe.cli.ending import is_running
from flambe.runner.environment import active

_AGAIN_S = 1.0


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end. number: of the first one that came."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupt:
    """Whether a signal has come."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._raised = -_AGAIN_S

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
        # Again only after a while: what runs just after a signal is the clean-up of the first one, which nothing may tear.
        if _interruptible and time.monotonic() - self._raised > _AGAIN_S:
            self._raised = time.monotonic()
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
        # A command ends with the number of the signal; one more of them must not end it with another.
        ends = interrupt.number is not None and is_running()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if ends else handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals raise at once inside: code that may take long, and whose tearing does no harm."""
    global _interruptible
    _interruptible = True
    try:
        yield
    finally:
        _interruptible = False
