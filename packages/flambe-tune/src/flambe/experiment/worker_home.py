"""``WorkerHome``: what a worker keeps on a machine that does not see the disk of the run directory."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flambe.experiment.pool import Task
from flambe.record.layout import STAGES
from flambe.record.parcel import unpack

_PREFIX = "flambe-worker-"
_LOCK = ".lock"
_MOST_RESULTS = 64


class WorkerHome:
    """A folder below the temporary one of the machine, with the results that units need and their scratch folders.

    A process that is killed cannot tidy: its folder goes when the next worker here makes its own.
    """

    def __init__(self) -> None:
        _sweep()
        self.root = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = open(self.root / _LOCK, "wb")  # noqa: SIM115 - as long as this process lives
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def take(self, task: Task, parcels: Mapping[str, bytes]) -> None:
        """Write what came as bytes, and let the task point there.

        parcels: stage above → its packed result; ``""``: the step to resume from. Raises OSError.
        """
        results = [self._result(task, stage, parcels) for stage in task.above]
        self._drop_all_but(results)
        scratch = self.root / "scratch" / Path(task.scratch).name
        if "" in parcels:
            resume = scratch.with_name(f"{scratch.name}.resume")
            shutil.rmtree(resume, ignore_errors=True)
            unpack(parcels[""], resume)
            task.resume = str(resume)
        scratch.mkdir(parents=True, exist_ok=True)
        task.scratch = str(scratch)

    def leave_unit(self) -> None:
        """Remove what belongs to one attempt: nobody comes back to it here."""
        shutil.rmtree(self.root / "scratch", ignore_errors=True)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)
        self._lock.close()

    def _result(self, task: Task, stage: str, parcels: Mapping[str, bytes]) -> Path:
        # As in a run directory, for one result refers to another by its place there.
        here = self.root / STAGES / stage / Path(task.above[stage]).name
        if not here.exists():
            aside = here.with_name(f".{here.name}.in")
            shutil.rmtree(aside, ignore_errors=True)
            unpack(parcels[stage], aside)
            aside.rename(here)
        if stage in task.unit.needs:
            task.unit.needs[stage] = str(here)
        return here

    def _drop_all_but(self, wanted: list[Path]) -> None:
        """Keep the newest results: what is mapped into memory lives on without its file."""
        held = sorted((self.root / STAGES).glob("*/*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in held[_MOST_RESULTS:]:
            if path not in wanted:
                shutil.rmtree(path, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of workers that are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with open(folder / _LOCK, "rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its process lives
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


__all__ = ["WorkerHome"]
