"""Search: the schedulers that decide between steps which variants go on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "Algorithm": "tune_adapter",
    "SchedulerAdapter": "tune_adapter",
    "StageSchedule": "schedule",
    "Verdict": "schedule",
    "check_scheduler": "tune_adapter",
}

__all__ = ["Algorithm", "SchedulerAdapter", "StageSchedule", "Verdict", "check_scheduler"]

if TYPE_CHECKING:
    from flambe.search.schedule import StageSchedule, Verdict
    from flambe.search.tune_adapter import Algorithm, SchedulerAdapter, check_scheduler


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
