"""Everything a unit prints, by file descriptor: Python's prints, C extensions' and child processes' alike."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import TracebackType

_FORMAT = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"


class Capture:
    """Sends descriptors 1 and 2 of this process, and log records from INFO up, to the end of a file while it is entered.

    It can be entered again and again for the same file: a step at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken = 0
        self._kept: tuple[int, int] | None = None
        self._handler: logging.Handler | None = None
        self._level = logging.WARNING

    def __enter__(self) -> Capture:
        sys.stdout.flush()
        sys.stderr.flush()
        target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._kept = (os.dup(1), os.dup(2))
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)
        root = logging.getLogger()
        self._handler = logging.StreamHandler(sys.stderr)
        self._handler.setFormatter(logging.Formatter(_FORMAT, datefmt="%H:%M:%S"))
        self._level = root.level
        root.addHandler(self._handler)
        root.setLevel(min(root.level, logging.INFO))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            logging.getLogger().setLevel(self._level)
        if self._kept is not None:
            for kept, descriptor in zip(self._kept, (1, 2), strict=True):
                os.dup2(kept, descriptor)
                os.close(kept)
            self._kept = None

    def take(self) -> bytes:
        """Return what was written since the last call."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._taken)
                data = stream.read()
        except FileNotFoundError:
            return b""
        self._taken += len(data)
        return data
