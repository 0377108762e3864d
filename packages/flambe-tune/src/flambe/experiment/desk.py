"""Questions about a run directory, answered from its ledger: ``status``, ``best``, ``stop``."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from flambe.errors import FlambeError, MachineError, UsageError
from flambe.pipeline.reduce import Candidate, best_of, group_of
from flambe.record.layout import LEDGER, RUN, RunPaths, shown_params
from flambe.record.ledger import LedgerState, fold, read_events
from flambe.record.run import RunRecord, is_alive, read_record, status_of, this_host

_POLL_S = 0.05


def status(run: str) -> dict[str, Any]:
    """Return the state of a run, the reason for it if there is one, the counts of its units, in all and by stage, and what
    failed (unit → error)."""
    record, state = _open(run)
    stages: dict[str, dict[str, int]] = {}
    for unit, event in state.planned.items():
        counts = stages.setdefault(event["stage"], {})
        name = state.status_of(unit)
        counts[name] = counts.get(name, 0) + 1
    failed = {unit: event["error"] for unit, event in state.failed.items()}
    reason = {} if record.status_reason is None else {"reason": record.status_reason}
    return {
        "run": run,
        "status": status_of(record),
        **reason,
        "counts": state.counts(),
        "stages": stages,
        "failed": failed,
    }


def best(run: str) -> dict[str, Any]:
    """Return the best variant so far of each stage that has a metric, with its folder."""
    _, state = _open(run)
    stages: dict[str, Any] = {}
    for stage in dict.fromkeys(event["stage"] for event in state.planned.values()):
        units = [unit for unit, event in state.planned.items() if event["stage"] == stage and unit in state.done]
        ranked = best_of(
            (
                Candidate(
                    unit,
                    order,
                    state.done[unit]["metric"],
                    state.done[unit]["lower_is_better"],
                    group=group_of(state.planned[unit]["params"]),
                )
                for order, unit in enumerate(units)
            ),
            1,
        )
        for candidate in ranked[:1]:  # of several seeds the best one
            plan = state.planned[candidate.unit]
            stages[stage] = {
                "variant": plan["variant"],
                "params": shown_params(state.made_with(candidate.unit)),
                "metric": candidate.metric,
                "folder": str(RunPaths(Path(run)).unit(stage, plan["variant"]).root),
            }
            if taken := state.taken_over(candidate.unit):
                stages[stage]["takeovers"] = taken
            if changed := state.explored(candidate.unit):
                stages[stage]["explored"] = shown_params(changed)
    return {"run": run, "best": stages}


def stop(run: str, *, patience_s: float = 20.0) -> dict[str, Any]:
    """Ask the process of a run on this machine to end cleanly, and wait until it is out of the run.

    Raises MachineError when it does not run here, FlambeError when it goes on after ``patience_s`` seconds.
    """
    record, _ = _open(run)
    if not is_alive(record) or record.host is None:
        raise MachineError(f"{run} is {status_of(record)}: there is nothing to stop")
    if record.host.name != this_host().name:
        raise MachineError(f"{run} runs on {record.host.name}", hint="Stop it there.")
    os.kill(record.host.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while is_alive(read_record(Path(run) / RUN, RunRecord)):
        if time.monotonic() > deadline:
            raise FlambeError(
                f"process {record.host.pid} was asked to end {run} and goes on after {patience_s:g} s",
                hint="It may end yet: flambe-tune status says so. What is kept outlives a kill too: "
                f"kill -9 {record.host.pid}.",
            )
        time.sleep(_POLL_S)
    return {"run": run, "stopped": record.host.pid}


def _open(run: str) -> tuple[RunRecord, LedgerState]:
    root = Path(run)
    try:
        return read_record(root / RUN, RunRecord), fold(read_events(root / LEDGER))
    except (FileNotFoundError, NotADirectoryError):
        inside = sorted(root.glob(f"exp.*/{RUN}"), key=lambda path: path.stat().st_mtime)
        hint = f"Its newest run is {inside[-1].parent}." if inside else None
        raise UsageError(f"{run} is no run directory (it has no {RUN})", hint=hint) from None
