"""``ReadyQueue``: the units that could start, in the order in which they would."""

from __future__ import annotations

import heapq
import itertools

from flambe.experiment.work import Phase, Work


class ReadyQueue:
    """Units by priority, and of equal ones in the order in which they came. One that is ready no more leaves by itself."""

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, int, int], int, Work]] = []
        self._count = itertools.count()

    def add(self, work: Work) -> None:
        """Let a unit be ready."""
        work.phase = Phase.READY
        heapq.heappush(self._heap, (work.priority, next(self._count), work))

    def first(self) -> Work | None:
        """Return the unit whose turn it is, which stays there as long as it is ready; None where there is none."""
        while self._heap and self._heap[0][2].phase is not Phase.READY:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None
