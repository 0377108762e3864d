"""``OwnProcess``: a unit of a function in a new interpreter, whose import path begins with the copy of the code.

It gets the unit as a line of JSON on stdin, and answers on a pipe of its own. What it prints goes where this process
prints. When this process dies it ends too, with all that it has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from flambe.record.run import Exit
from flambe.runner.unit import StepReport, Unit

_CHILD = "from flambe.runner.own_process import serve; serve()"


class Order(msgspec.Struct, kw_only=True):
    """What a process is to do. echo: the descriptor that gets what the function prints, None for none. level: of what we say."""

    unit: Unit
    scratch: str
    echo: bool = True


class Outcome(msgspec.Struct, kw_only=True):
    """What came of it. reports: of the step and of the commit, of a function that returned. error, trace, is_permanent, end: of one
    that did not, with the ``streams`` that it left.
    """

    reports: list[StepReport] = []
    error: str | None = None
    trace: str = ""
    is_permanent: bool = True
    end: Exit | None = None
    streams: dict[str, bytes] = {}


class OwnProcess:
    """One process, for one attempt of one unit. ``outcome`` can be asked for when ``events`` can be read."""

    def __init__(self, unit: Unit, scratch: Path, *, attempt: int, echo: bool) -> None:
        self.unit = unit
        self.scratch = scratch
        self.attempt = attempt
        reader, writer = os.pipe()
        self._process = subprocess.Popen(
            # -P: what is not in the copy must not come from the working folder.
            [sys.executable, "-P", "-c", _CHILD, str(writer)],
            stdin=subprocess.PIPE,
            pass_fds=(writer,),
            # A signal of the terminal comes to the process that waits, and is handed on from there.
            start_new_session=True,
        )
        os.close(writer)
        self.events = os.fdopen(reader, "rb")
        order = Order(unit=unit, scratch=str(scratch), echo=echo)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; its pipe says so next
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        return self._process.pid

    def outcome(self) -> Outcome:
        """Wait for its end and return what came of it, also when it was killed."""
        data = self.events.read()
        self._process.wait()
        self._close()
        with contextlib.suppress(msgspec.DecodeError):  # it died before it had told all
            return msgspec.msgpack.decode(data, type=Outcome)
        code = self._process.returncode
        died = Exit(code=code) if code >= 0 else Exit(code=128 - code, signal=signal.Signals(-code).name)
        how = f"exit code {code}" if code >= 0 else f"signal {died.signal}"
        return Outcome(error=f"its process died: {how}", end=died, is_permanent=False)

    def send(self, number: int) -> None:
        """Send a signal to it and to what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def end(self, patience_s: float) -> None:
        """Wait for its end, and kill it when that does not come in time."""
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._process.wait()
        self._close()

    def _close(self) -> None:
        self.events.close()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def serve() -> None:
    """The life of the process: one order from stdin, one outcome to the pipe whose descriptor is the first word."""
    events = os.fdopen(int(sys.argv[1]), "wb")
    os.set_inheritable(events.fileno(), False)  # what the function starts must not keep it open
    orders = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    order = msgspec.json.decode(orders.readline(), type=Order)

    def watch() -> NoReturn:
        orders.read()
        # Nobody is waiting any more; this process leads its own group.
        os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch").start()
    sys.argv[:] = [""]
    outcome = _run(order)
    events.write(msgspec.msgpack.encode(outcome))
    events.close()
    sys.stdout.flush()
    # What the function has left running (threads, a debugger) must not keep the next one waiting.
    sys.stderr.flush()
    os._exit(0)


def _run(order: Order) -> Outcome:
    from flambe.runner.failure import failure_of
    from flambe.runner.interrupt import catch_signals
    from flambe.runner.stage import StageRun

    with catch_signals():
        run = StageRun(order.unit, Path(order.scratch), echo=1 if order.echo else None)
        try:
            run.start()
            return Outcome(reports=[run.step(), run.commit()])
        except BaseException as error:
            failure = failure_of(error, order.unit)
            found: dict[str, Any] = failure._asdict()
            return Outcome(streams=run.drain(), **found)


__all__ = ["OwnProcess", "Outcome", "serve"]
