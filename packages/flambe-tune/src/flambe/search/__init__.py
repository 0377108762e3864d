"""Search: the schedulers that decide between steps which variants go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

__all__ = ["Algorithm", "SchedulerAdapter", "StageSchedule", "Verdict", "check_scheduler"]

__getattr__ = lazily(
    __name__,
    {
        "Algorithm": "tune_adapter",
        "SchedulerAdapter": "tune_adapter",
        "StageSchedule": "schedule",
        "Verdict": "schedule",
        "check_scheduler": "tune_adapter",
    },
)

if TYPE_CHECKING:
    from flambe.search.schedule import StageSchedule, Verdict
    from flambe.search.tune_adapter import Algorithm, SchedulerAdapter, check_scheduler
