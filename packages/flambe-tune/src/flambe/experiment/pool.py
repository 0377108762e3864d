"""``Pool``: where units run. The controller knows this interface and nothing behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from flambe.runner.unit import StepReport, Unit

STEP, COMMIT = "step", "commit"


class Task(msgspec.Struct, kw_only=True):
    """One piece of work for a worker.

    action ``step``: call ``run()`` once, and commit when there is no more to do. ``commit``: commit as it stands.
    scratch: the empty folder of this attempt, on the controller's disk. resume: folder of the step checkpoint to
    continue from, when the worker does not hold the objects already. above: every stage above → folder of its result.
    """

    unit: Unit
    attempt: int
    scratch: str
    resume: str | None = None
    above: dict[str, str] = {}
    action: str = STEP


class Reported(msgspec.Struct, kw_only=True, tag="reported"):
    """What a worker did. report: of the step, None for a bare commit. result: of the commit, if there was one.

    step_folder, result_folder: folders on the controller's disk. step_packed, result_packed: the same as bytes
    (``flambe.record.parcel``) from workers that do not see that disk. seconds: all that the task took, building and
    writing included, and the imports of a new process left out. worn: the worker should be replaced, see ``flambe.experiment.wear``.
    """

    unit: str
    attempt: int
    report: StepReport | None = None
    step_folder: str | None = None
    step_packed: bytes | None = None
    result: StepReport | None = None
    result_folder: str | None = None
    result_packed: bytes | None = None
    seconds: float = 0.0
    worn: bool = False

    @property
    def step_source(self) -> Path | bytes | None:
        return Path(self.step_folder) if self.step_folder is not None else self.step_packed

    @property
    def result_source(self) -> Path | bytes:
        return Path(self.result_folder) if self.result_folder is not None else self.result_packed or b""


class Failed(msgspec.Struct, kw_only=True, tag="failed"):
    """An attempt that raised, or whose process died. retry: whether trying again could help. memory: whether
    there was not enough of it. seconds: of the task."""

    unit: str
    attempt: int
    error: str
    trace: str = ""
    streams: dict[str, bytes] = {}
    retry: bool = True
    memory: bool = False
    disk: bool = False
    seconds: float = 0.0


PoolEvent = Reported | Failed


class Pool(Protocol):
    """Workers. A unit has a worker from ``claim`` until it committed, failed or was released."""

    def capacity(self) -> dict[str, float]:
        """Return what all workers have together: ``{"cpus": 2, "gpus": 0}``. With ``slots`` a unit takes one of these, and
        ``cpus`` is the most that one may ask for."""

    def has_room(self, unit: Unit) -> bool:
        """Whether a unit could be claimed a worker for now, where what is free in all (``capacity``) is enough for it."""

    def claim(self, unit: Unit) -> str:
        """Set a worker aside for a unit and return its name."""

    def submit(self, task: Task) -> None:
        """Start a task on the worker that was claimed for its unit. Its objects stay there until the unit leaves."""

    def is_waiting(self, unit: str) -> bool:
        """Whether the task of a unit has not begun, because its worker is yet to come."""

    def release(self, unit: str) -> None:
        """Let go of a unit that is not computing: its objects are dropped, the worker is free."""

    def abandon(self, unit: str) -> None:
        """End the worker of a unit that computes, whatever it does; nothing is heard of that task any more."""

    def next_event(self, timeout_s: float) -> PoolEvent | None:
        """Return the next report or failure, or None when there was none in time."""

    def close(self) -> None:
        """End every worker, also those that compute."""
