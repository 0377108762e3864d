"""Runs of expyrun: ``exp.<i>/`` with ``config.yml`` (whose ``__run__`` says what ran) and ``outputs.log``, and no record of how it went."""

from __future__ import annotations

import datetime
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from flambe.errors import ConfigError
from flambe.reading.foreign.foreign_run import STAGE, VARIANT, ForeignRun
from flambe.reading.foreign.plain_yaml import read_yaml
from flambe.reading.inside import read_file
from flambe.reading.recorded import RecordedUnit
from flambe.record.layout import CONFIG
from flambe.record.run import RunRecord, Times

_RUN = "__run__"
_OURS = "__resolved__"


def is_expyrun(path: Path) -> bool:
    """Whether a folder with a ``config.yml`` is a run of expyrun, and none of ours that was cut short."""
    try:
        text = read_file(path / CONFIG)
    except OSError:
        return False
    return text.startswith(f"{_RUN}:".encode()) or (f"\n{_RUN}:".encode() in text and _OURS.encode() not in text)


class ExpyrunRun(ForeignRun):
    """One numbered folder. Whether it went well is not written anywhere, so it has no status."""

    @cached_property
    def _config(self) -> dict[str, Any]:
        return read_yaml(self.path / CONFIG)

    def read_config(self) -> dict[str, Any]:
        return {name: value for name, value in self._config.items() if name != _RUN}

    def make_record(self) -> RunRecord:
        run = self._config.get(_RUN)
        if not isinstance(run, dict):
            raise ConfigError(f"{self.path / CONFIG} has no {_RUN}")
        modified = os.stat(self.path / CONFIG, follow_symlinks=False).st_mtime
        created = datetime.datetime.fromtimestamp(modified, datetime.UTC).isoformat(timespec="milliseconds")
        return RunRecord(
            id="",
            kind="function",
            name=str(run.get("__name__") or self.path.parent.name),
            index=int(self.path.name.partition(".")[2]),
            status="",
            spec_digest="",
            time=Times(created=created.replace("+00:00", "Z")),
            tool={"name": "expyrun"},
            entry=str(run["__main__"]) if run.get("__main__") else None,
        )

    def make_unit(self) -> RecordedUnit:
        return RecordedUnit(self, STAGE, VARIANT)


__all__ = ["ExpyrunRun", "is_expyrun"]
