"""``Settled``: stages of a run whose units a scheduler or a search has decided about together, when all of them are done.

A decision about one unit rests on the results of all, and a unit that was stopped early is no complete result. So another run
takes such stages as a whole, by the key that their ``settle`` event has, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from flambe.errors import ConfigError
from flambe.record.declared import brought_here, declared_files
from flambe.record.layout import LEDGER, RunPaths
from flambe.record.ledger import Event, LedgerState, fold, read_events
from flambe.record.result import Found, ResultStore


class SettledUnit(NamedTuple):
    """A unit of such a stage. key: the one that it was planned with; what it made of another's state has one of its own.
    files: those that its body names, path → digest.
    """

    stage: str
    variant: str
    params: dict[str, Any]
    key: str
    found: Found
    files: dict[str, str]


class Settled(NamedTuple):
    """What a run has of such stages: each unit, in the order in which they were planned, and the decisions in theirs."""

    units: list[SettledUnit]
    decisions: list[Event]

    def with_files_of(self, node: Any) -> Settled:
        """Return it with the files that are named below ``node`` in place of the same ones elsewhere, which may be gone."""
        there = {path: digest for unit in self.units for path, digest in unit.files.items()}
        here = declared_files(node) if there else {}
        if there.keys() <= here.keys():
            return self
        return Settled(
            [one._replace(params=brought_here(one.params, there, here)) for one in self.units],
            [
                {**event, "choice": brought_here(event["choice"], there, here)} if "choice" in event else event
                for event in self.decisions
            ],
        )


def settled_in(run: Path, key: str) -> Settled | None:
    """Return the stages that the run directory ``run`` has settled under ``key``; None when there are none, or a result of them is
    not as it was, or has read what is not as it was.
    """
    try:
        state = fold(read_events(run / LEDGER))
    except (OSError, ConfigError):
        return None
    units: list[SettledUnit] = []
    for plan in plans_settled(state, key):
        folder = RunPaths(run).unit(plan["stage"], plan["variant"]).root
        event = state.done.get(plan["unit"])
        record = None if event is None else ResultStore.whole(folder, event, in_part=True)
        if event is None or record is None:
            return None
        found = Found(folder, event, record)
        files = plan.get("files", {})
        units.append(SettledUnit(plan["stage"], plan["variant"], plan["params"], plan["key"], found, files))
    return Settled(units, decisions_settled(state, key)) if units else None


def plans_settled(state: LedgerState, key: str) -> list[Event]:
    """Return the ``plan`` events of the stages that are settled under ``key``, in order."""
    stages = {stage for stage, event in state.settled.items() if event["key"] == key}
    # What other code led to, and this does not, was pruned: no part of it.
    plans = [plan for unit, plan in state.planned.items() if plan["stage"] in stages and unit not in state.pruned]
    return sorted(plans, key=lambda plan: plan["n"])


def decisions_settled(state: LedgerState, key: str) -> list[Event]:
    """Return the decisions about the units of these stages, each once: a process that went on may have recorded it again."""
    since = {plan["unit"]: plan["n"] for plan in plans_settled(state, key)}
    return _once(
        event
        for event in state.events
        if event["event"] == "decision" and event["unit"] in since and event["n"] > since[event["unit"]]
    )


def _once(decisions: Iterable[Event]) -> list[Event]:
    found: dict[tuple[str, int, str], Event] = {}
    for event in decisions:
        found.setdefault((event["unit"], event["step"], event["decision"]), event)
    return list(found.values())
