"""The class of our Ray actors. Light to import: what a unit needs is imported when the first one comes."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

from flambe.experiment.environment import log_from_info, protect_stdout, set_threads
from flambe.experiment.lifeline import Address, hold


class UnitActor:
    """A ``Worker`` in a Ray actor. Tasks and events travel as msgpack; folders as bytes where the disk is not shared.

    line: to the command, whose end is this process's too; None where its Ray ends with it.
    """

    def __init__(self, threads: int, variables: dict[str, str], line: Address | None) -> None:
        if line is not None:
            hold(line)
        os.environ.update(variables)
        set_threads(threads)
        protect_stdout()
        log_from_info()
        self._worker: Any = None
        self._home: Any = None

    def hello(self, mark: str | None) -> tuple[str, bool]:
        """Return the name of this machine, and whether it sees a file of the controller's disk."""
        return platform.node() or "a machine", mark is None or os.path.exists(mark)

    def do(self, data: bytes, apart: bool, names: list[str], *parcels: bytes) -> bytes:
        """Do a task. apart: on no common disk. names: what lies in ``parcels``, see ``WorkerHome.take``."""
        import msgspec

        from flambe.experiment.pool import Task
        from flambe.experiment.worker import Worker

        task = msgspec.msgpack.decode(data, type=Task)
        if self._worker is None:
            self._worker = Worker()
        event = self._do_apart(task, dict(zip(names, parcels, strict=True))) if apart else self._worker.do(task)
        return msgspec.msgpack.encode(event)

    def release(self) -> None:
        """Drop the objects of the unit that is held."""
        if self._worker is not None:
            self._worker.release()
        if self._home is not None:
            self._home.leave_unit()

    def leave(self) -> None:
        """Leave nothing behind on this machine."""
        if self._home is not None:
            self._home.close()
            self._home = None

    def _do_apart(self, task: Any, parcels: dict[str, bytes]) -> Any:
        """Do a task whose folders came as bytes, and hand its folders over as bytes. A disk that refuses them is a failure."""
        from flambe.experiment.pool import Failed, Reported
        from flambe.experiment.worker_home import WorkerHome
        from flambe.record.parcel import pack
        from flambe.record.refused import DiskRefused, kept_in

        try:
            with kept_in(Path("the folder for temporary files")):
                self._home = self._home or WorkerHome()
                self._home.take(task, parcels)
        except DiskRefused as error:
            return Failed(unit=task.unit.id, attempt=task.attempt, error=str(error), disk=True)
        event = self._worker.do(task)
        if isinstance(event, Reported):
            if event.step_folder is not None:
                event.step_packed, event.step_folder = pack(Path(event.step_folder)), None
            if event.result_folder is not None:
                event.result_packed, event.result_folder = pack(Path(event.result_folder)), None
                shutil.rmtree(task.scratch, ignore_errors=True)
        return event
