"""One run in several processes: the first one leads, records and commits; the others train along.

The first process runs stages as it would alone. A trainer that is run in it tells the others, which build the same unit from
its spec, take over the state of the first one's, and make each of its steps; what no trainer is, they never see. So only the
first one has a run directory, and nothing is downloaded twice.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from torch import distributed

from flambe.build.component import Component
from flambe.build.parts import parts_of
from flambe.build.state import get_state, load_state
from flambe.cli.console import tell
from flambe.errors import RunFailed
from flambe.learn.processes import Processes
from flambe.record.layout import ARTIFACTS
from flambe.runner.environment import active
from flambe.runner.stage import StageRun

START, STEP, FINISH, END = "start", "step", "finish", "end"

# So long a process that fails waits with its end: torchrun then ends the first one too, which has to write down why.
_GRACE_S = 2.0


class Leader:
    """The first process's end. One at a time: ``lead()`` makes it, trainers find it with ``leader()``."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._trainer: Component | None = None
        self._telling = False

    @contextmanager
    def telling(self, trainer: Component, what: str) -> Iterator[None]:
        """Let the others do ``what`` with their trainer while this process does it inside.

        Raises RunFailed for a trainer that is a part of something else, which the others could not step.
        """
        if self._telling:
            # ``run()`` ends with ``finish()``, and theirs does too.
            yield
            return
        self._telling = True
        try:
            if trainer is not self._trainer:
                self._start(trainer)
            self._processes.broadcast((what,))
            yield
        except BaseException:
            # They wait in the middle of a step for what this process will never send.
            leave()
            raise
        finally:
            self._telling = False

    def end(self) -> None:
        """Let the others go."""
        if distributed.is_initialized():
            self._processes.broadcast((END,))
            leave()

    def _start(self, trainer: Component) -> None:
        running: Any = active()
        if running is None or running.component is not trainer:
            raise RunFailed(
                f"a {type(trainer).__qualname__} that another object runs cannot be trained in several processes",
                hint="Make the trainer a stage of its own, or start one process.",
            )
        self._trainer = trainer
        # A copy on its way: what came from a checkpoint is in it, and nothing has to be read from this process's disk.
        self._processes.broadcast((START, running.unit, get_state(trainer, borrowed=_shared(trainer))))


_leader: Leader | None = None


def lead(processes: Processes) -> Leader:
    """Make this process the first one of a run."""
    global _leader
    _leader = Leader(processes)
    return _leader


@contextmanager
def told(trainer: Component, what: str) -> Iterator[None]:
    """Enter around a step of a trainer. Where this process leads no others, nothing happens."""
    if _leader is None:
        yield
        return
    with _leader.telling(trainer, what):
        yield


def leave() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def follow(processes: Processes) -> int:
    """Do what the first process says until it says that this is all. Returns the exit code of this process."""
    run: _Following | None = None
    scratch = Path(tempfile.mkdtemp(prefix=f"flambe-process-{processes.rank}-"))
    try:
        while True:
            what, *more = processes.broadcast(None)
            if what == START:
                if run is not None:
                    run.close()
                unit, state = more
                folder = Path(tempfile.mkdtemp(dir=scratch))
                # No log of the run, to which two processes would write; what it writes itself is thrown away.
                run = _Following(msgspec.structs.replace(unit, log="", folder=str(folder / ARTIFACTS)), folder)
                run.start()
                load_state(run.component, state, borrowed=_shared(run.component))
            elif what == END:
                return 0
            elif run is not None:
                run.follow(what)
    except Exception:
        tell(f"process {processes.rank}: {traceback.format_exc()}")
        leave()
        time.sleep(_GRACE_S)
        return 1
    finally:
        leave()
        shutil.rmtree(scratch, ignore_errors=True)


class _Following(StageRun):
    def follow(self, what: str) -> None:
        """Make a step, or finish."""
        with self._inside():
            self.component.run() if what == STEP else self.component.finish()


def _shared(trainer: Component) -> set[int]:
    """Data sets and the like: every process has its own, made from the same files."""
    return {id(part.value) for part in parts_of(trainer) if getattr(part.value, "immutable", False)}
