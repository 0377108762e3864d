"""How long each unit was worked on: its attempts together, without the time between them."""

from __future__ import annotations

import datetime
from typing import Any


class WorkTime:
    """What the events of a ledger say of times. started: unit → its first start. last: when anything was written last.

    An attempt lasts until it ends; one that was killed, until the last word of its run.
    """

    def __init__(self) -> None:
        self.started: dict[str, str] = {}
        self.last: str | None = None
        self._spent: dict[str, float] = {}
        self._begun: dict[str, str] = {}

    def take(self, event: dict[str, Any]) -> None:
        """Take one more event into account."""
        kind, unit, when = event["event"], event.get("unit", ""), event.get("t")
        if kind == "start":
            self._end(unit, self.last)
            self.started.setdefault(unit, event["t"])
            self._begun[unit] = event["t"]
        elif kind in ("commit", "fail", "pause", "prune"):
            self._end(unit, when)
        elif kind in ("plan", "reuse"):  # what came so far was of another key, or is not what counts
            for known in (self.started, self._begun, self._spent):
                known.pop(unit, None)
        elif kind in ("open", "close"):
            for running in list(self._begun):
                self._end(running, when if kind == "close" else self.last)
        if isinstance(when, str):
            self.last = when

    def _end(self, unit: str, when: str | None) -> None:
        begun = self._begun.pop(unit, None)
        if begun is not None:
            self._spent[unit] = self._spent.get(unit, 0.0) + (seconds_between(begun, when) or 0.0)

    def seconds(self, unit: str, until: str | None) -> float | None:
        """Return the seconds of a unit; None where nothing tells. until: the end of an attempt that no event has ended."""
        spent, begun = self._spent.get(unit), self._begun.get(unit)
        going_on = seconds_between(begun, until) if begun is not None else None
        if going_on is None:
            return None if spent is None else round(spent, 3)
        return round((spent or 0.0) + going_on, 3)


def seconds_between(start: str, end: str | None) -> float | None:
    """Return the seconds from one time stamp to another; None where one is missing or is none."""
    if end is None:
        return None
    try:
        first, last = (datetime.datetime.fromisoformat(stamp) for stamp in (start, end))
        return round(max(0.0, (last - first).total_seconds()), 3)
    except (ValueError, TypeError):  # no times, or one of them without a zone
        return None


__all__ = ["WorkTime", "seconds_between"]
