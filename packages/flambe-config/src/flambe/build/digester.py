"""``Digester``: SHA-256 of what is being written, computed beside the writing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Self

from flambe.runner.cpus import usable_cpus

_LEAST_BESIDE = 1 << 22
_MOST_THREADS = 8
# What is waited for is held in memory: copies, if it came from a GPU.
_MOST_HELD = 1 << 30


class Digester:
    """Computes digests while their data is written: neither holds the GIL, and those of several files are computed at once.

    One SHA-256 cannot be shared among processors, and on one it takes as long as a fast disk does; a component of several
    parts has a file for each. A processor is left to whoever writes, so that the disk always has something to do, and who asks
    for a digest that is not begun with computes it.

    Leaving it waits for what was begun.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max(1, min(usable_cpus() - 1, _MOST_THREADS)), thread_name_prefix="digest")
        self._begun: list[tuple[Future[str], int, Callable[[], str]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, pieces: Sequence[bytes | memoryview]) -> Callable[[], str]:
        """Begin with the digest of ``pieces`` in a row; what is returned waits for it. They must not change until then.

        Of several, the last one is best asked for first: they are computed in the order in which they were begun.
        """
        size = sum(map(len, pieces))
        if size < _LEAST_BESIDE:
            found = _digest(pieces)
            return lambda: found
        waiting = [pieces]  # let go of as soon as the digest is known
        future = self._pool.submit(lambda: _digest(waiting.pop()))

        @cache
        def end() -> str:
            return _digest(waiting.pop()) if future.cancel() else future.result()

        self._begun = [*(one for one in self._begun if not one[0].done()), (future, size, end)]
        while len(self._begun) > 1 and sum(held for _, held, _ in self._begun) > _MOST_HELD:
            self._begun.pop()[2]()
        return end


def _digest(pieces: Sequence[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
