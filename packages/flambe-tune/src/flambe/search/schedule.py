"""``StageSchedule``: results of one stage in a fixed order, so that decisions do not depend on timing.

Results reach the algorithm by step, and within a step by the position of the variant, whichever worker was faster. A
result waits until all that come before it are there. A variant that the algorithm has paused is waited for only after it
was woken; one that failed or ended is not waited for. With ``ordering: arrival`` results pass as they come.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from flambe.search.tune_adapter import CONTINUE, PAUSE, STOP, Algorithm


class Verdict(NamedTuple):
    """A decision about one variant after one of its steps: ``continue``, ``pause`` or ``stop``."""

    variant: int
    step: int
    decision: str


class _News(NamedTuple):
    """step 0 with more False stands for a variant that failed or is not wanted any more."""

    step: int
    metric: float | None
    lower_is_better: bool
    more: bool


_GONE = _News(0, None, False, False)


class StageSchedule:
    """The order of results of ``count`` variants, and the algorithm behind it.

    build: makes the algorithm once the direction of the metric is known, which is with the first result.
    arrival: let results pass as they come.
    """

    def __init__(self, build: Callable[[bool], Algorithm], count: int, *, arrival: bool = False) -> None:
        self._build = build
        self._count = count
        self._arrival = arrival
        self._algorithm: Algorithm | None = None
        self._news: dict[int, deque[_News]] = {index: deque() for index in range(count)}
        self._seen = [0] * count  # the last step that was handed in, not yet passed on perhaps
        self._step = [0] * count  # the last step that was passed on
        self._turns = [(1, index) for index in range(count)]
        self._queue: deque[int] = deque()
        self._live = set(range(count))
        self._paused: set[int] = set()
        self._lost: list[int] = []
        self.steps_taken = 0

    def report(self, index: int, step: int, metric: float | None, *, lower_is_better: bool, more: bool) -> None:
        """Hand in the result of a step. A step that was handed in before changes nothing: it was run again."""
        if step > self._seen[index]:
            self._seen[index] = step
            self._hand_in(index, _News(step, metric, lower_is_better, more))

    def gone(self, index: int) -> None:
        """Say that a variant failed for good or will never run."""
        self._hand_in(index, _GONE)

    def deliver(self) -> Iterator[Verdict]:
        """Pass on what is due and yield what the algorithm says, woken and stopped variants included."""
        while True:
            index = self._due()
            if index is not None:
                yield from self._pass(index, self._news[index].popleft())
            elif not self._live and self._paused:
                # The algorithm waits for variants that will never report (HyperBand does when one of a bracket
                # failed): the first one goes on by a step, which makes the algorithm look again.
                assert self._algorithm is not None
                first = min(self._paused)
                self._algorithm.wake(first)
                yield self._wake(first)
            else:
                return

    def _hand_in(self, index: int, news: _News) -> None:
        self._news[index].append(news)
        if self._arrival:
            self._queue.append(index)

    def _due(self) -> int | None:
        if self._arrival:
            while self._queue:
                index = self._queue.popleft()
                if self._news[index] and (index in self._live or index in self._paused):
                    return index
            return None
        # A paused variant has no turn; that it failed meanwhile (its state could not be read) is passed on at once.
        for index in sorted(self._paused):
            if self._news[index] and self._news[index][0] is _GONE:
                return index
        while self._turns:
            step, index = self._turns[0]
            if index not in self._live or step != self._step[index] + 1:
                heapq.heappop(self._turns)
            elif self._news[index]:
                heapq.heappop(self._turns)
                return index
            else:
                return None
        return None

    def _pass(self, index: int, news: _News) -> Iterator[Verdict]:
        if news is _GONE:
            self._end(index)
            if self._algorithm is None:
                self._lost.append(index)
                return
            self._algorithm.error(index)
        else:
            algorithm = self._algorithm or self._begin(news.lower_is_better)
            self.steps_taken = max(self.steps_taken, news.step)
            self._step[index] = news.step
            if news.more:
                decision = algorithm.result(index, news.step, news.metric)
                if decision == STOP:
                    self._end(index)
                elif decision == PAUSE:
                    self._live.discard(index)
                    self._paused.add(index)
                else:
                    heapq.heappush(self._turns, (news.step + 1, index))
                yield Verdict(index, news.step, decision)
            else:
                self._end(index)
                algorithm.complete(index, news.step, news.metric)
        yield from self._consequences()

    def _consequences(self) -> Iterator[Verdict]:
        assert self._algorithm is not None
        for index in self._algorithm.stopped():
            if index in self._paused:
                self._end(index)
                yield Verdict(index, self._step[index], STOP)
        for index in self._algorithm.woken():
            if index in self._paused:
                yield self._wake(index)

    def _wake(self, index: int) -> Verdict:
        self._paused.discard(index)
        self._live.add(index)
        heapq.heappush(self._turns, (self._step[index] + 1, index))
        return Verdict(index, self._step[index], CONTINUE)

    def _begin(self, lower_is_better: bool) -> Algorithm:
        self._algorithm = self._build(lower_is_better)
        for index in range(self._count):
            self._algorithm.add(index)
        for index in self._lost:
            self._algorithm.error(index)
        return self._algorithm

    def _end(self, index: int) -> None:
        self._live.discard(index)
        self._paused.discard(index)
