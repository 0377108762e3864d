"""Why a unit has to run: what differs from the newest earlier run that had its stage. And how long that took."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from flambe.compile.search import Filler
from flambe.errors import ConfigError
from flambe.pipeline.plan import PlannedSearch
from flambe.record import layout
from flambe.record.declared import by_content
from flambe.record.inputs import input_holds
from flambe.record.ledger import Event, LedgerState, fold, read_events
from flambe.record.result import checkpoint_is_whole
from flambe.record.run import StageRecord, read_record
from flambe.runner.unit import Unit
from flambe.spec.codec import load_spec
from flambe.spec.nodes import FILE, SEED, Spec, children, kind_of


class Earlier(NamedTuple):
    """An earlier run: its folder, its ledger, its spec."""

    root: Path
    state: LedgerState
    spec: Spec


class Reasons:
    """Compares units with those of earlier runs of the same name. home: the folder of these runs; of the latest ones only."""

    def __init__(self, home: Path, spec: Spec, *, runs: int = 5) -> None:
        self._home = home
        self._spec = spec
        self._count = runs

    @cached_property
    def _runs(self) -> list[Earlier]:
        found: list[Earlier] = []
        ledgers = sorted(self._home.glob(f"exp.*/{layout.LEDGER}"), key=os.path.getmtime, reverse=True)
        for ledger in ledgers[: self._count]:
            try:
                spec = load_spec((ledger.parent / layout.SPEC).read_bytes())
                found.append(Earlier(ledger.parent, fold(read_events(ledger)), spec))
            except (OSError, ConfigError):
                continue  # a run that is broken has nothing to compare with
        return found

    def why(self, unit: Unit, needs_that_run: list[str]) -> str:
        """Return what keeps a unit from being taken from an earlier run, in a few words.

        needs_that_run: the stages it links to whose units run anew themselves.
        """
        for run in self._runs:
            plans = [event for event in run.state.planned.values() if event["stage"] == unit.stage]
            if plans:
                # Files that are searched may lie elsewhere, or have changed: one of the two is as it was.
                same = next(
                    (one for one in plans if unit.params == one["params"] or unit.variant == one["variant"]), None
                )
                if same is None:
                    known = any(_own(unit.params, unit.stage) == _own(one["params"], unit.stage) for one in plans)
                    if needs_that_run and known:
                        # Which variants a reduce keeps is not known before they ran: it is no choice that is new.
                        return _rests_on(needs_that_run)
                    return (
                        f"not tried in {run.root.name}: {_nearest(unit.params, [event['params'] for event in plans])}"
                    )
                return self._difference(run, same, unit, needs_that_run)
        return "no run had this stage"

    @cache  # noqa: B019 - it lives as long as one plan
    def seconds(self, stage: str) -> float | None:
        """Return how long a unit of a stage took, on average of the newest run that ran one; None when none did.

        The first unit on each worker waits for its process to start and to import, so it counts only where all did.
        """
        for run in self._runs:
            starts, first = _starts(run.state)
            taken = {
                unit: (_time(event) - _time(starts[unit])).total_seconds()
                for unit, event in run.state.done.items()
                if event["event"] == "commit" and unit.partition("/")[0] == stage and unit in starts
            }
            later = [seconds for unit, seconds in taken.items() if unit not in first] or [*taken.values()]
            if later:
                return sum(later) / len(later)
        return None

    def _difference(self, run: Earlier, plan: Mapping[str, Any], unit: Unit, needs_that_run: list[str]) -> str:
        name = run.root.name
        files = plan.get("files", {})
        edited = [path for path, digest in unit.files.items() if files.get(path, digest) != digest]
        if edited:
            return f"{edited[0]} has changed since {name}"
        before, now = _body(run.spec, plan), unit.body
        if files:
            before, now = by_content(before, files), by_content(now, unit.files)
        if before is not None and before != now and (found := _changed(before, now, unit.stage)):
            return f"{found} (in {name})"
        if needs_that_run:
            return _rests_on(needs_that_run)
        if run.spec.seed != self._spec.seed and SEED not in unit.params:
            return f"seed was {run.spec.seed} in {name}, is {self._spec.seed}"
        code = plan.get("code", {})
        changed = [module for module, digest in unit.code.items() if code.get(module, digest) != digest]
        if changed:
            return f"the code of {', '.join(changed)} has changed since {name}"
        status = run.state.status_of(f"{unit.stage}/{plan['variant']}")
        if plan["key"] != unit.key:
            if unit.files and not files:
                return f"files were told by their paths when {name} was made, and are by their content now"
            return _upgraded(run.root) or f"the code or the versions that it uses have changed since {name}"
        if status != "done":
            return f"{status} in {name}"
        record = _record(run, f"{unit.stage}/{plan['variant']}")
        inputs = [one for one in record.inputs if not input_holds(one)] if record is not None else []
        if inputs:
            return f"{inputs[0].get('path', 'a file that it read')} has changed since {name}"
        if not unit.reuse:
            return "it is run for its effect"
        if self._spec.resume is not None:
            return "resume names other stages"
        paths = layout.RunPaths(run.root).unit(unit.stage, plan["variant"])
        if not checkpoint_is_whole(paths.checkpoint):
            return f"its files in {name} are gone or damaged"
        if self._spec.stage(unit.stage).scheduler is not None:
            return self._scheduled(run, unit.stage)
        if not run.state.done[f"{unit.stage}/{plan['variant']}"].get("complete", True):
            return f"stopped early in {name}, so it is no whole result"
        return f"its result in {name} is not as it was"

    def why_search(self, planned: PlannedSearch) -> str:
        """Return what keeps the stages that a search makes from being taken from an earlier run, in a few words."""
        for run in self._runs:
            if any(event["stage"] == planned.stage for event in run.state.planned.values()):
                before, now = run.spec.stage(planned.search), self._spec.stage(planned.search)
                found = _changed(before.search, now.search, f"the search of {planned.search}")
                found = found or _changed(
                    run.spec.stage(planned.stage).body, self._spec.stage(planned.stage).body, planned.stage
                )
                if found:
                    return f"{found} (in {run.root.name})"
                return self._scheduled(run, planned.search)
        return "no run had this stage"

    def _scheduled(self, run: Earlier, stage: str) -> str:
        """Return what keeps a stage whose variants are decided about together from being taken from ``run``."""
        name = run.root.name
        found = _changed(
            run.spec.stage(stage).scheduler, self._spec.stage(stage).scheduler, f"the scheduler of {stage}"
        )
        if found:
            return f"{found} (in {name})"
        if run.spec.seed != self._spec.seed:
            return f"seed was {run.spec.seed} in {name}, is {self._spec.seed}"
        if stage not in run.state.settled:
            return f"not all variants of {stage} were done in {name}, and what decides about them rests on all"
        return f"not all variants of {stage} are as they were in {name}, and what decides about them rests on all"


def _rests_on(stages: Iterable[str]) -> str:
    return f"it rests on {', '.join(stages)}, which runs anew"


def _own(params: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Return the parameters of a stage itself, by their paths inside it."""
    return {path.removeprefix(f"{stage}."): value for path, value in params.items() if path.startswith(f"{stage}.")}


def _starts(state: LedgerState) -> tuple[dict[str, Event], set[str]]:
    """Return the last ``start`` event of each unit, and the units that were the first on a worker then."""
    starts: dict[str, Event] = {}
    first: set[str] = set()
    workers: set[str] = set()
    for event in state.events:
        if event["event"] == "open":
            workers.clear()  # another process has workers of its own, whatever they are called
        elif event["event"] == "start":
            starts[event["unit"]] = event
            (first.discard if event["worker"] in workers else first.add)(event["unit"])
            workers.add(event["worker"])
    return starts, first


def _time(event: Event) -> datetime.datetime:
    return datetime.datetime.fromisoformat(event["t"])


def _body(spec: Spec, plan: Mapping[str, Any]) -> Any:
    stage = str(plan["stage"])
    try:
        return Filler(spec.stage(stage).body)(_own(plan["params"], stage))
    except KeyError:
        return None


def _changed(before: Any, now: Any, path: str) -> str | None:
    """Return the first place where two bodies differ, and how."""
    if before == now:
        return None
    if type(before) is type(now) and isinstance(now, dict | list) and _head(before) == _head(now):
        old, new = dict(children(before)), dict(children(now))
        for key in dict.fromkeys([*old, *new]):
            if key not in old or key not in new:
                return f"{path}.{key} was {'taken away' if key in old else 'added'}"
            found = _changed(old[key], new[key], f"{path}.{key}")
            if found:
                return found
    return f"{path} was {_short(before)}, is {_short(now)}{_unlike(before, now)}"


def _unlike(before: Any, now: Any) -> str:
    """Return what to add where two files have one name."""
    same = kind_of(before) == kind_of(now) == FILE and before[FILE] == now[FILE]
    return ", with other content" if same else ""


def _head(node: Any) -> Any:
    kind = kind_of(node)
    return (kind, node[kind] if kind == "$new" else None) if kind is not None and isinstance(node, dict) else None


def _short(value: Any) -> str:
    if kind_of(value) == FILE:
        return os.path.basename(value[FILE]) or "a folder"
    return layout.label(value)[:40]


def _nearest(params: Mapping[str, Any], others: list[dict[str, Any]]) -> str:
    nearest = max(others, key=lambda other: sum(other.get(path) == value for path, value in params.items()))
    differ = {path: value for path, value in params.items() if nearest.get(path) != value}
    return ", ".join(f"{path}={_short(value)}" for path, value in differ.items()) or "its parameters"


def _upgraded(root: Path) -> str | None:
    """Return the first distribution whose version is another now, by what the run froze."""
    try:
        lines = (root / layout.REQUIREMENTS).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, old = line.partition("==")
        if old and (name in ("torch", "numpy") or name.startswith("flambe-")):
            try:
                new = version(name)
            except PackageNotFoundError:
                continue
            if new.partition("+")[0] != old.strip().partition("+")[0]:
                return f"{name} was {old.strip()} in {root.name}, is {new}"
    return None


def _record(run: Earlier, unit: str) -> StageRecord | None:
    try:
        return read_record(layout.RunPaths(run.root).folder(unit).record, StageRecord)
    except (OSError, ConfigError):
        return None
