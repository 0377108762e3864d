"""``RayPool``: units in reused Ray actors, on an embedded Ray of our own or on a running one.

The embedded Ray listens on loopback only, behind a token, without a dashboard, and ends when we end (``warden``).
An actor is made for an amount of resources and reused from unit to unit; it is given up after any exception in it, when
it is worn (``flambe.experiment.wear``), and when a unit wants other code than it has loaded.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import ray

from flambe.errors import MachineError
from flambe.experiment import warden
from flambe.experiment.apart import apart, with_our_handlers
from flambe.experiment.environment import usable_cpus
from flambe.experiment.pool import Failed, PoolEvent, Task
from flambe.experiment.ray_actor import UnitActor
from flambe.experiment.wear import CodeHeld
from flambe.record.parcel import pack
from flambe.runner.unit import Unit

_OBJECT_STORE_BYTES = 200_000_000
PASSED = "FLAMBE_PASS_ENV"
"""Names, with commas between, of our environment variables that workers on other machines get too."""
_encode = msgspec.msgpack.Encoder().encode


@dataclass(eq=False)
class _Actor:
    """A worker process. size: (cpus, gpus) it holds. sees_disk: whether the run directory is there under its
    path. holds: the unit whose objects it has. code: what it has loaded."""

    handle: Any
    size: tuple[float, float]
    name: str
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
        self._embedded = address is None
        self._warden: subprocess.Popen[bytes] | None = None
        self._idle: list[_Actor] = []
        self._busy: dict[str, _Actor] = {}
        self._pending: dict[Any, tuple[Task, _Actor]] = {}
        self._parcels: dict[str, Any] = {}
        self._made = 0
        names = os.environ.get("FLAMBE_PASS_ENV", "").split(",") if address is not None else []
        self._variables = {name: os.environ[name] for name in names if name in os.environ}
        try:
            if address is None:
                self._start(workers or usable_cpus(), gpus)
            else:
                own = own_address(address)
                options = {} if own is None else {"_node_ip_address": own}
                with with_our_handlers():
                    ray.init(address=address, log_to_driver=False, logging_level="ERROR", namespace="flambe", **options)
        except Exception as error:
            self.close()
            what = "cannot start Ray" if address is None else f"cannot join the Ray at {address}"
            hint = (
                "--runner local runs without Ray."
                if address is None
                else "Is it running there, of this Ray version, and is its token in RAY_AUTH_TOKEN?"
            )
            raise MachineError(f"{what}: {str(error).strip().partition(chr(10))[0]}", hint=hint) from error
        except KeyboardInterrupt:
            self.close()
            raise
        total = ray.cluster_resources()
        self._capacity = {"cpus": float(total.get("CPU", 0.0)), "gpus": float(total.get("GPU", 0.0))}
        if address is not None and workers is not None:
            self._capacity["cpus"] = min(self._capacity["cpus"], float(workers))
        self._class = ray.remote(UnitActor)

    def capacity(self) -> dict[str, float]:
        return self._capacity

    def claim(self, unit: Unit) -> str:
        size = (float(unit.resources.get("cpus", 1)), float(unit.resources.get("gpus", 0)))
        actor = next((one for one in self._idle if one.size == size and one.code.suits(unit)), None)
        if actor is None:
            # Idle actors that do not fit hold resources that the new one may need.
            for other in list(self._idle):
                self._idle.remove(other)
                ray.kill(other.handle, no_restart=True)
            actor = self._make(size, unit.threads)
        else:
            self._idle.remove(actor)
        actor.code.add(unit)
        self._busy[unit.id] = actor
        return actor.name

    def submit(self, task: Task) -> None:
        actor = self._busy[task.unit.id]
        names: list[str] = []
        parcels: list[Any] = []
        if not actor.sees_disk and actor.holds != task.unit.id:
            for name, folder in {**task.above, "": task.resume or ""}.items():
                if folder:
                    names.append(name)
                    parcels.append(self._parcel(folder, keep=bool(name)))
        actor.holds = task.unit.id
        self._pending[actor.handle.do.remote(_encode(task), names, *parcels)] = (task, actor)

    def release(self, unit: str) -> None:
        actor = self._busy.pop(unit)
        actor.holds = None
        actor.handle.release.remote()
        self._idle.append(actor)

    def abandon(self, unit: str) -> None:
        actor = self._busy.pop(unit)
        self._pending = {task: held for task, held in self._pending.items() if held[1] is not actor}
        ray.kill(actor.handle, no_restart=True)

    def next_event(self, timeout_s: float) -> PoolEvent | None:
        if not self._pending:
            return None
        done, _ = ray.wait(list(self._pending), num_returns=1, timeout=timeout_s)
        if not done:
            return None
        task, actor = self._pending.pop(done[0])
        try:
            event: PoolEvent = msgspec.msgpack.decode(ray.get(done[0]), type=PoolEvent)
        except ray.exceptions.RayError as error:
            memory = isinstance(error, ray.exceptions.OutOfMemoryError)
            event = Failed(unit=task.unit.id, attempt=task.attempt, error=_why_it_died(error), memory=memory)
        if isinstance(event, Failed):
            # Whatever an exception left behind in the process must not meet the next unit.
            self._busy.pop(event.unit, None)
            ray.kill(actor.handle, no_restart=True)
        elif event.result is not None:
            actor.holds = None
            self._busy.pop(event.unit)
            if event.worn:
                ray.kill(actor.handle, no_restart=True)
            else:
                self._idle.append(actor)
        return event

    def close(self) -> None:
        if ray.is_initialized():
            for actor in [*self._idle, *self._busy.values()]:
                ray.kill(actor.handle, no_restart=True)
            ray.shutdown()
        if self._warden is not None and self._warden.stdin is not None:
            self._warden.stdin.close()
            self._warden = None

    # -- inside -------------------------------------------------------------------------------------------------------

    def _start(self, workers: int, gpus: float | None) -> None:
        # Short, for the names of sockets below it may have 107 letters.
        folder = tempfile.mkdtemp(prefix="flambe-ray-", dir="/tmp" if os.path.isdir("/tmp") else None)  # noqa: S108
        self._warden = subprocess.Popen(
            [sys.executable, "-I", "-S", warden.__file__, folder, str(os.getpid())],
            stdin=subprocess.PIPE,
            process_group=0,
        )
        with apart(self._warden.pid):
            ray.init(
                address="local",
                num_cpus=workers,
                num_gpus=gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                object_store_memory=_OBJECT_STORE_BYTES,
                namespace="flambe",
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
            )

    def _make(self, size: tuple[float, float], threads: int) -> _Actor:
        self._made += 1
        name = f"actor {self._made}"
        options: dict[str, Any] = {"num_cpus": size[0], "num_gpus": size[1], "max_restarts": 0}
        passed = [name for name in os.environ.get(PASSED, "").split(",") if name in os.environ]
        if passed and not self._embedded:
            # The workers of a Ray that we joined have the environment of that Ray's nodes, not ours.
            options["runtime_env"] = {"env_vars": {name: os.environ[name] for name in passed}}
        handle = self._class.options(**options).remote(threads, self._variables)
        actor = _Actor(handle, size, name)
        if not self._embedded:
            actor.sees_disk = self._sees_disk(actor)
        return actor

    def _sees_disk(self, actor: _Actor) -> bool:
        mark = self._run_root / f".seen-{secrets.token_hex(8)}"
        mark.touch()
        try:
            return bool(ray.get(actor.handle.sees.remote(str(mark))))
        except ray.exceptions.RayError:
            return True  # it is gone; its first task will say so
        finally:
            mark.unlink()

    def _parcel(self, folder: str, *, keep: bool) -> Any:
        """Put a folder into Ray's object store, which carries it to the node in chunks; needed results once."""
        if folder not in self._parcels:
            reference = ray.put(pack(Path(folder)))
            if not keep:
                return reference
            self._parcels[folder] = reference
        return self._parcels[folder]


def own_address(address: str) -> str | None:
    """Return the host of a Ray's ``host:port`` as an IP address if it is one of this machine, else None.

    Ray guesses which of this machine's addresses is the node's, from the route to the Internet; on a machine with two
    networks it may find no node there.
    """
    host = address.rpartition(":")[0]
    if "://" in address or not host:
        return None
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))  # only an address of this machine can be bound
            own: str = probe.getsockname()[0]
    except OSError:
        return None
    return None if own == "0.0.0.0" else own  # noqa: S104 - no address of one network card


def _why_it_died(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"its worker died: {text[0] if text else type(error).__name__}"
