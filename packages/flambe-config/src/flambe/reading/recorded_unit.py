"""One variant of one stage as its readers see it: how it stands, its metrics and its artifacts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flambe.errors import ConfigError
from flambe.reading.columns import chosen_of, plain
from flambe.reading.inside import is_file_name, leads_out, plain_files, read_lines
from flambe.reading.recorded_artifact import RecordedArtifact, find_artifacts
from flambe.reading.series import aligned, summary_of
from flambe.reading.work_time import WorkTime, seconds_between
from flambe.record import layout
from flambe.record.ledger import LedgerState
from flambe.record.run import CANCELLED, COMPLETE, FAILED, LOST, PAUSED, PRUNED, RUNNING, StageRecord, now

if TYPE_CHECKING:
    from flambe.reading.recorded import RecordedRun

_LINES = ".jsonl"
PENDING = "PENDING"
"""Derived by readers only: a unit that is planned and has not begun."""

_STATUS = {
    "pending": PENDING, "running": RUNNING, "paused": PAUSED, "done": COMPLETE, "failed": FAILED, "pruned": PRUNED
}  # fmt: skip


class RecordedUnit:
    """One variant of one stage, as far as it came.

    best: the best of its stage so far. kept: whether later stages see it, once its stage was reduced.
    params: full dotted path → plain value; chosen: the same in node form. takeovers: as in its record; explored: the params that
    they have changed, inherited ones too. needs: stage → unit.
    path: its folder, None when its name is no file name; place: the same as a text, which thousands of units are read by.
    seconds: of its attempts together, until it ended or until now; of a lost one until the last word of its run.
    """

    def __init__(self, run: RecordedRun, stage: str, variant: str) -> None:
        self.run = run
        self.stage = stage
        self.variant = variant
        # The names come from files that anybody may have written: they must not lead out of the run.
        safe = is_file_name(stage) and is_file_name(variant)
        safe = safe and not leads_out(run.place, layout.STAGES, stage, variant)
        self.place = f"{run.place}/{layout.STAGES}/{stage}/{variant}" if safe else None
        self.status = PENDING
        self.params: dict[str, Any] = {}
        self.chosen: dict[str, Any] = {}
        self.takeovers: list[dict[str, Any]] = []
        self.explored: dict[str, Any] = {}
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
        self._work: WorkTime | None = None

    @property
    def path(self) -> Path | None:
        return None if self.place is None else Path(self.place)

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.variant}"

    @property
    def seconds(self) -> float | None:
        if self.started is None:
            return None
        until = now() if self.status in (RUNNING, PAUSED) else self.run.last_word() if self.status == LOST else None
        seconds = self._work.seconds(self.id, until) if self._work is not None else None
        if seconds is None:  # no ledger tells
            seconds = seconds_between(self.started, self.ended or until)
        return seconds if seconds or self.status != LOST else None

    def logs(self) -> list[str]:
        """Return the names of the metric files there are, without their suffix."""
        folders = self._folders(layout.METRICS)
        names = dict.fromkeys(name for folder in folders for name in plain_files(folder))
        return [name.removesuffix(_LINES) for name in names if name.endswith(_LINES)]

    def metrics(self, log: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of one metric file, in order. Raises ConfigError when a line in the middle is broken."""
        if not is_file_name(log):
            return
        for path in self.metric_files(log):
            try:
                for line in read_lines(path):
                    if isinstance(values := msgspec.json.decode(line), dict):
                        yield values
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ConfigError(f"{path} {error.strerror or error}") from error
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path} is no metric file: {error}") from error

    def metric_files(self, log: str) -> list[str]:
        """Return where the lines of a log may be."""
        return [f"{folder}/{log}{_LINES}" for folder in self._folders(layout.METRICS)]

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
        folders = self._folders(layout.ARTIFACTS)
        found = [one for folder in folders for one in find_artifacts(os.path.dirname(folder), layout.ARTIFACTS)]
        return sorted(found, key=lambda one: (one.type, one.name)) if len(folders) > 1 else found

    def _folder(self, name: str) -> str | None:
        if self.place is None or leads_out(self.place, name):
            return None
        return f"{self.place}/{name}"

    def _folders(self, name: str) -> list[str]:
        """Return the folders of a name that it has: its own, and that of the run of a function, which writes there when it is alone."""
        if self.place is None:
            return []
        places = [self.place, self.run.place] if self.run.record.kind == "function" else [self.place]
        return [f"{place}/{name}" for place in places if not leads_out(place, name)]

    def row(self) -> dict[str, Any]:
        """Return what is known, by the names of ``UNIT_COLUMNS`` and ``params.<dotted path>``."""
        row = {
            "run": self.run.place, "unit": self.id, "stage": self.stage, "variant": self.variant,
            "status": self.status, "metric_name": self.metric_name, "metric": self.metric,
            "lower_is_better": self.lower_is_better, "best": self.best, "kept": self.kept, "step": self.step,
            "complete": self.complete, "seconds": self.seconds, "attempt": self.attempt, "error": self.error,
            "started": self.started, "ended": self.ended, "key": self.key or None, "seed": self.seed,
            "reused_from": self.reused_from, "path": self.place,
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
        self.takeovers = record.takeovers
        self.needs, self.key, self.seed = record.needs, record.key, record.seed
        self.metric, self.metric_name, self.lower_is_better = record.metric, record.metric_name, record.lower_is_better
        self.step, self.complete, self.attempt, self.error = record.step, record.complete, record.attempt, record.error
        self.started, self.ended, self.reused_from = record.time.started, record.time.ended, record.reused_from

    def _take_events(self, state: LedgerState, work: WorkTime) -> None:
        plan = state.planned[self.id]
        self.status = _STATUS[state.status_of(self.id)]
        if "signal" in state.failed.get(self.id, ()):  # somebody ended it
            self.status = CANCELLED
        self._take_params(state.made_with(self.id))
        self.takeovers, self.explored = state.taken_over(self.id), state.explored(self.id)
        self.needs, self.key = {str(s): str(u) for s, u in (plan.get("needs") or {}).items()}, str(plan.get("key", ""))
        self.started, self._work = work.started.get(self.id, self.started), work
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


__all__ = ["PENDING", "RecordedUnit"]
