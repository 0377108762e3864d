"""``StageState``: a stage in progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flambe.experiment.growth import Growth
from flambe.experiment.work import Work
from flambe.pipeline.population import explored
from flambe.pipeline.variants import Variant
from flambe.record.ledger import Event
from flambe.search.schedule import StageSchedule
from flambe.spec.nodes import Stage


@dataclass
class StageState:
    """A stage in progress. works: its units in order, once they are known. open: how many have not ended."""

    stage: Stage
    works: list[Work] = field(default_factory=list)
    expanded: bool = False
    finished: bool = False
    unreduced: bool = False
    """Whether it was to be reduced, and nothing said which of its variants are good."""
    open: int = 0
    survivors: list[Variant] = field(default_factory=list)
    schedule: StageSchedule | None = None
    growth: Growth | None = None
    """The search that makes its units while the run goes on; of several stages the same."""
    rules: bool = False
    """Whether its search says what becomes of its units after a step."""
    recorded: deque[Event] = field(default_factory=deque)
    """Decisions of earlier processes, not yet heard again."""
    since: int = 0
    """Number of the last ``plan`` event of a unit of it: what was before is history."""

    @property
    def scheduled(self) -> bool:
        """Whether something decides about its units after each step."""
        return self.rules or self.stage.scheduler is not None

    def tell_end(self, work: Work) -> None:
        """Let a search hear the result of a unit that nothing ended but itself; it may be of an earlier run."""
        assert self.schedule is not None
        self.schedule.report(work.position, work.step, work.metric, lower_is_better=work.lower_is_better, more=False)

    def explore(self, work: Work, choice: Mapping[str, Any], key: str) -> None:
        """Let a unit of it go on as another choice for the stage. key: of what comes of it."""
        work.unit = explored(work.unit, self.stage.body, choice, key)
