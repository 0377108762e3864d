"""Everything a unit prints, by file descriptor: Python's prints, C extensions' and child processes' alike."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import TextIO

_FORMAT = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"


class Capture:
    """Sends descriptors 1 and 2 of this process, and log records from INFO up, to the end of a file while it is entered.

    It can be entered again and again for the same file: a step at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken = 0
        self._kept: tuple[int, int] | None = None
        self._streams: tuple[TextIO, TextIO] | None = None
        self._own: TextIO | None = None
        self._handler: logging.Handler | None = None
        self._level = logging.WARNING

    def __enter__(self) -> Capture:
        sys.stdout.flush()
        sys.stderr.flush()
        target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._kept = (os.dup(1), os.dup(2))
        os.dup2(target, 1)
        os.dup2(target, 2)
        if _descriptor(sys.stdout) in (1, 2) and _descriptor(sys.stderr) == 2:
            os.close(target)
        else:
            # A notebook or a test runner has put streams of its own in their place, over other descriptors.
            self._streams = (sys.stdout, sys.stderr)
            self._own = os.fdopen(target, "w", encoding="utf-8", errors="replace", buffering=1)
            sys.stdout = sys.stderr = self._own
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
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            logging.getLogger().setLevel(self._level)
        sys.stdout.flush()
        sys.stderr.flush()
        if self._streams is not None and self._own is not None:
            sys.stdout, sys.stderr = self._streams
            self._own.close()
            self._streams = self._own = None
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


def _descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return -1
