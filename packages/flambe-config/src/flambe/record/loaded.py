"""The modules of a project that this process has loaded, against a copy of the project's code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

_SLACK_S = 0.02
"""Of the clocks: a process is told its start in hundredths of a second."""


def other_than(copy: Path, source: Path) -> list[str]:
    """Return the names of the loaded modules whose file below ``source`` is not, byte for byte, the one at its place in ``copy``.

    A file that was changed after this process began counts too: nobody knows which of the two was loaded.
    """
    began = _process_began() - _SLACK_S
    found = []
    for name, file in _loaded_from(source):
        try:
            same = file.stat().st_mtime < began and file.read_bytes() == (copy / file.relative_to(source)).read_bytes()
        except OSError:
            same = False
        if not same:
            found.append(name)
    return sorted(found)


@contextmanager
def imports_from(copy: Path, source: Path) -> Iterator[None]:
    """Let what is imported inside come from ``copy`` and not from ``source``; what is loaded stays. Afterwards all is as it was, and
    what came from the copy is imported anew by whoever wants it: the next copy may be another one.
    """
    real = os.path.realpath(source)
    packages = {name: list(module.__path__) for name, module in list(sys.modules.items()) if _is_package(module)}
    before, known = list(sys.path), set(sys.modules)
    sys.path[:] = [str(copy), *(entry for entry in sys.path if os.path.realpath(entry or os.getcwd()) != real)]
    for name, places in packages.items():
        sys.modules[name].__path__[:] = [_moved(place, real, copy) for place in places]
    try:
        yield
    finally:
        sys.path[:] = before
        for name, places in packages.items():
            if name in sys.modules:
                sys.modules[name].__path__[:] = places
        there = copy.resolve()
        for name in set(sys.modules) - known:
            file = _file_of(sys.modules[name])
            if file is not None and file.is_relative_to(there):
                del sys.modules[name]


def _is_package(module: ModuleType) -> bool:
    return isinstance(getattr(module, "__path__", None), list)


def _moved(place: str, source: str, copy: Path) -> str:
    real = os.path.realpath(place)
    if not real.startswith(source + os.sep):
        return place
    there = copy / os.path.relpath(real, source)
    return str(there) if there.is_dir() else place


def _loaded_from(source: Path) -> Iterator[tuple[str, Path]]:
    top = source.resolve()
    # What is installed below the project, as in a .venv, is no part of it. And most modules are Python's own: to follow the links
    # of all of their paths would take longer than the rest.
    installed = tuple(f"{folder}{os.sep}" for folder in {sys.prefix, sys.base_prefix} if Path(folder) != top)
    for name, module in list(sys.modules.items()):
        said = getattr(module, "__file__", None)
        if not isinstance(said, str) or said.startswith(installed) or "site-packages" in said:
            continue
        file = Path(os.path.realpath(said))
        if file.is_relative_to(top) and not str(file).startswith(installed):
            yield name, source / file.relative_to(top)


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(os.path.realpath(file)) if isinstance(file, str) else None


def _process_began() -> float:
    """Return when this process began, in seconds since the epoch; 0 where the system does not say, so that nothing is older."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


__all__ = ["imports_from", "other_than"]
