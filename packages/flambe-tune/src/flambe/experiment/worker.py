"""``Worker``: one process that runs units, one at a time. Child processes and Ray actors are doors to it."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from flambe.experiment.pool import COMMIT, Failed, PoolEvent, Reported, Task
from flambe.experiment.wear import MemoryWear
from flambe.record.layout import OUTPUTS, STEPS
from flambe.record.refused import DiskRefused
from flambe.runner.failure import failure_of
from flambe.runner.stage import StageRun


class Worker:
    """Holds the objects of at most one unit, so that its next step needs no rebuilding."""

    def __init__(self) -> None:
        self._memory = MemoryWear()
        self._loading_s = 0.0
        self._run: StageRun | None = None
        self._held: tuple[str, int, str] | None = None

    def do(self, task: Task) -> PoolEvent:
        """Do one task. What the unit raises, ``SystemExit`` too, comes back as ``Failed``; the objects are gone then."""
        began, self._loading_s = time.monotonic(), 0.0
        event = self._do(task)
        event.seconds = time.monotonic() - began - self._loading_s
        return event

    def _do(self, task: Task) -> PoolEvent:
        unit, scratch = task.unit, Path(task.scratch)
        mark = (unit.id, task.attempt, task.scratch)
        try:
            if self._run is None or self._held != mark:
                self.release()
                self._run, self._held = StageRun(unit, scratch), mark
                try:
                    self._run.start(Path(task.resume) if task.resume else None)
                finally:
                    self._loading_s = self._run.loading_s
            run = self._run
            event = Reported(unit=unit.id, attempt=task.attempt)
            if task.action != COMMIT:
                event.report = run.step()
                if event.report.more:
                    event.step_folder = str(scratch / STEPS / str(event.report.step))
                    return event
            event.result = run.commit()
            event.result_folder = str(scratch)
            self.release()
            # What a plain function leaves behind in its modules must not meet the next one.
            event.worn = unit.is_function or self._memory.is_worn(unit.stage)
            return event
        except BaseException as error:
            # No signal raises here (the controller's process gets them), so this is from the unit's own code.
            failure = failure_of(error, unit)
            streams = self._drain(failure.trace)
            self.release()
            return Failed(
                unit=unit.id,
                attempt=task.attempt,
                error=failure.error,
                trace=failure.trace,
                streams=streams,
                retry=not failure.is_permanent,
                # PyTorch's and CuPy's errors are no MemoryError.
                memory=isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError",
                disk=isinstance(error, DiskRefused) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT),
            )

    def release(self) -> None:
        """Drop the objects of the unit that is held."""
        if self._run is not None:
            self._run.close()
        self._run = self._held = None

    def _drain(self, trace: str) -> dict[str, bytes]:
        streams = self._run.drain() if self._run is not None else {}
        streams[OUTPUTS] = streams.get(OUTPUTS, b"") + trace.encode(errors="replace")
        return streams
