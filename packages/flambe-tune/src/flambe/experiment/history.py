"""What an earlier run of the same pipeline decided about a whole stage.

A scheduler's decision about one variant depends on all the others, and a variant that was stopped early is no complete
result. So the stages that have a scheduler are taken from an earlier run as a whole or not at all: the same units by key,
all of them ended, the same scheduler, each result whole. Reading this imports neither Ray nor torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from flambe.errors import ConfigError
from flambe.record import layout
from flambe.record.ledger import Event, LedgerState, fold, read_events
from flambe.record.result import Found, checkpoint_is_whole
from flambe.record.run import COMPLETE, StageRecord, read_record
from flambe.runner.environment import input_is_unchanged
from flambe.runner.unit import Unit
from flambe.search.tune_adapter import EXPLOIT
from flambe.spec.codec import load_spec
from flambe.spec.nodes import Spec


class Earlier(NamedTuple):
    """A stage of an earlier run: the result of each unit (by id), and the decisions about it in their order."""

    found: dict[str, Found]
    decisions: list[Event]


def earlier_stage(home: Path, but: Path, spec: Spec, stage: str, units: Iterable[Unit]) -> Earlier | None:
    """Return what the newest run below ``home`` other than ``but`` has for a whole stage, if that can be taken."""
    wanted = {unit.id: unit.key for unit in units}
    runs = sorted(home.glob(f"exp.*/{layout.LEDGER}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for ledger in runs:
        if ledger.parent != but and wanted:
            state = fold(read_events(ledger))
            theirs = {unit: event["key"] for unit, event in state.planned.items() if event["stage"] == stage}
            if theirs == wanted and _same_scheduler(ledger.parent / layout.SPEC, spec, stage):
                decisions = _once(one for one in state.events if one["event"] == "decision" and one["unit"] in wanted)
                # What took over the state of another has a key of its own since.
                last = {one["unit"]: one["key"] for one in decisions if one["decision"] == EXPLOIT}
                found = _results(ledger.parent, state, {**wanted, **last})
                if found is not None:
                    return Earlier(found, decisions)
    return None


def _same_scheduler(path: Path, spec: Spec, stage: str) -> bool:
    try:
        other = load_spec(path.read_bytes(), where=str(path))
        theirs, ours = other.stage(stage), spec.stage(stage)
    except (OSError, ConfigError, KeyError):
        return False
    return (theirs.scheduler, other.ordering, other.seed) == (ours.scheduler, spec.ordering, spec.seed)


def _results(run: Path, state: LedgerState, wanted: dict[str, str]) -> dict[str, Found] | None:
    found = {}
    for unit, key in wanted.items():
        event = state.done.get(unit)
        if event is None or event["key"] != key:
            return None
        stage, _, variant = unit.partition("/")
        paths = layout.RunPaths(run).unit(stage, variant)
        try:
            record = read_record(paths.record, StageRecord)
        except (OSError, ConfigError):
            return None
        if record.status != COMPLETE or record.key != key or not paths.exports.exists():
            return None
        if not all(input_is_unchanged(described) for described in record.inputs):
            return None
        if not checkpoint_is_whole(paths.checkpoint):
            return None
        found[unit] = Found(paths.root, event, record)
    return found


def _once(decisions: Iterable[Event]) -> list[Event]:
    """Leave out what was recorded again by a process that continued."""
    seen: set[tuple[str, int, str]] = set()
    kept = []
    for event in decisions:
        mark = (event["unit"], event["step"], event["decision"])
        if mark not in seen:
            seen.add(mark)
            kept.append(event)
    return kept
