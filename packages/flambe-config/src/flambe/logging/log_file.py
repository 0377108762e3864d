"""``LogFile``: the user's log of all commands, which several of them write at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

MB = 1 << 20
LARGEST = 10 * MB
BACKUPS = 5


def default_log_file() -> Path:
    """Return ``log.log`` in the user's folder for logs: ``~/.local/state/flambe/log`` on Linux, below ``$XDG_STATE_HOME`` if set."""
    from platformdirs import user_log_path

    return user_log_path("flambe", appauthor=False) / "log.log"


class LogFile(logging.FileHandler):
    """Appends to a file; at 10 MB it becomes ``NAME.1``, that ``NAME.2``, and the fifth goes.

    Not ``logging.handlers.RotatingFileHandler``, which moves the file away under whoever else writes it.
    Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST, backups: int = BACKUPS) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._largest = largest
        self._backups = backups
        super().__init__(path, encoding="utf-8", errors="replace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. A full disk must not end what is logged about."""
        with contextlib.suppress(OSError):
            self._follow()
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave a record out that cannot be written, without the traceback that logging would print."""

    def _follow(self) -> None:
        if not self._is_there():
            self._open_again()
        elif self.stream is not None and os.fstat(self.stream.fileno()).st_size >= self._largest:
            self._rotate()

    def _is_there(self) -> bool:
        """Whether the file of that name is still the one that is open."""
        if self.stream is None:
            return False
        here = os.fstat(self.stream.fileno())
        try:
            there = os.stat(self.baseFilename)
        except FileNotFoundError:
            return False
        return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)

    def _rotate(self) -> None:
        with self._alone():
            # Another process may have been first.
            if self._is_there():
                for number in range(self._backups - 1, 0, -1):
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(f"{self.baseFilename}.{number}", f"{self.baseFilename}.{number + 1}")
                os.replace(self.baseFilename, f"{self.baseFilename}.1")
        self._open_again()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(f"{self.baseFilename}.lock", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _open_again(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.stream = self._open()
