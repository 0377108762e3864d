"""``Digester``: SHA-256 of what is being written, computed beside the writing."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from flambe.runner.cpus import usable_cpus

_LEAST_BESIDE = 1 << 22
_MOST_THREADS = 8


class Digester:
    """Computes digests while their data is written: neither holds the GIL, and those of several files are computed at once.

    One SHA-256 cannot be shared among processors, and on one it takes as long as a fast disk does; a component of several
    parts has a file for each.

    Leaving it waits for what was begun.
    """

    def __init__(self) -> None:
        self._threads = min(usable_cpus(), _MOST_THREADS)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="digest")
        self._begun: deque[Future[str]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, pieces: Sequence[bytes | memoryview]) -> Callable[[], str]:
        """Begin with the digest of ``pieces`` in a row; what is returned waits for it. They must not change until then."""
        if sum(map(len, pieces)) < _LEAST_BESIDE:
            found = _digest(pieces)
            return lambda: found
        if len(self._begun) > self._threads:
            # What is waited for is held in memory: copies, if it came from a GPU.
            self._begun.popleft().result()
        future = self._pool.submit(_digest, pieces)
        self._begun.append(future)
        return future.result


def _digest(pieces: Sequence[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
