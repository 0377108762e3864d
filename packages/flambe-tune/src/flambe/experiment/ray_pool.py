"""``RayPool``: units in reused Ray actors, on an embedded Ray of our own or on a running one.

An actor is made for an amount of resources and reused from unit to unit; it is given up after any exception in it, when
it is worn (``flambe.experiment.wear``), and when a unit wants other code than it has loaded.

Machines of a Ray that is joined may be lost, and come back. A unit gets its actor when it is claimed, and that actor comes when
Ray finds room for it; where it is late, a free one takes its place.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import ray

from flambe.experiment.pool import Failed, PoolEvent, Task
from flambe.experiment.ray_actor import UnitActor
from flambe.experiment.ray_servers import RayServers
from flambe.experiment.wear import CodeHeld
from flambe.record.layout import RunPaths
from flambe.record.parcel import pack
from flambe.runner.cpus import usable_cpus
from flambe.runner.unit import Unit

PASSED = "FLAMBE_PASS_ENV"
"""Names, with commas between, of our environment variables that workers on other machines get too."""
_MOST_PARCELS = 32
_LATE_S = 5.0
"""From when on an actor that does not come is thought to wait for a machine; a process starts in one or two."""
_IDLE_S = 1.0
"""From when on an idle actor is asked whether it is still there, before a unit gets it."""
_LEAVE_S = 2.0
"""How long an actor may take to answer that, or to tidy its machine."""
_SHUN_S = 30.0
"""How long a place whose disk is full stays empty."""
_encode = msgspec.msgpack.Encoder().encode


@dataclass(eq=False)
class _Actor:
    """A worker process, or one that is to come. size: (cpus, gpus) it holds. made_s, free_s: when it was asked for, and had its
    last unit. machine: where it is, once it is there. sees_disk: whether the run directory is there under its path. holds: the
    unit whose objects it has. code: what it has loaded."""

    handle: Any
    size: tuple[float, float]
    name: str
    made_s: float
    free_s: float = 0.0
    machine: str = ""
    sees_disk: bool = True
    holds: str | None = None
    code: CodeHeld = field(default_factory=CodeHeld)


class RayPool:
    """Reused actors on Ray.

    workers: CPUs of the embedded Ray, all by default; of a Ray that is joined, the most that are used. gpus: its GPUs, None for all that are found. address: join this Ray instead
    (``host:port`` or ``auto``); a token is taken from ``RAY_AUTH_TOKEN`` or ``RAY_AUTH_TOKEN_PATH`` as Ray does.
    run_root: the run directory, to find out which nodes see it. Actors of a joined Ray get the variables that
    ``FLAMBE_PASS_ENV`` names (with commas); those of our own have our whole environment.

    The environment is that of ``flambe.experiment.environment.ray_environment``, entered before Ray was imported.
    Raises MachineError when Ray cannot be started or joined.
    """

    def __init__(
        self, workers: int | None, *, run_root: Path, gpus: float | None = None, address: str | None = None
    ) -> None:
        self._run_root = run_root
        self._servers = RayServers(address, cpus=workers or usable_cpus(), gpus=gpus)
        self._idle: list[_Actor] = []
        self._busy: dict[str, _Actor] = {}
        self._pending: dict[Any, tuple[Task, _Actor]] = {}
        self._coming: dict[Any, _Actor] = {}
        self._waiting: dict[str, Task] = {}
        self._shunned: list[_Actor] = []
        self._mark: Path | None = None
        self._parcels: dict[str, Any] = {}
        self._made = 0
        names = os.environ.get(PASSED, "").split(",") if address is not None else []
        self._variables = {name: os.environ[name] for name in names if name in os.environ}
        self._most_cpus = float(workers) if address is not None and workers is not None else None
        self._class = ray.remote(UnitActor)

    def capacity(self) -> dict[str, float]:
        most = self._servers.most()
        return most if self._most_cpus is None else {**most, "cpus": min(most["cpus"], self._most_cpus)}

    def has_room(self, unit: Unit) -> bool:
        return True  # what does not fit on one machine waits in Ray

    def claim(self, unit: Unit) -> str:
        if self._waiting:
            self._reseat()
        actor = self._fitting(unit)
        if actor is None:
            # Idle actors that do not fit hold resources that the new one may need.
            self._end_unused()
            actor = self._make(_size(unit), unit.threads)
        actor.code.add(unit)
        self._busy[unit.id] = actor
        return actor.name

    def submit(self, task: Task) -> None:
        actor = self._busy[task.unit.id]
        if actor.machine:
            self._send(task, actor)
        else:
            self._waiting[task.unit.id] = task

    def is_waiting(self, unit: str) -> bool:
        return unit in self._waiting

    def release(self, unit: str) -> None:
        actor = self._busy.pop(unit)
        actor.handle.release.remote()
        self._free(actor)

    def abandon(self, unit: str) -> None:
        actor = self._busy.pop(unit)
        self._waiting.pop(unit, None)
        self._pending = {task: held for task, held in self._pending.items() if held[1] is not actor}
        self._end(actor)

    def next_event(self, timeout_s: float) -> PoolEvent | None:
        if self._waiting:
            self._reseat()
        while self._shunned and self._shunned[0].free_s + _SHUN_S < time.monotonic():
            self._end(self._shunned.pop(0))
        if not self._pending and not self._coming:
            return None
        done, _ = ray.wait([*self._pending, *self._coming], num_returns=1, timeout=timeout_s)
        if not done:
            self._servers.answer()
            return None
        if done[0] in self._coming:
            return self._greet(done[0])
        task, actor = self._pending.pop(done[0])
        try:
            event: PoolEvent = msgspec.msgpack.decode(ray.get(done[0]), type=PoolEvent)
            self._servers.heard()
        except ray.exceptions.RayError as error:
            # Where the servers are gone no variant is to pay for that.
            self._servers.wait()
            memory = isinstance(error, ray.exceptions.OutOfMemoryError)
            why = _why_it_died(error, actor.machine)
            event = Failed(unit=task.unit.id, attempt=task.attempt, error=why, memory=memory)
        if isinstance(event, Failed):
            self._busy.pop(event.unit, None)
            if event.disk and not actor.sees_disk:
                event.error = f"on {actor.machine}: {event.error}"
                self._shun(actor)
            else:
                # Whatever an exception left behind in the process must not meet the next unit.
                self._end(actor)
        elif event.result is not None:
            self._busy.pop(event.unit)
            if event.worn:
                self._end(actor)
            else:
                self._free(actor)
        return event

    def close(self) -> None:
        if ray.is_initialized():
            apart = [actor.handle.leave.remote() for actor in self._idle if not actor.sees_disk]
            if apart:
                ray.wait(apart, num_returns=len(apart), timeout=_LEAVE_S)
            for actor in [*self._idle, *self._busy.values(), *self._coming.values(), *self._shunned]:
                self._end(actor)
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)
        self._servers.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _fitting(self, unit: Unit) -> _Actor | None:
        """Take an actor without a unit that suits this one: one that is there, else one that comes."""
        size = _size(unit)
        for actor in list(self._idle):
            if actor.size == size and actor.code.suits(unit):
                self._idle.remove(actor)
                if self._is_there(actor):
                    return actor
        busy = set(self._busy.values()) if self._coming else set()
        spare = (actor for actor in self._coming.values() if actor not in busy)
        return next((actor for actor in spare if actor.size == size and actor.code.suits(unit)), None)

    def _is_there(self, actor: _Actor) -> bool:
        """Ask one that has been idle for a while: its machine may be lost, and no unit is to pay for that."""
        if time.monotonic() - actor.free_s < _IDLE_S:
            return True
        try:
            ray.get(actor.handle.hello.remote(None), timeout=_LEAVE_S)
        except ray.exceptions.RayError:
            self._end(actor)
            return False
        return True

    def _free(self, actor: _Actor) -> None:
        actor.holds = None
        actor.free_s = time.monotonic()
        self._idle.append(actor)

    def _make(self, size: tuple[float, float], threads: int) -> _Actor:
        self._servers.wait()
        self._made += 1
        options: dict[str, Any] = {"num_cpus": size[0], "num_gpus": size[1], "max_restarts": 0}
        # The workers of a Ray that we joined have the environment of that Ray's nodes, not ours.
        line = self._servers.lifeline.address if self._servers.lifeline is not None else None
        handle = self._class.options(**options).remote(threads, self._variables, line)
        if self._mark is None and not self._servers.embedded:
            # Its name is chance: another machine may have a folder of the same name.
            self._mark = RunPaths(self._run_root).scratch / f"seen-{secrets.token_hex(8)}"
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.touch()
        actor = _Actor(handle, size, f"actor {self._made}", time.monotonic())
        self._coming[handle.hello.remote(None if self._mark is None else str(self._mark))] = actor
        return actor

    def _greet(self, answer: Any) -> PoolEvent | None:
        """An actor has come, or died before: give it what waits for it."""
        actor = self._coming.pop(answer)
        unit = next((unit for unit, one in self._busy.items() if one is actor), None)
        try:
            actor.machine, actor.sees_disk = ray.get(answer)
            self._servers.heard()
        except ray.exceptions.RayError as error:
            self._servers.wait()
            if unit is None:
                return None
            del self._busy[unit]
            task = self._waiting.pop(unit)
            return Failed(unit=unit, attempt=task.attempt, error=_why_it_died(error, actor.machine))
        if unit is None:
            self._free(actor)
        elif unit in self._waiting:
            self._send(self._waiting.pop(unit), actor)
        return None

    def _send(self, task: Task, actor: _Actor) -> None:
        names: list[str] = []
        parcels: list[Any] = []
        if not actor.sees_disk and actor.holds != task.unit.id:
            for name, folder in {**task.above, "": task.resume or ""}.items():
                if folder:
                    names.append(name)
                    parcels.append(self._parcel(folder, keep=bool(name)))
        actor.holds = task.unit.id
        self._pending[actor.handle.do.remote(_encode(task), not actor.sees_disk, names, *parcels)] = (task, actor)

    def _reseat(self) -> None:
        """Let units whose actor is late take free ones. Free ones that suit none end: they hold what the others wait for."""
        now = time.monotonic()
        for unit, task in list(self._waiting.items()):
            if now - self._busy[unit].made_s < _LATE_S or not self._idle:
                continue
            coming = self._busy[unit]
            actor = self._fitting(task.unit)
            if actor is None or not actor.machine:
                self._end_unused(but=coming)
                continue
            actor.code.add(task.unit)
            self._busy[unit] = actor
            self._send(self._waiting.pop(unit), actor)

    def _end_unused(self, but: _Actor | None = None) -> None:
        """End the actors that have no unit."""
        busy = {*self._busy.values(), but}
        for actor in [*self._idle, *self._coming.values()]:
            if actor not in busy:
                self._end(actor)
        self._idle = []
        self._coming = {answer: actor for answer, actor in self._coming.items() if actor in busy}

    def _shun(self, actor: _Actor) -> None:
        """Let an actor whose disk is full keep its place for a while, idle, so that Ray puts no other there."""
        actor.handle.leave.remote()
        actor.free_s = time.monotonic()
        self._shunned.append(actor)

    def _end(self, actor: _Actor) -> None:
        ray.kill(actor.handle, no_restart=True)

    def _parcel(self, folder: str, *, keep: bool) -> Any:
        """Put a folder into Ray's object store, which carries it to the node in chunks; needed results once."""
        if folder not in self._parcels:
            reference = ray.put(pack(Path(folder)))
            if not keep:
                return reference
            if len(self._parcels) >= _MOST_PARCELS:
                del self._parcels[next(iter(self._parcels))]
            self._parcels[folder] = reference
        return self._parcels[folder]


def _size(unit: Unit) -> tuple[float, float]:
    return float(unit.resources.get("cpus", 1)), float(unit.resources.get("gpus", 0))


def _why_it_died(error: Exception, machine: str) -> str:
    """Return in few words what Ray says in many."""
    text = str(error)
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return f"its worker died: Ray ended it, for the memory of {machine} was used up"
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"its worker died: {text.strip().splitlines()[-1]}"
    if "node has died" in text or "node was terminated" in text or "node is dead" in text:
        return f"its worker died: the Ray node on {machine} is lost"
    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return f"its worker died: {machine} does not answer"
    if isinstance(error, ray.exceptions.ActorDiedError):
        return f"its worker died: its process on {machine} ended"
    lines = text.strip().splitlines()
    return f"its worker died: {lines[0] if lines else type(error).__name__}"
