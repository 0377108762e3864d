"""``Trial``: one choice of an algorithm of 1.0, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class TrialState(StrEnum):
    """Of a trial: made by an algorithm; at work; told to wait; told to go on; has made a step that the algorithm has not
    looked at yet; at its end; failed."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESUME = "resume"
    HAS_RESULT = "has-result"
    TERMINATED = "terminated"
    ERROR = "error"


@dataclass
class Trial:
    """What an algorithm chose. params: name of a search → value. metrics: after each step so far, larger is better."""

    params: dict[str, Any]
    state: TrialState = TrialState.CREATED
    metrics: list[float] = field(default_factory=list)

    @property
    def metric(self) -> float | None:
        """The last one, None before the first step."""
        return self.metrics[-1] if self.metrics else None

    @property
    def best_metric(self) -> float | None:
        """The largest one, None before the first step."""
        return max(self.metrics, default=None)

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing left to do for it."""
        return self.state in (TrialState.TERMINATED, TrialState.ERROR)

    def report(self, metric: float) -> None:
        """Take the metric of another step, which the algorithm is to look at."""
        self.metrics.append(metric)
        self.state = TrialState.HAS_RESULT
