"""Everything a unit prints, by file descriptor: Python's prints, C extensions' and child processes' alike."""

from __future__ import annotations

import contextlib
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
        self._kept: list[int | None] = []
        self._streams = (sys.stdout, sys.stderr)
        self._own: TextIO | None = None
        self._handler: logging.Handler | None = None
        self._level = logging.WARNING

    def __enter__(self) -> Capture:
        _flush()
        target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._kept = [_duplicate(1), _duplicate(2)]
        self._streams = (sys.stdout, sys.stderr)
        os.dup2(target, 1)
        os.dup2(target, 2)
        if _descriptor(sys.stdout) in (1, 2) and _descriptor(sys.stderr) == 2:
            os.close(target)
        else:
            # A notebook or a test runner has put streams of its own in their place, over other descriptors.
            self._own = os.fdopen(target, "w", encoding="utf-8", errors="replace", buffering=1)
            sys.stdout = sys.stderr = self._own
        root = logging.getLogger()
        self._handler = logging.StreamHandler(sys.stderr)
        self._handler.setFormatter(logging.Formatter(_FORMAT, datefmt="%H:%M:%S"))
        self._level = root.level
        root.addHandler(self._handler)
        self._set_level(min(root.level, logging.INFO))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._set_level(self._level)
        _flush()
        # Code inside may have closed these, or put others in their place.
        sys.stdout, sys.stderr = self._streams
        if self._own is not None:
            with contextlib.suppress(OSError):
                self._own.close()
            self._own = None
        for kept, descriptor in zip(self._kept, (1, 2), strict=True):
            if kept is None:
                os.close(descriptor)
            else:
                os.dup2(kept, descriptor)
                os.close(kept)

    @staticmethod
    def _set_level(level: int) -> None:
        # Setting it empties a cache in every logger there is, hundreds after an import of torch.
        root = logging.getLogger()
        if root.level != level:
            root.setLevel(level)

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


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # None, closed, or with a full disk or nobody behind it: not this unit's affair.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


def _duplicate(descriptor: int) -> int | None:
    try:
        return os.dup(descriptor)
    except OSError:
        return None  # closed, as by ``>&-``


def _descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return -1
