"""Which files a function opens to read: an audit hook of Python's, which hears of every ``open``."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_MOST_FILES = 1000
_LARGEST_BYTES = 2**28
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/run")
_CODE = (".py", ".pyc", ".pyi", ".so", ".pth", ".egg-link")

_opened: dict[str, bool] | None = None
_is_listening = False


@contextmanager
def noticed() -> Iterator[dict[str, bool]]:
    """Yield what grows inside: the absolute path of each file that Python opens → whether it was opened to be written too.

    Only Python's own ``open`` is heard, not that of C libraries.
    """
    global _opened, _is_listening
    if not _is_listening:  # a hook cannot be taken away again
        sys.addaudithook(_hear)
        _is_listening = True
    before, _opened = _opened, {}
    try:
        yield _opened
    finally:
        _opened = before


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or _opened is None or len(_opened) >= _MOST_FILES:
        return
    path, _, flags = arguments
    if isinstance(path, int) or path is None:
        return  # a descriptor that is open already
    writes = bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR))
    try:
        whole = os.path.abspath(os.fsdecode(path))  # now: the working directory may be another one later
    except (TypeError, ValueError, OSError):
        return
    _opened[whole] = _opened.get(whole, False) or writes


def read_data(opened: dict[str, bool], without: tuple[str, ...]) -> list[dict[str, Any]]:
    """Describe the data among the files that were opened: neither code, nor parts of the system, nor what was written, nor what lies
    in the folders ``without``. A file of more than 256 MiB has no digest.
    """
    from flambe.record.inputs import describe_input

    apart = (*_installed(), *_SYSTEM, *(f for f in without if f))
    found = []
    for path, was_written in opened.items():
        if was_written or path.endswith(_CODE) or any(path == top or path.startswith(top + os.sep) for top in apart):
            continue
        try:
            if os.path.isfile(path):
                found.append(describe_input(path, at_most=_LARGEST_BYTES))
        except OSError:
            continue  # it is gone
    return found


@cache
def _installed() -> tuple[str, ...]:
    """Return the folders of Python itself and of what is installed."""
    import flambe

    named = sysconfig.get_paths()
    folders = [named[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), *flambe.__path__]
    return tuple(dict.fromkeys(str(Path(os.path.abspath(folder))) for folder in folders))


__all__ = ["noticed", "read_data"]
