"""``large_import``: a large library comes in, and the garbage collector need not look through it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects after which what is imported counts as a large library. PyTorch brings 160,000.
_MANY = 50_000


@contextmanager
def large_import() -> Iterator[None]:
    """Enter it around imports in a process of ours: the collector rests meanwhile, and leaves alone for good what came.

    Nothing of a module is garbage as long as the process lives. But the collector goes through all of it again and again while it is
    being made, and once more soon after: of PyTorch a seventh of a second, which is a seventh of its import.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > _MANY:
            gc.freeze()
        gc.enable()
