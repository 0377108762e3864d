"""The class of our Ray actors. Light to import: what a unit needs is imported when the first one comes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from flambe.experiment.environment import log_from_info, protect_stdout, set_threads


class UnitActor:
    """A ``Worker`` in a Ray actor. Tasks and events travel as msgpack; folders as bytes where the disk is not shared."""

    def __init__(self, threads: int, variables: dict[str, str]) -> None:
        os.environ.update(variables)
        set_threads(threads)
        protect_stdout()
        log_from_info()
        self._worker: Any = None
        self._home: Path | None = None

    def sees(self, path: str) -> bool:
        """Whether this node sees a file of the controller's disk."""
        return os.path.exists(path)

    def do(self, data: bytes, names: list[str], *parcels: bytes) -> bytes:
        """Do a task. names: the stages above whose folders are in ``parcels``; ``""`` is the step to resume from."""
        import msgspec

        from flambe.experiment.pool import Reported, Task
        from flambe.experiment.worker import Worker
        from flambe.record.parcel import pack

        task = msgspec.msgpack.decode(data, type=Task)
        if self._worker is None:
            self._worker = Worker()
        apart = bool(names) or not os.path.isdir(task.scratch)
        if apart:
            self._localize(task, dict(zip(names, parcels, strict=True)))
        event = self._worker.do(task)
        if apart and isinstance(event, Reported):
            if event.step_folder is not None:
                event.step_packed, event.step_folder = pack(Path(event.step_folder)), None
            if event.result_folder is not None:
                event.result_packed, event.result_folder = pack(Path(event.result_folder)), None
                shutil.rmtree(task.scratch, ignore_errors=True)
        return msgspec.msgpack.encode(event)

    def release(self) -> None:
        """Drop the objects of the unit that is held."""
        if self._worker is not None:
            self._worker.release()

    def _localize(self, task: Any, parcels: dict[str, bytes]) -> None:
        """Put what came as bytes below a folder of this node, and let the task point there."""
        from flambe.record.layout import STAGES
        from flambe.record.parcel import unpack

        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="flambe-worker-"))
        for stage, folder in task.above.items():
            # As in a run directory, for one result refers to another by its place there.
            here = self._home / STAGES / stage / Path(folder).name
            if not here.exists():
                unpack(parcels[stage], here)
            if stage in task.unit.needs:
                task.unit.needs[stage] = str(here)
        scratch = self._home / "scratch" / Path(task.scratch).name
        if "" in parcels:
            resume = scratch.with_name(f"{scratch.name}.resume")
            shutil.rmtree(resume, ignore_errors=True)
            unpack(parcels[""], resume)
            task.resume = str(resume)
        scratch.mkdir(parents=True, exist_ok=True)
        task.scratch = str(scratch)
