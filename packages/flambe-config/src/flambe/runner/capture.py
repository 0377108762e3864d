"""Everything a unit prints, by file descriptor: Python's prints, C extensions' and child processes' alike."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TextIO

from flambe.runnable.secrets import hide_flowing, hide_in_file

_FORMAT = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"


class Capture:
    """Sends descriptors 1 and 2 of this process, and log records from INFO up, to the end of a file while it is entered.

    It can be entered again and again for the same file: a step at a time. echo: 1 or 2: also copy what comes to where that
    descriptor went before, without secrets. hides: whether they are taken out of the file too, as soon as it is left.
    """

    def __init__(self, path: Path, *, echo: int | None = None, hides: bool = False) -> None:
        self.path = path
        self._hides = hides
        self._began = 0
        self._echo = echo
        self._echoing: _Echo | None = None
        self._taken = 0
        self._ended = 0
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
        began = self._began = os.fstat(target).st_size
        if self._taken >= self._ended:
            self._taken = began  # others may have written to the file meanwhile
        target_of_echo = None if self._echo is None else self._kept[self._echo - 1]
        if target_of_echo is not None:
            self._echoing = _Echo(self.path, began, target_of_echo)
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
        if self._echoing is not None:
            self._echoing.close()
            self._echoing = None
        with contextlib.suppress(OSError):
            if self._hides:
                hide_in_file(self.path, self._began)
            self._ended = self.path.stat().st_size
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


class _Echo:
    """Copies what is added to a file to a descriptor, until it is closed.

    It follows the file. A pipe in between would stop a program that fills it while it holds the interpreter's lock, and lose what
    is in it when the process is killed.
    """

    _EVERY_S = 0.1

    def __init__(self, path: Path, start: int, target: int) -> None:
        self._source = os.open(path, os.O_RDONLY)
        os.lseek(self._source, start, os.SEEK_SET)
        self._target = target
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="echo", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Copy the rest and end."""
        self._ended.set()
        self._thread.join()
        os.close(self._source)

    def _follow(self) -> None:
        # Nobody may be reading there any more; the file has it all the same.
        with contextlib.suppress(OSError):
            held = b""
            while True:
                last = self._ended.wait(self._EVERY_S)
                while data := os.read(self._source, 1 << 16):
                    shown, held = hide_flowing(held + data)
                    self._write(shown)
                if last:
                    self._write(held)
                    return

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._target, data) :]


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
