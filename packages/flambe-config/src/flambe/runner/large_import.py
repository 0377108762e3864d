"""``large_import``: a large library comes in, and the garbage collector need not look through it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_resting = False

# Objects after which what is imported counts as a large library. PyTorch brings 160,000.
_MANY = 50_000


def rest() -> None:
    """Let the collector rest from now on until a large import is over: for the start of a process of ours that waits for one."""
    global _resting
    gc.disable()
    _resting = True


@contextmanager
def large_import() -> Iterator[None]:
    """Enter it around imports in a process of ours: the collector rests meanwhile, and leaves alone for good what came.

    Nothing of a module is garbage as long as the process lives. But the collector goes through all of it again and again while it is
    being made, and once more soon after: of PyTorch a seventh of a second, which is a seventh of its import.
    """
    global _resting
    if not gc.isenabled() and not _resting:
        yield
        return
    gc.disable()
    _resting = False
    try:
        yield
    finally:
        if gc.get_count()[0] > _MANY:
            gc.freeze()
        gc.enable()
