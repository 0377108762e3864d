"""``LocalPool``: units in child processes of our own, without Ray. One child by default: units one after another."""

from __future__ import annotations

import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from typing import IO, NoReturn

import msgspec

from flambe.experiment.environment import log_from_info, protect_stdout, worker_environment
from flambe.experiment.gpus import VISIBLE, Gpus, usable_gpus
from flambe.experiment.pool import Failed, PoolEvent, Task
from flambe.experiment.wear import CodeHeld
from flambe.runner.cpus import usable_cpus
from flambe.runner.unit import Unit

_LENGTH = struct.Struct(">Q")
_encode = msgspec.msgpack.Encoder().encode
_CHILD = "from flambe.experiment.local import serve; serve()"


class LocalPool:
    """``workers`` child processes, reused from unit to unit.

    A child is replaced after any exception in it, when it dies (which is a failed attempt, noticed at once), when it is
    worn (``flambe.experiment.wear``), and when a unit wants another number of threads, or other GPUs, than the libraries in it
    were started with, or other code than it has loaded.

    A unit that asks for GPUs, or for a part of one, sees those that it is given and no others, and waits for them; one that asks
    for 0 sees none, and one that says nothing sees what this process does. gpus: their names, by default what is usable. cpus: how many
    one unit may ask for, by default all that are usable.
    """

    def __init__(self, workers: int = 1, *, cpus: int | None = None, gpus: list[str] | None = None) -> None:
        self._workers = workers
        self._cpus = cpus or usable_cpus()
        self._gpus = Gpus(usable_gpus() if gpus is None else gpus)
        self._idle: list[_Child] = []
        self._busy: dict[str, _Child] = {}
        self._given: dict[str, tuple[tuple[str, ...], float]] = {}  # unit → GPUs, and how much of them
        self._ready: deque[PoolEvent] = deque()
        self._selector = selectors.DefaultSelector()

    def capacity(self) -> dict[str, float]:
        # One unit a child, however many threads it uses.
        return {"slots": float(self._workers), "cpus": float(self._cpus), "gpus": float(len(self._gpus))}

    def has_room(self, unit: Unit) -> bool:
        amount = unit.resources.get("gpus", 0.0)
        return not amount or self._gpus.pick(amount) is not None

    def claim(self, unit: Unit) -> str:
        amount = unit.resources.get("gpus")
        gpus = self._gpus.pick(amount) if amount else None if amount is None else ()
        for child in self._idle:
            if child.threads == unit.threads and child.gpus == gpus and child.code.suits(unit):
                break
        else:
            if self._idle and len(self._idle) + len(self._busy) >= self._workers:
                self._drop(self._idle[0])
            child = self._start(unit.threads, gpus)
        self._idle.remove(child)
        self._given[unit.id] = gpus or (), amount or 0.0
        self._gpus.take(*self._given[unit.id])
        child.code.add(unit)
        self._busy[unit.id] = child
        return f"pid {child.process.pid}"

    def submit(self, task: Task) -> None:
        child = self._busy[task.unit.id]
        child.task = task
        try:
            _write(child.stdin, _encode(task))
        except (BrokenPipeError, ValueError):
            # It died meanwhile; the end of its pipe, which is read next, says so.
            return

    def is_waiting(self, unit: str) -> bool:
        return False

    def release(self, unit: str) -> None:
        child = self._leave(unit)
        child.task = None
        self._idle.append(child)
        _write(child.stdin, _encode(None))

    def abandon(self, unit: str) -> None:
        self._drop(self._leave(unit))
        self._ready = deque(event for event in self._ready if event.unit != unit)

    def next_event(self, timeout_s: float) -> PoolEvent | None:
        if not self._ready:
            for key, _ in self._selector.select(timeout_s):
                self._read(key.data)
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        for child in [*self._idle, *self._busy.values()]:
            self._drop(child)
        self._busy.clear()
        self._selector.close()

    def _leave(self, unit: str) -> _Child:
        self._gpus.give_back(*self._given.pop(unit))
        return self._busy.pop(unit)

    def _start(self, threads: int, gpus: tuple[str, ...] | None) -> _Child:
        child = _Child(threads, gpus)
        self._selector.register(child.stdout, selectors.EVENT_READ, child)
        self._idle.append(child)
        return child

    def _read(self, child: _Child) -> None:
        data = _read(child.stdout)
        task = child.task
        if data is None:
            self._drop(child)
            if task is not None:
                self._leave(task.unit.id)
                # Nobody but the system, which has no memory left, kills a child of ours like that.
                killed = child.process.returncode == -signal.SIGKILL
                error = f"its process died: {child.end()}{', perhaps for lack of memory' if killed else ''}"
                self._ready.append(Failed(unit=task.unit.id, attempt=task.attempt, error=error, memory=killed))
            return
        if task is None:
            return
        event = msgspec.msgpack.decode(data, type=PoolEvent)
        child.task = None
        if isinstance(event, Failed):
            # Whatever an exception left behind in the process must not meet the next unit.
            self._leave(event.unit)
            self._drop(child)
        elif event.result is not None:
            self._leave(event.unit)
            if event.worn:
                self._drop(child)
            else:
                self._idle.append(child)
        self._ready.append(event)

    def _drop(self, child: _Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
        self._selector.unregister(child.stdout)
        child.kill()


class _Child:
    """One child process, and the two pipes to it: length-prefixed msgpack, so nothing is pickled.

    gpus: those that it sees, None for what this process sees.
    """

    def __init__(self, threads: int, gpus: tuple[str, ...] | None) -> None:
        self.threads = threads
        self.gpus = gpus
        self.code = CodeHeld()
        self.task: Task | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=-1,
            env=worker_environment(threads) | ({} if gpus is None else {VISIBLE: ",".join(gpus)}),
            # Ctrl-C belongs to the controller, which ends the children itself.
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout: IO[bytes] = self.process.stdout

    def kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                continue

    def end(self) -> str:
        code = self.process.returncode
        return f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"


def serve() -> None:
    """The life of a child: tasks from descriptor 0, events to what was descriptor 1, until the pipe ends."""
    tasks, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    protect_stdout()
    log_from_info()
    inbox: deque[Task | None] = deque()
    arrived = threading.Semaphore(0)

    def receive() -> NoReturn:
        # A thread of its own: when the controller dies, this process ends at once, also in the middle of a step.
        while (data := _read(tasks)) is not None:
            inbox.append(msgspec.msgpack.decode(data, type=Task | None))
            arrived.release()
        # This process leads its own group: whatever the unit started (loaders of data, say) ends with it.
        os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=receive, daemon=True, name="inbox").start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from flambe.experiment.worker import Worker

    worker = Worker()
    while True:
        arrived.acquire()
        task = inbox.popleft()
        if task is None:
            worker.release()
        else:
            _write(events, _encode(worker.do(task)))


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    data = stream.read(_LENGTH.unpack(head)[0])
    return data if len(data) == _LENGTH.unpack(head)[0] else None
