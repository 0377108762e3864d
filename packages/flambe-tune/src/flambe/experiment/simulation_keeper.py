"""``MemoryKeeper``: a keeper that keeps events and nothing else, for simulations of a million steps.

What a real keeper writes into folders is left out; what it says in the ledger is the same, so a run that is taken up again from
``state.events`` is where one from a disk would be. ``fold`` makes a state of the events that a crash left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flambe.errors import FlambeError
from flambe.record.layout import RunPaths
from flambe.record.ledger import Event, LedgerState, fold
from flambe.record.result import Found
from flambe.runner.unit import StepReport, Unit
from flambe.spec.digest import digest_of


class _MemoryLedger:
    def __init__(self, state: LedgerState, before: Callable[[str], None]) -> None:
        self.state = state
        self._before = before

    def append(self, event: str, **fields: Any) -> Event:
        self._before(event)
        entry = {"n": len(self.state.events), "event": event, **fields}
        self.state.apply(entry)
        return entry


class MemoryKeeper:
    """The part of ``Keeper`` that a controller needs. events: of the processes before. before: called ahead of each event,
    where it may raise, as a process that is killed there."""

    def __init__(self, events: Iterable[Event] = (), before: Callable[[str], None] = lambda event: None) -> None:
        self.paths = RunPaths(Path("/nowhere"))
        self.held: dict[str, set[int]] = {}
        self.ledger = _MemoryLedger(fold(events), before)
        self.ledger.append("open", tool="simulation")

    @property
    def state(self) -> LedgerState:
        return self.ledger.state

    def plan(self, unit: Unit, needs: Mapping[str, str] | None = None, *, anew: bool = False) -> None:
        above = dict(needs or {})
        if anew or not self.state.is_planned(unit.id, unit.key, above.values()):
            self.ledger.append(
                "plan",
                unit=unit.id,
                stage=unit.stage,
                variant=unit.variant,
                params=unit.params,
                key=unit.key,
                needs=above,
            )

    def start(self, unit: Unit, attempt: int, worker: str, from_step: int = 0) -> Path:
        self.ledger.append("start", unit=unit.id, attempt=attempt, worker=worker, from_step=from_step)
        return Path("/nowhere")

    def report(self, unit: Unit, attempt: int, report: StepReport, step_source: Path | bytes | None = None) -> None:
        self._check(unit, attempt)
        self.ledger.append(
            "report", unit=unit.id, attempt=attempt, step=report.step, metric=report.metric, more=report.more,
            lower_is_better=report.lower_is_better, kept=step_source is not None,
        )  # fmt: skip

    def decision(self, unit: Unit, step: int, decision: str) -> None:
        self.ledger.append("decision", unit=unit.id, step=step, decision=decision)

    def pause(self, unit: Unit, step: int) -> None:
        self.ledger.append("pause", unit=unit.id, step=step)

    def commit(
        self, unit: Unit, attempt: int, source: Path | bytes, report: StepReport, *, complete: bool = True
    ) -> Event:
        self._check(unit, attempt)
        return self.ledger.append(
            "commit", unit=unit.id, attempt=attempt, key=unit.key, step=report.step, complete=complete,
            metric=report.metric, lower_is_better=report.lower_is_better,
            digest=digest_of([unit.params, unit.key, report.step, complete, report.metric]),
        )  # fmt: skip

    def reuse(self, unit: Unit, found: Found) -> Event:
        raise AssertionError("no results outlive a simulation")

    def fail(
        self, unit: Unit, attempt: int, error: str, *, final: bool, streams: Mapping[str, bytes] | None = None
    ) -> None:
        self.ledger.append("fail", unit=unit.id, attempt=attempt, error=error, final=final)

    def prune(self, unit: Unit, why: str) -> None:
        self.ledger.append("prune", unit=unit.id, why=why)

    def reduce(self, stage: str, kept: Sequence[str], best: str | None = None) -> None:
        if stage not in self.state.reduced:
            self.ledger.append("reduce", stage=stage, kept=list(kept))

    def settle(self, stages: Sequence[str], key: str) -> None:
        if self.state.settled.get(stages[0], {}).get("key") != key:
            self.ledger.append("settle", stages=list(stages), key=key)

    def mark_best(self, stage: str, unit: str) -> None: ...

    def note(self, text: str) -> None: ...

    def _check(self, unit: Unit, attempt: int) -> None:
        running = self.state.running.get(unit.id)
        if running is None or running["attempt"] != attempt:
            raise FlambeError(f"attempt {attempt} of {unit.id} is over; what it hands in is refused")
