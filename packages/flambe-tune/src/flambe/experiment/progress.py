"""``ProgressState``: how far each stage of a run is, as 0.4 told its site. Here it is read from the ledger of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec

from flambe.pipeline.graph import StageGraph
from flambe.record.layout import RunPaths
from flambe.record.ledger import LedgerState, fold, read_events
from flambe.spec.codec import load_spec


class StageProgress(IntEnum):
    """Of a stage. MASKED: none of its variants was wanted, for what they rest on failed."""

    PENDING = 0
    RUNNING = 1
    SUCCESS = 2
    FAILURE = 3
    MASKED = 4


class ProgressState:
    """The state of each stage (*block*) of a run.

    name: of the run. save_path: its folder. dependency_dag: stage → the stages that it links to. factories_num: workers.

    ``ProgressState.of(run)`` is that of a run directory, at any time; ``refresh`` reads it again. Without a run it is told by
    ``checkpoint_start``, ``checkpoint_end`` and ``finish``.
    """

    def __init__(
        self, name: str, save_path: str, dependency_dag: Mapping[str, Sequence[str]], factories_num: int = 0
    ) -> None:
        self.name = name
        self.save_path = str(save_path)
        self.dependency_dag = {stage: list(above) for stage, above in dependency_dag.items()}
        self.factories_num = factories_num
        self.checkpoint_state = dict.fromkeys(self.dependency_dag, StageProgress.PENDING)
        self.variants: dict[str, list[str]] = {stage: [] for stage in self.dependency_dag}
        self.durations: dict[str, float] = {}
        """Seconds, of the stages that have ended."""
        self.finished = False
        self._began: dict[str, float] = {}

    @classmethod
    def of(cls, run: str | Path) -> ProgressState:
        """Return the state of a run directory. Raises FileNotFoundError for what is none, ConfigError for a broken one."""
        paths = RunPaths(Path(run))
        spec = load_spec(paths.spec.read_bytes(), where=str(paths.spec))
        found = cls(spec.name, str(run), StageGraph(spec).needs)
        found.refresh()
        return found

    @property
    def done(self) -> int:
        """How many stages have ended."""
        return sum(state > StageProgress.RUNNING for state in self.checkpoint_state.values())

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.checkpoint_state)

    def checkpoint_start(self, block_id: str) -> None:
        """Note that a stage begins. Raises KeyError for one that is not there."""
        if block_id not in self.checkpoint_state:
            raise KeyError(block_id)
        self.checkpoint_state[block_id] = StageProgress.RUNNING
        self._began[block_id] = time.monotonic()

    def checkpoint_end(self, block_id: str, checkpoints: Mapping[str, Any], block_success: bool) -> None:
        """Note that a stage has ended. checkpoints: variant → its checkpoint."""
        self.checkpoint_state[block_id] = StageProgress.SUCCESS if block_success else StageProgress.FAILURE
        self.variants[block_id] = list(checkpoints)
        if block_id in self._began:
            self.durations[block_id] = time.monotonic() - self._began.pop(block_id)

    def finish(self) -> None:
        """Note that the run has ended."""
        self.finished = True

    def refresh(self) -> None:
        """Read the ledger in ``save_path``; without one nothing changes."""
        ledger = RunPaths(Path(self.save_path)).ledger
        if ledger.exists():
            state = fold(read_events(ledger))
            for stage in self.checkpoint_state:
                units = [unit for unit, plan in state.planned.items() if plan["stage"] == stage]
                self.variants[stage] = [str(state.planned[unit]["variant"]) for unit in units]
                self.checkpoint_state[stage] = _progress(state, units)
                if self.checkpoint_state[stage] > StageProgress.RUNNING:
                    self.durations[stage] = _seconds(state, set(units))
            self.finished = state.closed is not None

    def toJSON(self) -> str:
        """Return it as JSON text."""
        fields = ("name", "save_path", "checkpoint_state", "variants", "durations", "dependency_dag", "factories_num")
        values = {field: getattr(self, field) for field in fields}
        return msgspec.json.encode(
            {**values, "finished": self.finished, "done": self.done, "total": self.total}
        ).decode()


def _progress(state: LedgerState, units: Sequence[str]) -> StageProgress:
    found = [state.status_of(unit) for unit in units]
    if any(status in ("running", "paused") for status in found):
        return StageProgress.RUNNING
    if not found or all(status == "pending" for status in found):
        return StageProgress.PENDING
    if "pending" in found:
        return StageProgress.RUNNING
    if "failed" in found:
        return StageProgress.FAILURE
    return StageProgress.MASKED if all(status == "pruned" for status in found) else StageProgress.SUCCESS


def _seconds(state: LedgerState, units: set[str]) -> float:
    """Return how long it was from the first start of some units to their last end; 0 when all were taken from elsewhere."""
    times = [
        datetime.fromisoformat(event["t"])
        for event in state.events
        if event["event"] in ("start", "commit", "fail") and event.get("unit") in units
    ]
    return (max(times) - min(times)).total_seconds() if times else 0.0
