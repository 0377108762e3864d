"""When a reused worker process is to be replaced: it holds other code, or its memory has grown.

An exception is a third reason; pools see those themselves.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

from flambe.runner.unit import Unit

_GROWTH = 1.2
_SMALL_BYTES = 64 * 2**20


def resident_bytes() -> int:
    """Return the memory that this process has in use; 0 where the system does not say (it has no ``/proc``)."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class MemoryWear:
    """Whether units leave memory behind in this process.

    Compared is what is in use after a unit with what was in use after the first unit of the same stage here: by then its
    imports and its datasets, which the process keeps on purpose, are there. Worn is a process that has grown by more than a
    fifth since, and by 64 MiB at least: starting a new one costs seconds.
    """

    def __init__(self, measure: Callable[[], int] = resident_bytes) -> None:
        self._measure = measure
        self._first: dict[str, int] = {}

    def is_worn(self, stage: str) -> bool:
        """Look, after a unit of ``stage`` has ended and its objects were released."""
        now = self._measure()
        if stage not in self._first:
            self._first[stage] = now
            return False
        limit = max(self._first[stage] * _GROWTH, self._first[stage] + _SMALL_BYTES)
        if now > limit:
            # Perhaps it is only waiting to be collected, which takes too long to do after every unit.
            gc.collect()
            now = self._measure()
        return now > limit


class CodeHeld:
    """The code that a worker has loaded, as far as its units tell: a process cannot load another version of a module."""

    def __init__(self) -> None:
        self._sources: dict[str, str] = {}
        self._digests: dict[str, str] = {}

    def suits(self, unit: Unit) -> bool:
        """Whether a unit meets the code that it wants in this worker, or none of it yet."""
        return all(
            held.get(name, wanted) == wanted
            for held, all_wanted in ((self._sources, unit.extensions), (self._digests, unit.code))
            for name, wanted in all_wanted.items()
        )

    def add(self, unit: Unit) -> None:
        """A unit runs there now."""
        self._sources.update(unit.extensions)
        self._digests.update(unit.code)
