"""``ledger.jsonl``: every plan, result and decision of a run, one event a line. The only truth of a run.

The events and their fields are listed in docs/run-directory.md. One process appends (it holds a lock on the file);
anybody reads. A torn last line, left by a kill, is ignored by readers and cut off by the next writer; so is everything after a
zero byte, which only a machine that lost its power leaves. A metric that is no finite number is written as text, as in metric
lines, and read back as the number it was.
"""

from __future__ import annotations

import fcntl
import math
import os
import sys
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from flambe.errors import ConfigError, FlambeError, ProvenanceError
from flambe.record.metrics import plain_number
from flambe.record.run import now

Event = dict[str, Any]

EXPECTED, DONE, REUSED, FAILED, PRUNED, PENDING = "expected", "done", "reused", "failed", "pruned", "pending"
EXPLOIT = "exploit"
TAKEOVER = ("step", "donor", "donor_step", "choice")
"""What a record tells of such a decision."""

_UNSETTLING = frozenset({"plan", "start", "fail", "prune"})


@dataclass
class LedgerState:
    """What the events so far amount to.

    done holds the ``commit`` or ``reuse`` event of a unit, steps the last step whose checkpoint was kept, failures how many
    of its attempts raised, takeovers its decisions ``exploit``, running the ``start`` event of an attempt that has not ended, settled the ``settle`` event of a stage
    in which nothing has happened since. A unit is in at most one of done, failed, pruned: the one that came last. A ``plan`` with another key (its code has changed) begins its unit anew.
    """

    events: list[Event] = field(default_factory=list)
    planned: dict[str, Event] = field(default_factory=dict)
    running: dict[str, Event] = field(default_factory=dict)
    paused: dict[str, Event] = field(default_factory=dict)
    done: dict[str, Event] = field(default_factory=dict)
    failed: dict[str, Event] = field(default_factory=dict)
    pruned: dict[str, Event] = field(default_factory=dict)
    reports: dict[str, list[Event]] = field(default_factory=dict)
    takeovers: dict[str, list[Event]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    reduced: dict[str, Event] = field(default_factory=dict)
    settled: dict[str, Event] = field(default_factory=dict)
    closed: Event | None = None

    def apply(self, event: Event) -> None:
        """Take one more event into account."""
        self.events.append(event)
        kind, unit = event["event"], event.get("unit", "")
        if unit and type(unit) is str:
            unit = event["unit"] = sys.intern(unit)  # a search of 10,000 variants has 40,000 events
        if self.settled and kind in _UNSETTLING:
            self._unsettle(unit.partition("/")[0])
        if kind == "open":
            # Whatever ran belonged to a process that is gone.
            self.running.clear()
            self.closed = None
        elif kind == "plan":
            if unit in self.planned:
                self.reduced.pop(event.get("stage", ""), None)
            self.planned[unit] = event
            self._leave(unit)
            # What came so far was of another key.
            for known in (self.reports, self.takeovers, self.steps, self.failures):
                known.pop(unit, None)
        elif kind == "start":
            self._leave(unit)
            self.running[unit] = event
            self.attempts[unit] = event["attempt"]
            self.fall_back(unit, event["from_step"])
        elif kind == "report":
            self.reports.setdefault(unit, []).append(event)
            if event.get("kept"):
                self.steps[unit] = event["step"]
        elif kind == "decision" and event.get("decision") == EXPLOIT:
            self.takeovers.setdefault(unit, []).append(event)
        elif kind == "pause":
            self._leave(unit)
            self.paused[unit] = event
        elif kind in ("commit", "reuse"):
            self._leave(unit)
            self.done[unit] = event
        elif kind == "fail":
            self._leave(unit)
            self.failures[unit] = self.failures.get(unit, 0) + 1
            if event["final"]:
                self.failed[unit] = event
        elif kind == "prune":
            self._leave(unit)
            self.pruned[unit] = event
        elif kind == "reduce":
            self.reduced[event["stage"]] = event
        elif kind == "settle":
            self.settled.update(dict.fromkeys(event["stages"], event))
        elif kind == "close":
            self.running.clear()
            self.closed = event

    def above(self, unit: str) -> dict[str, str]:
        """Return stage → variant of everything that a unit needs, itself or through others."""
        found: dict[str, str] = {}
        todo = [unit]
        while todo:
            for stage, need in self.planned.get(todo.pop(), {"needs": {}})["needs"].items():
                if stage not in found:
                    found[stage] = need.partition("/")[2]
                    todo.append(need)
        return found

    def made_with(self, unit: str) -> dict[str, Any]:
        """Return the parameters that the result of a unit is made with: those that it began with, as takeovers have changed them."""
        params: dict[str, Any] = self.planned[unit].get("params") or {}
        return {**params, **self.explored(unit)} if self.takeovers else params

    def explored(self, unit: str) -> dict[str, Any]:
        """Return those parameters of a unit, own and inherited, that a population has changed: its name has what it began with."""
        if not self.takeovers:
            return {}
        lineage = [unit, *(f"{stage}/{variant}" for stage, variant in self.above(unit).items())]
        return {
            f"{one.partition('/')[0]}.{path}": value
            for one in lineage
            for event in self.takeovers.get(one, ())
            for path, value in event["choice"].items()
        }

    def taken_over(self, unit: str) -> list[dict[str, Any]]:
        """Return what a unit has taken over, in the words of its record; a process that went on may have written one again."""
        by_step = {event["step"]: event for event in self.takeovers.get(unit, ())}
        return [{name: event[name] for name in TAKEOVER} for event in by_step.values()]

    def is_planned(self, unit: str, key: str, needs: Iterable[str]) -> bool:
        """Whether a unit is expected with a key, and nothing that it needs (ids) has begun anew since."""
        planned = self.planned.get(unit)
        if planned is None or planned["key"] != key:
            return False
        return all(self.planned[need]["n"] < planned["n"] for need in needs if need in self.planned)

    def is_done(self, unit: str, key: str) -> bool:
        """Whether a unit is done with a key."""
        return unit in self.done and self.done[unit]["key"] == key

    def fall_back(self, unit: str, step: int) -> None:
        """Forget the reports of the steps after ``step``: a unit that begins from there has not done them."""
        self.reports[unit] = [report for report in self.reports.get(unit, []) if report["step"] <= step]
        self.steps[unit] = step

    def _unsettle(self, stage: str) -> None:
        for other in self.settled[stage]["stages"] if stage in self.settled else ():
            self.settled.pop(other, None)

    def _leave(self, unit: str) -> None:
        for place in (self.running, self.paused, self.done, self.failed, self.pruned):
            place.pop(unit, None)

    def counts(self) -> dict[str, int]:
        """Return expected = done + failed + pruned + pending, and how many of the done ones were reused.

        Another thread may add events meanwhile.
        """
        ended = len(self.done) + len(self.failed) + len(self.pruned)
        return {
            EXPECTED: len(self.planned),
            DONE: len(self.done),
            REUSED: sum(event["event"] == "reuse" for event in list(self.done.values())),
            FAILED: len(self.failed),
            PRUNED: len(self.pruned),
            PENDING: len(self.planned) - ended,
        }

    def status_of(self, unit: str) -> str:
        """Return ``pending``, ``running``, ``paused``, ``done``, ``failed`` or ``pruned``."""
        for name in ("done", "failed", "pruned", "running", "paused"):
            if unit in getattr(self, name):
                return name
        return PENDING


def read_events(path: Path) -> list[Event]:
    """Return the events of a ledger in order; a missing file has none, a torn last line is left out.

    Raises ConfigError naming the line that is no event.
    """
    try:
        return _decode(path.read_bytes(), path)
    except FileNotFoundError:
        return []


def read_event(line: bytes) -> Event:
    """Return the event of one line. Raises ValueError for what is none."""
    event: Event = _decoder.decode(line)
    metric = event.get("metric")
    if isinstance(metric, str):
        event["metric"] = float(metric)
    return event


_decoder = msgspec.json.Decoder(dict[str, Any])


def _decode(data: bytes, path: Path) -> list[Event]:
    events = []
    for number, line in enumerate(data[: _whole(data)].splitlines(), start=1):
        try:
            events.append(read_event(line))
        except ValueError as error:
            raise ConfigError(
                f"{path}:{number} is no event: {error}",
                expected="one JSON object a line",
                hint="Something else has written to this ledger; take the line out, or the folder away.",
            ) from error
    return events


def _whole(data: bytes) -> int:
    """Return the length of the whole lines at the beginning of a ledger."""
    zero = data.find(b"\0")
    return data.rfind(b"\n", 0, zero if zero >= 0 else len(data)) + 1


def spec_left_open(path: Path) -> str | None:
    """Return the digest of the spec of a run whose ledger says that it was opened and never ended; None otherwise."""
    try:
        events = read_events(path)
    except (OSError, ConfigError):
        return None
    opened = [event for event in events if event["event"] in ("open", "close")]
    return str(opened[-1]["spec"]) if opened and opened[-1]["event"] == "open" else None


def fold(events: Iterable[Event]) -> LedgerState:
    """Return what ``events`` amount to."""
    state = LedgerState()
    for event in events:
        state.apply(event)
    return state


class Ledger:
    """The writer of a ledger. Opening it takes the file's lock, which no child of this process inherits.

    Raises ProvenanceError when another live process holds it, ConfigError when its content is no ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            data = path.read_bytes()
            self._size = _whole(data)
            if self._size != len(data):
                os.ftruncate(self._descriptor, self._size)
            self.state = fold(_decode(data, path))
        except BaseException:
            os.close(self._descriptor)
            raise
        self._encoder = msgspec.json.Encoder()
        _open.add(self)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProvenanceError(
                f"{self.path.parent} is being written by another process", hint="Wait for it, or stop it first."
            ) from None
        except OSError as error:
            raise FlambeError(
                f"{self.path} cannot be locked: {error.strerror}", hint="Write runs on a disk that has file locks."
            ) from error

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event; it survives the death of this process. See ``sync`` for the death of the machine.

        Raises OSError, and has written nothing, when the disk is full.
        """
        line: Event = {"n": len(self.state.events), "t": now(), "event": event, **fields}
        metric = fields.get("metric")
        finite = metric is None or math.isfinite(metric)
        self._write(self._encoder.encode(line if finite else {**line, "metric": plain_number(metric)}) + b"\n")
        self.state.apply(line)
        return line

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            # The next line must not begin in the middle of this one.
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def sync(self) -> None:
        """Wait until all events are on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give the lock back."""
        _open.discard(self)
        os.close(self._descriptor)


_open: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _let_go() -> None:
    # A lock belongs to the open file, which a fork shares: a child that outlives this process would hold it on.
    for ledger in _open:
        os.close(ledger._descriptor)
    _open.clear()


os.register_at_fork(after_in_child=_let_go)
