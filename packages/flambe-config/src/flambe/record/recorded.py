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
from flambe.record.columns import chosen_of, config_of, has_one_stage, info_of, plain
from flambe.record.inside import folders, leads_out, read_lines
from flambe.record.ledger import LedgerState
from flambe.record.recorded_artifact import RecordedArtifact, find_artifacts
from flambe.record.run import (
    COMPLETE,
    FAILED,
    LOST,
    PAUSED,
    PRUNED,
    RUNNING,
    RunRecord,
    StageRecord,
    decode_record,
    now,
    status_of,
)
from flambe.record.series import aligned, summary_of
from flambe.record.watched import LedgerTail, Watched
from flambe.spec.codec import load_spec
from flambe.spec.nodes import Spec, stages_needed

_LINES = ".jsonl"
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
    params: full dotted path → plain value; chosen: the same in node form. needs: stage → unit. path: its folder, None when its name is no file name.
    seconds: from its first start to its end, or until now.
    """

    def __init__(self, run: RecordedRun, stage: str, variant: str) -> None:
        self.run = run
        self.stage = stage
        self.variant = variant
        # The names come from files that anybody may have written: they must not lead out of the run.
        safe = _is_file_name(stage) and _is_file_name(variant)
        safe = safe and not leads_out(str(run.path), layout.STAGES, stage, variant)
        self.path = run.paths.unit(stage, variant).root if safe else None
        self.status = PENDING
        self.params: dict[str, Any] = {}
        self.chosen: dict[str, Any] = {}
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
        return [name.removesuffix(_LINES) for name in _files(self._folder(layout.METRICS)) if name.endswith(_LINES)]

    def metrics(self, log: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of one metric file, in order. Raises ConfigError when a line in the middle is broken."""
        folder = self._folder(layout.METRICS)
        if folder is None or not _is_file_name(log):
            return
        path = folder / f"{log}{_LINES}"
        try:
            for line in read_lines(path):
                if isinstance(values := msgspec.json.decode(line), dict):
                    yield values
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"{path} {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is no metric file: {error}") from error

    def series(self, log: str) -> dict[str, list[Any]]:
        """Return the columns of one metric file, all of equal length: key → a value for each line, None where it has none.

        Raises ConfigError when a line in the middle is broken.
        """
        return aligned(self.metrics(log))

    def summaries(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return (log, key) → last, first, min, max, mean, std, len, argmin and argmax of it.

        A file that cannot be read to its end counts with the lines above, and is told by ``run.problems()``.
        """
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for log in self.logs():
            lines: list[dict[str, Any]] = []
            try:
                for line in self.metrics(log):
                    lines.append(line)  # one by one: those above a broken one count
            except ConfigError as error:
                self.run.add_problem(str(error))
            found.update({(log, key): summary_of(values) for key, values in aligned(lines).items()})
        return found

    def artifacts(self) -> list[RecordedArtifact]:
        """Return the files that its code has left, in order of their types and names. Links are left out."""
        if self._folder(layout.ARTIFACTS) is None or self.path is None:
            return []
        return find_artifacts(self.path, layout.ARTIFACTS)

    def _folder(self, name: str) -> Path | None:
        if self.path is None or leads_out(str(self.path), name):
            return None
        return self.path / name

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

    def columns(self) -> dict[str, Any]:
        """Return ``row()``, and what it has otherwise than its run in ``info.*`` and ``config.*``."""
        row = self.row()
        own = {"info.status": "status", "info.time.started": "started", "info.time.ended": "ended", "info.path": "path"}
        info = {name: row[column] for name, column in own.items() if column in row}
        return row | info | chosen_of(self.run.record.kind, self.chosen)

    def _take_params(self, params: dict[str, Any]) -> None:
        self.chosen = params
        self.params = {path: plain(value) for path, value in params.items()}

    def _take_record(self, record: StageRecord) -> None:
        self.status = record.status
        self._take_params(record.params)
        self.needs, self.key, self.seed = record.needs, record.key, record.seed
        self.metric, self.metric_name, self.lower_is_better = record.metric, record.metric_name, record.lower_is_better
        self.step, self.complete, self.attempt, self.error = record.step, record.complete, record.attempt, record.error
        self.started, self.ended, self.reused_from = record.time.started, record.time.ended, record.reused_from

    def _take_events(self, state: LedgerState, started: str | None) -> None:
        plan = state.planned[self.id]
        self.status = _STATUS[state.status_of(self.id)]
        self._take_params(plan.get("params") or {})
        self.needs, self.key = {str(s): str(u) for s, u in (plan.get("needs") or {}).items()}, str(plan.get("key", ""))
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
        self._record = Watched[RunRecord | None](self.paths.record, self._read_record, None)
        self._spec = Watched[Spec | None](
            self.paths.spec, lambda data: load_spec(data, where=str(self.paths.spec)), None
        )
        self._problems: list[str] = []
        self._ledger = LedgerTail(self.paths.ledger)
        self._unit_records: dict[Path, Watched[StageRecord | None]] = {}
        self._lock = threading.Lock()

    def _read_record(self, data: bytes) -> RunRecord:
        return decode_record(data, RunRecord, where=str(self.paths.record))

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
        try:
            return status_of(self.record)
        except (ValueError, OverflowError):  # its times or its process are none
            return LOST

    @property
    def spec(self) -> Spec | None:
        """What was to be run, None when ``spec.json`` is missing or cannot be read."""
        return self._spec.get()

    def problems(self) -> list[str]:
        """Return what could not be read so far."""
        found = [self._record.problem, self._spec.problem, self._ledger.problem]
        found += [watched.problem for watched in list(self._unit_records.values())]
        return [problem for problem in found if problem] + self._problems

    def add_problem(self, problem: str) -> None:
        """Remember something that could not be read."""
        if problem not in self._problems:
            self._problems.append(problem)

    def ledger(self) -> LedgerState:
        """Return what the ledger amounts to now. Do not change it."""
        with self._lock:
            return self._ledger.refresh()

    def units(self) -> list[RecordedUnit]:
        """Return every unit that is planned or has a folder: in order of stages, then of plan."""
        lost = self.status == LOST
        with self._lock:
            state = self._ledger.refresh()
            names = dict.fromkeys(_names(event) for event in state.planned.values())
            # Without a ledger (another tool's run, a copy in part) the folders tell.
            names.update(dict.fromkeys(() if names else self._unit_folders()))
            units = []
            for stage, variant in names:
                unit = RecordedUnit(self, stage, variant)
                record = self._unit_record(unit)
                if record is not None:
                    unit._take_record(record)
                if unit.id in state.planned:
                    try:
                        unit._take_events(state, self._ledger.started.get(unit.id))
                    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                        self.add_problem(f"{self.paths.ledger}: the events of {unit.id} are none ({error!r})")
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

    def bare_unit(self, unit: str) -> RecordedUnit:
        """Return the unit ``stage/variant`` with its folder, and nothing else of what is known of it."""
        stage, _, variant = unit.partition("/")
        return RecordedUnit(self, stage, variant)

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

    def row(self, units: list[RecordedUnit] | None = None) -> dict[str, Any]:
        """Return what is known, by the names of ``RUN_COLUMNS``.

        stage, metric, best: of the last stage that has a metric, its best unit.
        """
        record, units = self.record, self.units() if units is None else units
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

    def columns(self, units: list[RecordedUnit] | None = None) -> dict[str, Any]:
        """Return ``row()``, and the columns ``info.*``, ``config.*`` and ``params.*`` of ``flambe.record.columns``."""
        units = self.units() if units is None else units
        spec, chosen = self.spec, self.chosen(units)
        config = config_of(spec, chosen) if spec else chosen_of(self.record.kind, chosen)
        params = {f"params.{path}": plain(value) for path, value in chosen.items()}
        return self.row(units) | info_of(self.record, self.status, str(self.path)) | config | params

    def chosen(self, units: list[RecordedUnit] | None = None) -> dict[str, Any]:
        """Return the parameters, in node form, of the variants that stand for their stages."""
        whole: dict[str, Any] = {}
        for unit in self.standing(units).values():
            whole |= unit.chosen
        return whole

    def standing(self, units: list[RecordedUnit] | None = None) -> dict[str, RecordedUnit]:
        """Return stage → the variant that stands for it in the row of the run: its best, else its only one, else none."""
        units = self.units() if units is None else units
        found: dict[str, RecordedUnit] = {}
        for stage in dict.fromkeys(unit.stage for unit in units):
            there = [unit for unit in units if unit.stage == stage]
            best = next((unit for unit in there if unit.best), there[0] if len(there) == 1 else None)
            if best is not None:
                found[stage] = best
        return found

    def metric_name(self, unit: RecordedUnit, name: str) -> str:
        """Return how the row of the run calls the metric ``<log>.<key>`` of a unit."""
        return name if has_one_stage(self.record.kind) else f"{unit.stage}/{name}"

    def seconds(self) -> float | None:
        """Return how long the run took, or is taking; a lost one until its last sign of life."""
        record = self.record
        if record.time.started is None:
            return None
        alive = self.status == RUNNING
        return _between(record.time.started, record.time.ended or (now() if alive else record.time.heartbeat))

    def _unit_folders(self) -> Iterator[tuple[str, str]]:
        stages = self.path / layout.STAGES
        if stages.is_symlink():
            return
        for stage in sorted(folders(stages), key=natural):
            for variant in sorted(folders(stages / stage), key=natural):
                if (stages / stage / variant / layout.RUN).is_file():
                    yield stage, variant

    def _unit_record(self, unit: RecordedUnit) -> StageRecord | None:
        if unit.path is None:
            return None
        path = unit.path / layout.RUN
        if path not in self._unit_records:
            self._unit_records[path] = Watched(
                path, lambda data: decode_record(data, StageRecord, where=str(path)), None
            )
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


def _names(event: dict[str, Any]) -> tuple[str, str]:
    stage, _, variant = str(event["unit"]).partition("/")
    return str(event.get("stage", stage)), str(event.get("variant", variant))


def _files(folder: Path | None) -> list[str]:
    """Return the names of the plain files in a folder, sorted; none where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False)) if folder else []
    except OSError:
        return []


def _between(start: str, end: str | None) -> float | None:
    if end is None:
        return None
    try:
        first, last = (datetime.datetime.fromisoformat(stamp) for stamp in (start, end))
        return round(max(0.0, (last - first).total_seconds()), 3)
    except (ValueError, TypeError):  # no times, or one of them without a zone
        return None
