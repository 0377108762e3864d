"""One run directory as its readers see it: how it stands, and what its units came to.

Reads only, and never runs what it reads. A run that is being written, was killed or was copied in part is readable;
what cannot be read is told by ``problems()`` and the rest goes on.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from flambe.errors import ConfigError
from flambe.reading.columns import chosen_of, config_of, has_one_stage, info_of, plain
from flambe.reading.inside import folders, is_file_name
from flambe.reading.natural import natural
from flambe.reading.recorded_unit import RecordedUnit
from flambe.reading.watched import LedgerTail, Watched
from flambe.reading.work_time import seconds_between
from flambe.record import layout
from flambe.record.ledger import LedgerState
from flambe.record.rank import is_comparable, rank
from flambe.record.run import (
    CANCELLED,
    COMPLETE,
    FAILED,
    LOST,
    PRUNED,
    RUNNING,
    RunRecord,
    StageRecord,
    decode_record,
    now,
    status_of,
)
from flambe.spec.codec import load_spec
from flambe.spec.nodes import VERSION as SPEC_VERSION
from flambe.spec.nodes import Spec, stages_needed
from flambe.spec.shape import check_shape

_RECORD: msgspec.json.Decoder[RunRecord] = msgspec.json.Decoder(RunRecord)
_UNIT: msgspec.json.Decoder[StageRecord] = msgspec.json.Decoder(StageRecord)
_SPEC: msgspec.json.Decoder[Spec] = msgspec.json.Decoder(Spec)
_MAJOR, _, _MINOR = SPEC_VERSION.partition(".")
_SPEC_VERSIONS = frozenset(f"{_MAJOR}.{minor}" for minor in range(int(_MINOR) + 1))
_Document = TypeVar("_Document", RunRecord, StageRecord, Spec)


_COUNTED = {COMPLETE: "done", FAILED: "failed", CANCELLED: "failed", PRUNED: "pruned", RUNNING: "running"}


class RecordedRun:
    """One run directory. Everything is read when it is asked for, and again when a file has changed. once: not again."""

    def __init__(self, path: str | Path, *, once: bool = False) -> None:
        # A text: of thousands of runs, paths of pathlib would take longer than reading them.
        self.place = path if isinstance(path, str) else str(path.absolute())
        self._once = once
        self._record = Watched[RunRecord | None](f"{self.place}/{layout.RUN}", self._read_record, None, once=once)
        self._spec_place = f"{self.place}/{layout.SPEC}"
        self._spec = Watched[Spec | None](self._spec_place, self._read_spec, None, once=once)
        self._sound: Spec | None = None
        """The spec that was looked through last and found to hold only what it should."""
        self._problems: list[str] = []
        self._unit_records: dict[str, Watched[StageRecord | None]] = {}
        self._lock = threading.Lock()

    @cached_property
    def path(self) -> Path:
        return Path(self.place)

    @cached_property
    def paths(self) -> layout.RunPaths:
        return layout.RunPaths(self.path)

    def give_record(self, data: bytes, stat: os.stat_result) -> None:
        """Take what somebody has read from ``run.json`` already."""
        self._record.give(data, stat)

    @cached_property
    def _ledger(self) -> LedgerTail:
        return LedgerTail(f"{self.place}/{layout.LEDGER}")

    def _read_record(self, data: bytes) -> RunRecord:
        record = _quickly(_RECORD, data) or decode_record(data, RunRecord, where=f"{self.place}/{layout.RUN}")
        if record.resumes and (newest := str(self.paths.newest(layout.SPEC))) != self._spec_place:
            self._spec_place = newest
            self._spec = Watched[Spec | None](newest, self._read_spec, None, once=self._once)
        return record

    def _read_spec(self, data: bytes) -> Spec:
        return _quickly(_SPEC, data) or load_spec(data, where=f"{self.place}/{layout.SPEC}")

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
        """What was to be run, None when ``spec.json`` is missing or cannot be read; of a run that was gone on with by another config
        the last one.
        """
        self._record.get()  # which says where it is
        spec = self._spec.get()
        if spec is not None and spec is not self._sound:
            try:
                check_shape(spec, f"{self.place}/{layout.SPEC}")
            except (ConfigError, RecursionError) as error:
                self.add_problem(str(error))
                return None
            self._sound = spec
        return spec

    def problems(self) -> list[str]:
        """Return what could not be read so far."""
        found = [self._record.problem, self._spec.problem]
        if "_ledger" in self.__dict__:  # it was asked for
            found.append(self._ledger.problem)
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
                        unit._take_events(state, self._ledger.work)
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
        spec = self._spec.get()
        names = dict.fromkeys(stage.name for stage in spec.stages) if spec else {}
        names.update(dict.fromkeys(unit.stage for unit in (self.units() if units is None else units)))
        return list(names)

    def needs(self, units: list[RecordedUnit] | None = None) -> dict[str, list[str]]:
        """Return, for each stage, the stages it links to."""
        units = self.units() if units is None else units
        stages, spec = self.stages(units), self.spec
        needs: dict[str, dict[str, None]] = {stage: {} for stage in stages}
        if spec:
            for stage in spec.stages:
                needs[stage.name] = dict.fromkeys(stages_needed(stage))
        for unit in units:
            if not spec:
                needs[unit.stage].update(dict.fromkeys(unit.needs))
        return {stage: [name for name in above if name in needs and name != stage] for stage, above in needs.items()}

    def counts(self, units: list[RecordedUnit] | None = None) -> dict[str, int]:
        """Return expected = done + failed + pruned + running + pending units; of the done, how many were reused."""
        units = self.units() if units is None else units
        counts = {"expected": len(units), "done": 0, "reused": 0, "failed": 0, "pruned": 0, "running": 0, "pending": 0}
        for unit in units:
            name = _COUNTED.get(unit.status)
            if unit.status == CANCELLED and unit.error is None:
                name = None  # it ended with its run, and waits for the next go
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
            "run": self.place, "id": record.id, "name": record.name, "index": record.index, "kind": record.kind,
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
        """Return ``row()``, and the columns ``info.*``, ``config.*`` and ``params.*`` of ``flambe.reading.columns``."""
        units = self.units() if units is None else units
        record, chosen = self.record, self.chosen(units)
        params = {f"params.{path}": plain(value) for path, value in chosen.items()}
        return (
            self.row(units)
            | info_of(record, self.status, self.place)
            | self._config_columns(record.kind, chosen)
            | params
        )

    def _config_columns(self, kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
        # Looking through a whole spec takes longer than reading it: its columns are made, and what is wrong is told if they cannot.
        spec = self._spec.get()
        try:
            return config_of(spec, chosen) if spec else chosen_of(kind, chosen)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            if self.spec is not None:
                self.add_problem(f"{self.place}/{layout.SPEC} is no valid spec: {error!r:.200}")
            return chosen_of(kind, chosen)

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
        """Return how long the run took, or is taking, since it was last begun; a lost one until its last word, if it had any."""
        record, status = self.record, self.status
        if record.time.started is None:
            return None
        end = record.time.ended or (now() if status == RUNNING else self.last_word())
        seconds = seconds_between(record.time.started, end)
        return seconds if seconds or status != LOST else None

    def last_word(self) -> str | None:
        """Return when the run was last known to live: by its heartbeat, or its ledger."""
        self.ledger()
        return max(filter(None, (self.record.time.heartbeat, self._ledger.work.last)), default=None)

    def _unit_folders(self) -> Iterator[tuple[str, str]]:
        stages = self.path / layout.STAGES
        if stages.is_symlink():
            return
        for stage in sorted(folders(stages), key=natural):
            for variant in sorted(folders(stages / stage), key=natural):
                if (stages / stage / variant / layout.RUN).is_file():
                    yield stage, variant

    def _unit_record(self, unit: RecordedUnit) -> StageRecord | None:
        if unit.place is None:
            return None
        path = f"{unit.place}/{layout.RUN}"
        if path not in self._unit_records:
            self._unit_records[path] = Watched(
                path, lambda data: _quickly(_UNIT, data) or decode_record(data, StageRecord, where=path), None,
                once=self._once,
            )  # fmt: skip
        return self._unit_records[path].get()

    def _best(self, stage: str, units: list[RecordedUnit]) -> RecordedUnit | None:
        """Return the unit that the run itself called best; else the best metric among the finished."""
        with contextlib.suppress(OSError, ValueError):  # no link
            chosen = os.path.basename(os.readlink(f"{self.place}/{layout.STAGES}/{stage}/{layout.BEST}"))
            for unit in units:
                if unit.variant == chosen and is_file_name(stage):
                    return unit
        ranked = [
            (rank(unit.metric, lower_is_better=bool(unit.lower_is_better)), place)
            for place, unit in enumerate(units)
            if unit.status == COMPLETE and is_comparable(unit.metric, lower_is_better=bool(unit.lower_is_better))
        ]
        return units[min(ranked)[1]] if ranked else None


def _names(event: dict[str, Any]) -> tuple[str, str]:
    stage, _, variant = str(event["unit"]).partition("/")
    return str(event.get("stage", stage)), str(event.get("variant", variant))


def _quickly(decoder: msgspec.json.Decoder[_Document], data: bytes) -> _Document | None:
    """Return a document in one step; None for one that has to be looked at closer: because something is wrong with it, or newer."""
    try:
        found = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if isinstance(found, Spec):
        return found if found.flambe_spec in _SPEC_VERSIONS and b'"flambe_spec"' in data else None
    return found if found.flambe_record in ("1.0", layout.VERSION) and b'"flambe_record"' in data else None


__all__ = ["RecordedRun", "RecordedUnit"]
