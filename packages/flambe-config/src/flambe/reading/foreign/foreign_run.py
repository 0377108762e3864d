"""A run of another tool, seen as one of ours: a single unit, whose folder is that of the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from flambe.reading.columns import flatten, info_of
from flambe.reading.recorded import RecordedRun, RecordedUnit
from flambe.record.ledger import LedgerState
from flambe.record.run import RunRecord
from flambe.spec.nodes import Spec

STAGE, VARIANT = "main", "0"


class ForeignRun(RecordedRun, ABC):
    """What the readers of each tool have in common. They give ``read_config``, ``make_record`` and ``make_unit``."""

    @abstractmethod
    def read_config(self) -> dict[str, Any]:
        """Return the options of the run, as plain data. Raises ConfigError when they cannot be read."""

    @abstractmethod
    def make_record(self) -> RunRecord:
        """Return what is known of the run, as a record of ours. Raises ConfigError when it cannot be read."""

    @abstractmethod
    def make_unit(self) -> RecordedUnit:
        """Return an empty unit that finds metrics and artifacts where the tool puts them."""

    def more_info(self) -> Mapping[str, Any]:
        """Return what the tool knows of a run and a record of ours has no place for: columns below ``info.``."""
        return {}

    @cached_property
    def record(self) -> RunRecord:
        return self.make_record()

    @property
    def status(self) -> str:
        return self.record.status

    @property
    def spec(self) -> Spec | None:
        return None

    def ledger(self) -> LedgerState:
        return LedgerState()

    def units(self) -> list[RecordedUnit]:
        unit = self.bare_unit("")
        record = self.record
        unit.status, unit.started, unit.ended = record.status, record.time.started, record.time.ended
        return [unit]

    def bare_unit(self, unit: str) -> RecordedUnit:
        made = self.make_unit()
        made.place = self.place
        return made

    def stages(self, units: list[RecordedUnit] | None = None) -> list[str]:
        return [STAGE]

    def needs(self, units: list[RecordedUnit] | None = None) -> dict[str, list[str]]:
        return {STAGE: []}

    def row(self, units: list[RecordedUnit] | None = None) -> dict[str, Any]:
        return {name: value for name, value in super().row(units).items() if value != "" and name not in _NOT_KNOWN}

    def columns(self, units: list[RecordedUnit] | None = None) -> dict[str, Any]:
        info = info_of(self.record, self.status, str(self.path))
        kept = {
            name: value
            for name, value in info.items()
            if value not in ("", {}) and name.removeprefix("info.") not in _NOT_KNOWN
        }
        more = {f"info.{name}": value for name, value in self.more_info().items()}
        return self.row(units) | kept | more | flatten(self.read_config(), "config")


_NOT_KNOWN = (
    "flambe_record",
    "id",
    "spec_digest",
    "expected",
    "done",
    "reused",
    "failed",
    "pruned",
    "running",
    "pending",
)

__all__ = ["STAGE", "VARIANT", "ForeignRun"]
