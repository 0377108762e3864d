"""``Crew``: the workers of a run, who is on one of them, and what is left for others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from flambe.experiment.pool import Failed, Pool, PoolEvent, Task
from flambe.experiment.work import Phase, Work

_START_S = 60.0
"""For a process that starts, imports its libraries and builds the objects of a unit."""
_LOOK_S = 0.5
"""How often tasks that take too long are looked for, also where others report without a break."""


class Crew:
    """A pool that is made when the first unit has to run, and an account of it.

    make_pool: called at most once, with the number of units that could run at once, which ``at_once`` says. step_limit_s: how
    long a step may take, None for ever; the first one on a worker, which starts and builds, has a minute more. clock: gives seconds.
    """

    def __init__(
        self,
        make_pool: Callable[[int], Pool],
        at_once: Callable[[], int],
        step_limit_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step_limit_s = step_limit_s
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._look_s = 0.0
        self._make_pool = make_pool
        self._at_once = at_once
        self._pool: Pool | None = None
        self._on: dict[str, Work] = {}
        self._used: dict[str, float] = {}

    def __len__(self) -> int:
        """How many units are on a worker."""
        return len(self._on)

    def get(self, unit: str, attempt: int) -> Work | None:
        """Return the unit on a worker that an event is about; None when that attempt was given up."""
        work = self._on.get(unit)
        return work if work is not None and work.attempt == attempt else None

    def has_room(self, work: Work) -> bool:
        """Whether a worker is free for a unit."""
        if self._on and (work.alone or any(other.alone for other in self._on.values())):
            return False
        capacity = self._made().capacity()
        for name, amount in self._cost(work.unit.resources).items():
            if self._used.get(name, 0.0) + amount > capacity[name] + 1e-9:
                return False
        return self._made().has_room(work.unit)

    def capacity(self) -> Mapping[str, float]:
        """Return what all workers have together."""
        return self._made().capacity()

    def held(self) -> list[Work]:
        """Return the units that keep a worker while they wait for a decision, the farthest from its turn first."""
        held = [work for work in self._on.values() if work.phase is Phase.HELD]
        return sorted(held, key=lambda work: work.priority, reverse=True)

    def seat(self, work: Work) -> str:
        """Give a unit a worker, and return the worker's name."""
        worker = self._made().claim(work.unit)
        self._ends.pop(work.unit.id, None)
        self._on[work.unit.id] = work
        for name, amount in self._cost(work.unit.resources).items():
            self._used[name] = self._used.get(name, 0.0) + amount
        return worker

    def submit(self, task: Task) -> None:
        """Start a task of a unit that has a worker."""
        self._made().submit(task)
        if self._step_limit_s is not None:
            start = 0.0 if task.unit.id in self._ends else _START_S
            self._ends[task.unit.id] = self._clock() + self._step_limit_s + start

    def next_event(self, timeout_s: float) -> PoolEvent | None:
        """Return what happened next on a worker; None when nothing did in time."""
        if self._step_limit_s is not None and self._clock() >= self._look_s:
            self._look_s = self._clock() + _LOOK_S
            if (late := self._overdue()) is not None:
                return late
        return self._made().next_event(timeout_s)

    def _overdue(self) -> Failed | None:
        """End a task that has taken too long, and return that as its failure."""
        for unit, work in self._on.items():
            if self._made().is_waiting(unit):
                self._ends[unit] = self._clock() + (self._step_limit_s or 0.0) + _START_S
            if work.phase is Phase.RUNNING and self._clock() > self._ends.get(unit, math.inf):
                self._made().abandon(unit)
                return Failed(
                    unit=unit, attempt=work.attempt, error=f"its step took longer than {self._step_limit_s:g} s"
                )
        return None

    def release(self, work: Work) -> None:
        """Take a unit that waits off its worker."""
        self._made().release(work.unit.id)
        self.leave(work)

    def leave(self, work: Work) -> None:
        """A unit has left its worker: it committed or failed."""
        del self._on[work.unit.id]
        for name, amount in self._cost(work.unit.resources).items():
            self._used[name] -= amount

    def close(self) -> None:
        """End every worker."""
        if self._pool is not None:
            self._pool.close()

    def _made(self) -> Pool:
        if self._pool is None:
            self._pool = self._make_pool(self._at_once())
        return self._pool

    def _cost(self, resources: Mapping[str, float]) -> dict[str, float]:
        if "slots" in self._made().capacity():
            return {"slots": 1.0, **({"gpus": float(resources["gpus"])} if resources.get("gpus") else {})}
        return {"cpus": float(resources.get("cpus", 1)), "gpus": float(resources.get("gpus", 0))}
