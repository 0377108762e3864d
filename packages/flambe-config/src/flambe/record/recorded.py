"""One run directory as its readers see it: how it stands, and what its units came to.

Reads only, and never runs what it reads. A run that is being written, was killed or was copied in part is readable;
what cannot be read is told by ``problems()`` and the rest goes on.
"""

from __future__ import annotations

import datetime
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from flambe.errors import ConfigError
from flambe.record import layout
from flambe.record.ledger import LedgerState
from flambe.record.metrics import read_metrics
from flambe.record.run import (
    COMPLETE,
    FAILED,
    LOST,
    PAUSED,
    PRUNED,
    RUNNING,
    RunRecord,
    StageRecord,
    now,
    read_record,
    status_of,
)
from flambe.record.watched import LedgerTail, Watched
from flambe.spec.codec import load_spec, unescape
from flambe.spec.nodes import Spec, stages_needed

PENDING = "PENDING"
"""Derived by readers only: a unit that is planned and has not begun."""

RUN_COLUMNS = (
    "run", "id", "name", "index", "kind", "status", "status_reason", "stage", "metric_name", "metric",
    "lower_is_better", "best", "expected", "done", "reused", "failed", "pruned", "running", "pending", "seconds",
    "created", "started", "ended", "host", "tool", "spec_digest", "result_digest",
)  # fmt: skip
UNIT_COLUMNS = (
    "run", "unit", "stage", "variant", "status", "metric_name", "metric", "lower_is_better", "best", "kept", "step",
    "complete", "seconds", "attempt", "error", "started", "ended", "key", "seed", "reused_from", "path",
)  # fmt: skip

_STATUS = {
    "pending": PENDING, "running": RUNNING, "paused": PAUSED, "done": COMPLETE, "failed": FAILED, "pruned": PRUNED
}  # fmt: skip


class RecordedUnit:
    """One variant of one stage, as far as it came.

    best: the best of its stage so far. kept: whether later stages see it, once its stage was reduced.
    params: full dotted path → plain value. needs: stage → unit. path: its folder, None when its name is no file name.
    seconds: from its first start to its end, or until now.
    """

    def __init__(self, run: RecordedRun, stage: str, variant: str) -> None:
        self.run = run
        self.stage = stage
        self.variant = variant
        # The names come from files that anybody may have written: they must not lead out of the run.
        safe = _is_file_name(stage) and _is_file_name(variant)
        self.path = run.paths.unit(stage, variant).root if safe else None
        self.status = PENDING
        self.params: dict[str, Any] = {}
        self.needs: dict[str, str] = {}
        self.key = ""
        self.seed: int | None = None
        self.metric: float | None = None
        self.metric_name: str | None = None
        self.lower_is_better: bool | None = None
        self.best = False
        self.kept: bool | None = None
        self.step: int | None = None
        self.complete: bool | None = None
        self.attempt: int | None = None
        self.error: str | None = None
        self.started: str | None = None
        self.ended: str | None = None
        self.reused_from: str | None = None

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.variant}"

    @property
    def seconds(self) -> float | None:
        if self.started is None:
            return None
        end = self.ended or (now() if self.status in (RUNNING, PAUSED) else None)
        return _between(self.started, end)

    def logs(self) -> list[str]:
        """Return the names of the metric files there are, without their suffix."""
        if self.path is None:
            return []
        return sorted(path.stem for path in (self.path / layout.METRICS).glob("*.jsonl"))

    def metrics(self, log: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of one metric file, in order. Raises ConfigError when a line in the middle is broken."""
        if self.path is None or not _is_file_name(log):
            return
        path = self.path / layout.METRICS / f"{log}.jsonl"
        try:
            for line in read_metrics(path):
                if isinstance(line, dict):
                    yield line
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{path} is no metric file: {error}") from error

    def row(self) -> dict[str, Any]:
        """Return what is known, by the names of ``UNIT_COLUMNS`` and ``params.<dotted path>``."""
        row = {
            "run": str(self.run.path), "unit": self.id, "stage": self.stage, "variant": self.variant,
            "status": self.status, "metric_name": self.metric_name, "metric": self.metric,
            "lower_is_better": self.lower_is_better, "best": self.best, "kept": self.kept, "step": self.step,
            "complete": self.complete, "seconds": self.seconds, "attempt": self.attempt, "error": self.error,
            "started": self.started, "ended": self.ended, "key": self.key or None, "seed": self.seed,
            "reused_from": self.reused_from, "path": str(self.path) if self.path else None,
        }  # fmt: skip
        row = {name: value for name, value in row.items() if value is not None}
        return row | {f"params.{path}": value for path, value in self.params.items()}

    def _take_record(self, record: StageRecord) -> None:
        self.status = record.status
        self.params = _plain_params(record.params)
        self.needs, self.key, self.seed = record.needs, record.key, record.seed
        self.metric, self.metric_name, self.lower_is_better = record.metric, record.metric_name, record.lower_is_better
        self.step, self.complete, self.attempt, self.error = record.step, record.complete, record.attempt, record.error
        self.started, self.ended, self.reused_from = record.time.started, record.time.ended, record.reused_from

    def _take_events(self, state: LedgerState, started: str | None) -> None:
        plan = state.planned[self.id]
        self.status = _STATUS[state.status_of(self.id)]
        self.params = _plain_params(plan.get("params") or {})
        self.needs, self.key = plan.get("needs") or {}, plan.get("key", "")
        self.started = started or self.started
        self.attempt = state.attempts.get(self.id, self.attempt)
        reports = state.reports.get(self.id)
        end = state.done.get(self.id) or state.failed.get(self.id) or state.pruned.get(self.id)
        for event in (reports[-1] if reports else None, end):
            if event is not None:
                self.step = event.get("step", self.step)
                self.metric = event["metric"] if event.get("metric") is not None else self.metric
                self.lower_is_better = event.get("lower_is_better", self.lower_is_better)
        if end is not None:
            self.complete = end.get("complete", self.complete)
            self.error = end.get("error", self.error)
            self.reused_from = end.get("source", self.reused_from)
            if end["event"] != "reuse":  # its time is the time of the run that did the work
                self.ended = end.get("t", self.ended)
            if end["event"] == "prune":
                self.error = self.error or end.get("why")
        if self.stage in state.reduced:
            self.kept = self.id in state.reduced[self.stage].get("kept", ())


class RecordedRun:
    """One run directory. Everything is read when it is asked for, and again when a file has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.paths = layout.RunPaths(self.path)
        self._record = Watched[RunRecord | None](self.paths.record, lambda file: read_record(file, RunRecord), None)
        self._spec = Watched[Spec | None](
            self.paths.spec, lambda file: load_spec(file.read_bytes(), where=str(file)), None
        )
        self._ledger = LedgerTail(self.paths.ledger)
        self._unit_records: dict[Path, Watched[StageRecord | None]] = {}
        self._lock = threading.Lock()

    @property
    def record(self) -> RunRecord:
        """The run's ``run.json``. Raises ConfigError when it cannot be read."""
        record = self._record.get()
        if record is None:
            raise ConfigError(self._record.problem or f"{self.paths.record} is gone")
        return record

    @property
    def status(self) -> str:
        """The state to show; ``LOST`` when it says RUNNING and nobody is there."""
        return status_of(self.record)

    @property
    def spec(self) -> Spec | None:
        """What was to be run, None when ``spec.json`` is missing or cannot be read."""
        return self._spec.get()

    def problems(self) -> list[str]:
        """Return what could not be read so far."""
        found = [self._record.problem, self._spec.problem, self._ledger.problem]
        found += [watched.problem for watched in list(self._unit_records.values())]
        return [problem for problem in found if problem]

    def ledger(self) -> LedgerState:
        """Return what the ledger amounts to now. Do not change it."""
        with self._lock:
            return self._ledger.refresh()

    def units(self) -> list[RecordedUnit]:
        """Return every unit that is planned or has a folder: in order of stages, then of plan."""
        lost = self.status == LOST
        with self._lock:
            state = self._ledger.refresh()
            names = dict.fromkeys((str(e["stage"]), str(e["variant"])) for e in state.planned.values())
            # Without a ledger (another tool's run, a copy in part) the folders tell.
            names.update(dict.fromkeys(() if names else self._unit_folders()))
            units = []
            for stage, variant in names:
                unit = RecordedUnit(self, stage, variant)
                record = self._unit_record(unit)
                if record is not None:
                    unit._take_record(record)
                if unit.id in state.planned:
                    unit._take_events(state, self._ledger.started.get(unit.id))
                if lost and unit.status == RUNNING:
                    unit.status = LOST
                units.append(unit)
        order = {stage: place for place, stage in enumerate(self.stages(units))}
        units.sort(key=lambda unit: order[unit.stage])
        for stage in order:
            best = self._best(stage, [unit for unit in units if unit.stage == stage])
            # "best" also points at the only unit of a stage that nothing measures; that is no comparison.
            if best is not None and best.metric is not None:
                best.best = True
        return units

    def stages(self, units: list[RecordedUnit] | None = None) -> list[str]:
        """Return the names of the stages, in the order of the spec where there is one."""
        names = dict.fromkeys(stage.name for stage in self.spec.stages) if self.spec else {}
        names.update(dict.fromkeys(unit.stage for unit in (self.units() if units is None else units)))
        return list(names)

    def needs(self, units: list[RecordedUnit] | None = None) -> dict[str, list[str]]:
        """Return, for each stage, the stages it links to."""
        units = self.units() if units is None else units
        stages = self.stages(units)
        needs: dict[str, dict[str, None]] = {stage: {} for stage in stages}
        if self.spec:
            for stage in self.spec.stages:
                needs[stage.name] = dict.fromkeys(stages_needed(stage))
        for unit in units:
            if not self.spec:
                needs[unit.stage].update(dict.fromkeys(unit.needs))
        return {stage: [name for name in above if name in needs and name != stage] for stage, above in needs.items()}

    def counts(self, units: list[RecordedUnit] | None = None) -> dict[str, int]:
        """Return expected = done + failed + pruned + running + pending units; of the done, how many were reused."""
        units = self.units() if units is None else units
        counts = {"expected": len(units), "done": 0, "reused": 0, "failed": 0, "pruned": 0, "running": 0, "pending": 0}
        for unit in units:
            name = {COMPLETE: "done", FAILED: "failed", PRUNED: "pruned", RUNNING: "running"}.get(unit.status)
            counts[name or "pending"] += 1
            counts["reused"] += unit.reused_from is not None and unit.status == COMPLETE
        return counts

    def row(self) -> dict[str, Any]:
        """Return what is known, by the names of ``RUN_COLUMNS``.

        stage, metric, best: of the last stage that has a metric, its best unit.
        """
        record, units = self.record, self.units()
        best = next((unit for unit in reversed(units) if unit.best), None)
        row = {
            "run": str(self.path), "id": record.id, "name": record.name, "index": record.index, "kind": record.kind,
            "status": self.status, "status_reason": record.status_reason or record.exit.error,
            "stage": best and best.stage, "metric_name": best and best.metric_name, "metric": best and best.metric,
            "lower_is_better": best and best.lower_is_better, "best": best and best.id,
            **(self.counts(units) if units else record.counts),
            "seconds": self.seconds(), "created": record.time.created, "started": record.time.started,
            "ended": record.time.ended, "host": record.host and record.host.name,
            "tool": " ".join(filter(None, (record.tool.get("name"), record.tool.get("version")))) or None,
            "spec_digest": record.spec_digest, "result_digest": record.result_digest,
        }  # fmt: skip
        return {name: value for name, value in row.items() if value is not None}

    def seconds(self) -> float | None:
        """Return how long the run took, or is taking; a lost one until its last sign of life."""
        record = self.record
        if record.time.started is None:
            return None
        alive = self.status == RUNNING
        return _between(record.time.started, record.time.ended or (now() if alive else record.time.heartbeat))

    def _unit_folders(self) -> Iterator[tuple[str, str]]:
        stages = self.path / layout.STAGES
        for record in sorted(stages.glob(f"*/*/{layout.RUN}"), key=lambda path: natural(str(path))):
            if not record.parent.is_symlink():
                yield record.parent.parent.name, record.parent.name

    def _unit_record(self, unit: RecordedUnit) -> StageRecord | None:
        if unit.path is None:
            return None
        path = unit.path / layout.RUN
        if path not in self._unit_records:
            self._unit_records[path] = Watched(path, lambda file: read_record(file, StageRecord), None)
        return self._unit_records[path].get()

    def _best(self, stage: str, units: list[RecordedUnit]) -> RecordedUnit | None:
        """Return the unit that the run itself called best; else the best metric among the finished."""
        if _is_file_name(stage) and (link := self.paths.best(stage)).is_symlink():
            chosen = os.path.basename(os.readlink(link))
            for unit in units:
                if unit.variant == chosen:
                    return unit
        done = [unit for unit in units if unit.status == COMPLETE and unit.metric is not None]
        return min(done, key=lambda unit: (unit.metric or 0.0) * (1 if unit.lower_is_better else -1), default=None)


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key by which ``exp.10`` comes after ``exp.2``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _is_file_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _plain_params(params: dict[str, Any]) -> dict[str, Any]:
    return {path: _plain(unescape(value)) for path, value in params.items()}


def _plain(value: Any) -> Any:
    """Return a value that a column may hold: objects and bytes by their label."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else layout.label(value)


def _between(start: str, end: str | None) -> float | None:
    if end is None:
        return None
    first, last = (datetime.datetime.fromisoformat(stamp) for stamp in (start, end))
    return round(max(0.0, (last - first).total_seconds()), 3)
