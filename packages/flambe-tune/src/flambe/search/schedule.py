"""``StageSchedule``: results of one stage in a fixed order, so that decisions do not depend on timing.

Results reach the algorithm by step, and within a step by the position of the variant, whichever worker was faster. A
result waits until all that come before it are there. A variant that the algorithm has paused is waited for only after it
was woken; one that failed or ended is not waited for. With ``ordering: arrival`` results pass as they come.

A variant may join later, as a search makes new ones. Its steps count from the *turn* in which it joined, as if each variant
took one step a turn: the order is that of a machine with a worker for each, so it depends on no real one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from flambe.search.tune_adapter import CONTINUE, EXPLOIT, PAUSE, STOP, Algorithm, Exploit


class Verdict(NamedTuple):
    """A decision about one variant after one of its steps: ``continue``, ``pause``, ``stop`` or ``exploit``.

    exploit: of the last: from whom, and with which choice, it goes on.
    """

    variant: int
    step: int
    decision: str
    exploit: Exploit | None = None


class Keen(Algorithm):
    """The algorithm of a stage without a scheduler: every variant goes on to its end."""

    def add(self, index: int) -> None: ...

    def result(self, index: int, step: int, metric: float | None) -> str:
        return CONTINUE

    def complete(self, index: int, step: int, metric: float | None) -> None: ...

    def error(self, index: int) -> None: ...

    def wake(self, index: int) -> None: ...

    def woken(self) -> list[int]:
        return []

    def stopped(self) -> list[int]:
        return []

    def exploited(self) -> list[Exploit]:
        return []

    def kept(self) -> set[tuple[int, int]]:
        return set()


class Listener(Protocol):
    """Told what passes, in its order: a search, which chooses by it. ended: with no metric, the variant failed."""

    def result(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None: ...
    def ended(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None: ...


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
    arrival: let results pass as they come. listener: hears what passes, before the verdict about it.
    """

    def __init__(
        self,
        build: Callable[[bool], Algorithm],
        count: int,
        *,
        arrival: bool = False,
        listener: Listener | None = None,
    ) -> None:
        self._build = build
        self._arrival = arrival
        self.listener = listener
        self._algorithm: Algorithm | None = None
        self._lower_is_better = False
        self._news: list[deque[_News]] = []
        self._seen: list[int] = []  # the last step that was handed in, not yet passed on perhaps
        self._step: list[int] = []  # the last step that was passed on
        self._metric: list[float | None] = []  # of that step
        self._joined: list[int] = []  # the turn in which it joined
        self._turns: list[tuple[int, int]] = []
        self._turn = 0
        self._queue: deque[int] = deque()
        self._live: set[int] = set()
        self._paused: set[int] = set()
        self._lost: list[int] = []
        self.steps_taken = 0
        """Of the variant with most steps."""
        self.steps_in_all = 0
        for _ in range(count):
            self.join()

    def join(self) -> int:
        """Take up another variant, and return its position."""
        index = len(self._news)
        self._news.append(deque())
        self._seen.append(0)
        self._step.append(0)
        self._metric.append(None)
        self._joined.append(self._turn)
        self._live.add(index)
        heapq.heappush(self._turns, (self._turn + 1, index))
        if self._algorithm is not None:
            self._algorithm.add(index)
        return index

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
            turn, index = self._turns[0]
            if index not in self._live or turn < self._turn_of(index, self._step[index] + 1):
                heapq.heappop(self._turns)
            elif not self._news[index]:
                return None
            elif turn < (due := self._turn_of(index, self._news[index][0].step)):
                # A result of an earlier run comes with its last step only: it waits for the turn of that.
                heapq.heapreplace(self._turns, (due, index))
            else:
                heapq.heappop(self._turns)
                self._turn = max(self._turn, turn)
                return index
        return None

    def _turn_of(self, index: int, step: int) -> int:
        return self._joined[index] + step

    def _pass(self, index: int, news: _News) -> Iterator[Verdict]:
        if news is _GONE:
            self._end(index)
            if self._algorithm is None:
                self._lost.append(index)
            else:
                self._algorithm.error(index)
            self._tell_end(index, None)
            if self._algorithm is None:
                return
        else:
            algorithm = self._algorithm or self._begin(news.lower_is_better)
            self.steps_taken = max(self.steps_taken, news.step)
            self.steps_in_all += news.step - self._step[index]
            self._step[index], self._metric[index] = news.step, news.metric
            if news.more:
                if self.listener is not None:
                    self.listener.result(index, news.step, news.metric, lower_is_better=self._lower_is_better)
                decision = algorithm.result(index, news.step, news.metric)
                for exploit in algorithm.exploited():
                    yield Verdict(exploit.variant, self._step[exploit.variant], EXPLOIT, exploit)
                if decision == STOP:
                    self._end(index)
                    self._tell_end(index, news.metric)
                elif decision == PAUSE:
                    self._live.discard(index)
                    self._paused.add(index)
                else:
                    heapq.heappush(self._turns, (self._turn_of(index, news.step + 1), index))
                yield Verdict(index, news.step, decision)
            else:
                self._end(index)
                algorithm.complete(index, news.step, news.metric)
                self._tell_end(index, news.metric)
        yield from self._consequences()

    def kept(self) -> set[tuple[int, int]]:
        """Return the (variant, step) whose states another variant may take over yet."""
        return set() if self._algorithm is None else self._algorithm.kept()

    def _tell_end(self, index: int, metric: float | None) -> None:
        if self.listener is not None:
            self.listener.ended(index, self._step[index], metric, lower_is_better=self._lower_is_better)

    def _consequences(self) -> Iterator[Verdict]:
        assert self._algorithm is not None
        for index in self._algorithm.stopped():
            if index in self._paused:
                self._end(index)
                self._tell_end(index, self._metric[index])
                yield Verdict(index, self._step[index], STOP)
        for index in self._algorithm.woken():
            if index in self._paused:
                yield self._wake(index)

    def _wake(self, index: int) -> Verdict:
        self._paused.discard(index)
        self._live.add(index)
        heapq.heappush(self._turns, (self._turn_of(index, self._step[index] + 1), index))
        return Verdict(index, self._step[index], CONTINUE)

    def _begin(self, lower_is_better: bool) -> Algorithm:
        self._lower_is_better = lower_is_better
        self._algorithm = self._build(lower_is_better)
        for index in range(len(self._news)):
            self._algorithm.add(index)
        for index in self._lost:
            self._algorithm.error(index)
        return self._algorithm

    def _end(self, index: int) -> None:
        self._live.discard(index)
        self._paused.discard(index)
