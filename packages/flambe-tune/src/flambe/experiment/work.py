"""``Work``: a unit on its way through the controller."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from flambe.experiment.pool import STEP
from flambe.pipeline.variants import Variant
from flambe.runner.unit import Unit


class Phase(enum.Enum):
    """Where a unit is. HELD: after a step, its objects on a worker. PARKED: after a step, its state in ``steps/``."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    HELD = "held"
    PARKED = "parked"
    DONE = "done"
    FAILED = "failed"
    PRUNED = "pruned"


ENDED = frozenset({Phase.DONE, Phase.FAILED, Phase.PRUNED})
ON_A_WORKER = frozenset({Phase.RUNNING, Phase.HELD})


@dataclass(eq=False)
class Work:
    """A unit on its way.

    place: (position of the stage, index of the variant). position: among the units of the stage. action: what a worker is
    to do next. step: last step whose state is kept. attempt: number of the last attempt; failures: how many of them failed.
    needs: the units that it links to, by stage. alone: it runs beside no other, as it ran out of memory.
    verdict: what the scheduler said about the last step. blockers: how many needed units are not done. seconds: time of
    workers so far, in this process: building, running, writing, and not importing.
    """

    unit: Unit
    variant: Variant
    place: tuple[int, int]
    scheduled: bool
    position: int = 0
    phase: Phase = Phase.WAITING
    action: str = STEP
    step: int = 0
    attempt: int = 0
    is_new_attempt: bool = True
    verdict: str | None = None
    failures: int = 0
    blockers: int = 0
    seconds: float = 0.0
    scratch: str = ""
    needs: dict[str, Work] = field(default_factory=dict)
    dependents: list[Work] = field(default_factory=list)
    twins: list[Work] = field(default_factory=list)
    metric: float | None = None
    lower_is_better: bool = False
    complete: bool = False
    reused: bool = False
    alone: bool = False
    error: str | None = None
    why: str | None = None

    @property
    def stage(self) -> str:
        return self.unit.stage

    @property
    def priority(self) -> tuple[int, int, int]:
        """The lowest goes first: fewest steps done, then the latest stage (results early), then file order."""
        return (self.step, -self.place[0], self.place[1])

    def take_result(self, event: dict[str, Any]) -> None:
        """Take over what a ``commit`` or ``reuse`` event says."""
        self.metric, self.step = event["metric"], event["step"]
        self.lower_is_better, self.complete = event["lower_is_better"], event["complete"]
        self.reused = event["event"] == "reuse"
