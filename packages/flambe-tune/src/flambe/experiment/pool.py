"""``Pool``: where units run. The controller knows this interface and nothing behind it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from flambe.runner.unit import StepReport, Unit

STEP, COMMIT = "step", "commit"


class Task(msgspec.Struct, kw_only=True):
    """One piece of work for a worker.

    action ``step``: call ``run()`` once, and commit when there is no more to do. ``commit``: commit as it stands.
    scratch: the empty folder of this attempt, on the controller's disk. resume: folder of the step checkpoint to
    continue from, when the worker does not hold the objects already.
    """

    unit: Unit
    attempt: int
    scratch: str
    resume: str | None = None
    action: str = STEP


class Reported(msgspec.Struct, kw_only=True, tag="reported"):
    """What a worker did. report: of the step, None for a bare commit. result: of the commit, if there was one.

    step_source, result_source: a folder on the controller's disk, or a packed folder (``flambe.record.parcel``).
    """

    unit: str
    attempt: int
    report: StepReport | None = None
    step_source: str | bytes | None = None
    result: StepReport | None = None
    result_source: str | bytes | None = None


class Failed(msgspec.Struct, kw_only=True, tag="failed"):
    """An attempt that raised, or whose process died. retry: whether trying again could help."""

    unit: str
    attempt: int
    error: str
    trace: str = ""
    streams: dict[str, bytes] = {}
    retry: bool = True


PoolEvent = Reported | Failed


class Pool(Protocol):
    """Workers. A unit has a worker from ``claim`` until it committed, failed or was released."""

    def capacity(self) -> dict[str, float]:
        """Return what all workers have together: ``{"cpus": 2, "gpus": 0}``."""

    def claim(self, unit: Unit) -> str:
        """Set a worker aside for a unit and return its name."""

    def submit(self, task: Task) -> None:
        """Start a task on the worker that was claimed for its unit. Its objects stay there until the unit leaves."""

    def release(self, unit: str) -> None:
        """Let go of a unit that is not computing: its objects are dropped, the worker is free."""

    def next_event(self, timeout_s: float) -> PoolEvent | None:
        """Return the next report or failure, or None when there was none in time."""

    def close(self) -> None:
        """End every worker, also those that compute."""
