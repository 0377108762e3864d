"""``ledger.jsonl``: every plan, result and decision of a run, one event a line. The only truth of a run.

The events and their fields are listed in docs/run-directory.md. One process appends (it holds a lock on the file);
anybody reads. A torn last line, left by a kill, is ignored by readers and cut off by the next writer.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from flambe.errors import ProvenanceError
from flambe.record.run import now

Event = dict[str, Any]

EXPECTED, DONE, REUSED, FAILED, PRUNED, PENDING = "expected", "done", "reused", "failed", "pruned", "pending"


@dataclass
class LedgerState:
    """What the events so far amount to.

    done holds the ``commit`` or ``reuse`` event of a unit, steps the last step whose checkpoint was kept,
    running the ``start`` event of an attempt that has not ended. A unit is in at most one of done, failed, pruned.
    """

    events: list[Event] = field(default_factory=list)
    planned: dict[str, Event] = field(default_factory=dict)
    running: dict[str, Event] = field(default_factory=dict)
    paused: dict[str, Event] = field(default_factory=dict)
    done: dict[str, Event] = field(default_factory=dict)
    failed: dict[str, Event] = field(default_factory=dict)
    pruned: dict[str, Event] = field(default_factory=dict)
    reports: dict[str, list[Event]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    reduced: dict[str, Event] = field(default_factory=dict)
    closed: Event | None = None

    def apply(self, event: Event) -> None:
        """Take one more event into account."""
        self.events.append(event)
        kind, unit = event["event"], event.get("unit", "")
        if kind == "open":
            # Whatever ran belonged to a process that is gone.
            self.running.clear()
            self.closed = None
        elif kind == "plan":
            self.planned[unit] = event
        elif kind == "start":
            self.running[unit] = event
            self.paused.pop(unit, None)
            self.attempts[unit] = event["attempt"]
            # Reports of the steps after the one that this attempt begins from did not happen.
            kept = [report for report in self.reports.get(unit, []) if report["step"] <= event["from_step"]]
            self.reports[unit] = kept
            self.steps[unit] = event["from_step"]
        elif kind == "report":
            self.reports.setdefault(unit, []).append(event)
            if event.get("kept"):
                self.steps[unit] = event["step"]
        elif kind == "pause":
            self.running.pop(unit, None)
            self.paused[unit] = event
        elif kind in ("commit", "reuse"):
            self.running.pop(unit, None)
            self.paused.pop(unit, None)
            self.done[unit] = event
        elif kind == "fail":
            self.running.pop(unit, None)
            if event["final"]:
                self.failed[unit] = event
        elif kind == "prune":
            self.running.pop(unit, None)
            self.paused.pop(unit, None)
            self.pruned[unit] = event
        elif kind == "reduce":
            self.reduced[event["stage"]] = event
        elif kind == "close":
            self.running.clear()
            self.closed = event

    def counts(self) -> dict[str, int]:
        """Return expected = done + failed + pruned + pending, and how many of the done ones were reused."""
        ended = len(self.done) + len(self.failed) + len(self.pruned)
        return {
            EXPECTED: len(self.planned),
            DONE: len(self.done),
            REUSED: sum(event["event"] == "reuse" for event in self.done.values()),
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
    """Return the events of a ledger in order; a missing file has none, a torn last line is left out."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = data[: data.rfind(b"\n") + 1]
    return [msgspec.json.decode(line) for line in whole.splitlines() if line]


def fold(events: Iterable[Event]) -> LedgerState:
    """Return what ``events`` amount to."""
    state = LedgerState()
    for event in events:
        state.apply(event)
    return state


class Ledger:
    """The writer of a ledger. Opening it takes the file's lock.

    Raises ProvenanceError when another live process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise ProvenanceError(
                f"{path.parent} is being written by another process", hint="Wait for it, or stop it first."
            ) from None
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.ftruncate(self._descriptor, whole)
        self.state = fold(read_events(path))
        self._encoder = msgspec.json.Encoder()

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event; it survives the death of this process. See ``sync`` for the death of the machine."""
        line: Event = {"n": len(self.state.events), "t": now(), "event": event, **fields}
        os.write(self._descriptor, self._encoder.encode(line) + b"\n")
        self.state.apply(line)
        return line

    def sync(self) -> None:
        """Wait until all events are on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)
