"""``SimulatedPool``: a pool without processes or a clock, whose events come in an order that a seed draws.

The controller cannot tell it from a real one, so whole searches run in milliseconds, in any order of completions, with any
failure. Results are small but real files, since the keeper is real.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from flambe.experiment.pool import COMMIT, Failed, PoolEvent, Reported, Task
from flambe.record.layout import CHECKPOINT, EXPORTS, MANIFEST, STEPS
from flambe.runner.unit import StepReport, Unit
from flambe.spec.digest import digest_of


class SimulatedPool:
    """``slots`` workers; each call of ``next_event`` lets one of those that compute finish, drawn from ``luck``.

    on_disk: whether results are files (small ones), for a real keeper; else names only, for a ``MemoryKeeper``.
    steps, metric: how many steps a unit takes, and its metric after each. fails: whether an attempt raises at a step
    (``fails(unit, attempt, step)``). ran: every (unit, step) that was computed, in order.
    """

    def __init__(
        self,
        slots: int,
        luck: random.Random,
        *,
        steps: Callable[[Unit], int],
        metric: Callable[[Unit, int], float | None],
        fails: Callable[[Unit, int, int], bool] = lambda unit, attempt, step: False,
        lower_is_better: bool = False,
        on_disk: bool = True,
    ) -> None:
        self.ran: list[tuple[str, int]] = []
        self.most_at_once = 0
        self._slots = slots
        self._luck = luck
        self._steps = steps
        self._metric = metric
        self._fails = fails
        self._lower_is_better = lower_is_better
        self._on_disk = on_disk
        self._claimed: set[str] = set()
        self._at: dict[str, int] = {}  # step of the objects that a worker holds
        self._tasks: dict[str, Task] = {}

    def capacity(self) -> dict[str, float]:
        return {"slots": float(self._slots)}

    def has_room(self, unit: Unit) -> bool:
        return True

    def claim(self, unit: Unit) -> str:
        assert unit.id not in self._claimed
        self._claimed.add(unit.id)
        assert len(self._claimed) <= self._slots, "more units than workers"
        self.most_at_once = max(self.most_at_once, len(self._claimed))
        return "simulated"

    def submit(self, task: Task) -> None:
        assert task.unit.id in self._claimed
        assert task.unit.id not in self._tasks, "a worker got two tasks at once"
        self._tasks[task.unit.id] = task

    def is_waiting(self, unit: str) -> bool:
        return False

    def release(self, unit: str) -> None:
        assert unit not in self._tasks
        self._claimed.remove(unit)
        self._at.pop(unit, None)

    def abandon(self, unit: str) -> None:
        del self._tasks[unit]
        self._claimed.remove(unit)
        self._at.pop(unit, None)

    def next_event(self, timeout_s: float) -> PoolEvent | None:
        if not self._tasks:
            return None
        task = self._tasks.pop(self._luck.choice(list(self._tasks)))
        event = self._do(task)
        if isinstance(event, Failed) or event.result is not None:
            self._claimed.remove(task.unit.id)
            self._at.pop(task.unit.id, None)
        return event

    def close(self) -> None:
        self._tasks.clear()
        self._claimed.clear()

    def _do(self, task: Task) -> PoolEvent:
        unit, scratch = task.unit, Path(task.scratch)
        for need in unit.needs.values() if self._on_disk else ():
            assert (Path(need) / CHECKPOINT / MANIFEST).exists(), f"{unit.id} began before {need} was committed"
        if unit.id not in self._at:
            self._at[unit.id] = int(Path(task.resume).name) if task.resume else 0
        event = Reported(unit=unit.id, attempt=task.attempt)
        if task.action != COMMIT:
            step = self._at[unit.id] + 1
            if self._fails(unit, task.attempt, step):
                return Failed(unit=unit.id, attempt=task.attempt, error=f"SimulatedError: step {step}")
            self.ran.append((unit.id, step))
            self._at[unit.id] = step
            event.report = self._report(unit, step, more=step < self._steps(unit))
            if event.report.more:
                folder = scratch / STEPS / str(step)
                if self._on_disk:
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / "state.json").write_text(json.dumps({"step": step}))
                event.step_folder = str(folder)
                return event
        step = self._at[unit.id]
        if self._on_disk:
            (scratch / CHECKPOINT).mkdir()
            content = {"files": {}, "state": digest_of([unit.key, step])}
            (scratch / CHECKPOINT / MANIFEST).write_text(json.dumps(content))
            (scratch / EXPORTS).write_text("{}")
        event.result = self._report(unit, step, more=False)
        event.result.streams = {}
        event.result_folder = str(scratch)
        return event

    def _report(self, unit: Unit, step: int, *, more: bool) -> StepReport:
        metric = self._metric(unit, step)
        line = json.dumps({"step": step, "metric": metric}) + "\n"
        return StepReport(
            step=step,
            more=more,
            metric=metric,
            lower_is_better=self._lower_is_better,
            streams={f"metrics/{unit.stage}.jsonl": line.encode()},
        )
