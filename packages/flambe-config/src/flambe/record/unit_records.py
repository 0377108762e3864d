"""``UnitRecords``: the records of the units of a run (``stages/*/*/run.json``), as the one who writes them has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from flambe.errors import ConfigError
from flambe.record import layout, run
from flambe.record.inputs import Input, joined
from flambe.record.ledger import LedgerState
from flambe.record.run import StageRecord, read_record, write_record

_NO_INPUTS: list[Input] = []


class UnitRecords:
    """Units are named by their ids. begun: those that ``--resume`` goes on with."""

    def __init__(self, paths: layout.RunPaths, state: LedgerState, begun: Iterable[str]) -> None:
        self._paths = paths
        self._state = state
        self._begun = set(begun)
        self._records: dict[str, StageRecord] = {}
        self._inputs: dict[str, list[Input]] = {}  # of results

    def find(self, unit: str) -> StageRecord | None:
        """Return the record of a unit; None where it never began, or its record is torn."""
        if unit not in self._records:
            with contextlib.suppress(FileNotFoundError, ConfigError):
                self._records[unit] = read_record(self._path(unit), StageRecord)
        return self._records.get(unit)

    def begin(self, unit: str, record: StageRecord) -> None:
        """Take and write the record of a unit that begins an attempt."""
        self._records[unit] = record
        self.write(unit)

    def running(self, unit: str) -> StageRecord:
        """Return the record of a unit that this process has begun."""
        return self._records[unit]

    def write(self, unit: str) -> None:
        """Write the record of a unit as it is now. Raises OSError."""
        write_record(self._path(unit), self._records[unit])

    def set_status(self, unit: str, status: str, *, reason: str | None = None, error: str | None = None) -> None:
        """Write how a unit stands, if it ever began."""
        record = self.find(unit)
        if record is None:
            return
        record.status, record.status_reason, record.error = status, reason, error
        if status in run.FINISHED:
            record.time.ended = run.now()
        self.write(unit)

    def resumes(self, unit: str) -> int:
        """Return how often a unit that begins was gone on with by ``--resume``; another attempt of the same process is not counted again."""
        goes_on = unit in self._begun
        self._begun.discard(unit)
        record = self.find(unit) if goes_on or unit in self._records else None
        return (0 if record is None else record.resumes) + goes_on

    def inputs(self, unit: str) -> list[Input]:
        """Return what was read for a unit so far."""
        record = self.find(unit)
        return record.inputs if record is not None else []

    def inputs_above(self, unit: str) -> list[Input]:
        """Return what was read for the results that a unit rests on: when that has changed, the unit's own result is stale too."""
        found: list[Input] = []
        for need in self._state.planned[unit]["needs"].values():
            if need not in self._inputs:  # an earlier process made it
                self._inputs[need] = self.inputs(need) or _NO_INPUTS
            found = joined(found, self._inputs[need])
        return found

    def keep_inputs(self, unit: str, record: StageRecord) -> None:
        """Remember what was read for a result: others will rest on it."""
        self._inputs[unit] = record.inputs or _NO_INPUTS

    def forget(self, unit: str) -> None:
        """Let go of the record of a unit that has ended: of thousands only the ledger stays in memory."""
        self._records.pop(unit, None)

    def _path(self, unit: str) -> Path:
        return self._paths.folder(unit).record


__all__ = ["UnitRecords"]
