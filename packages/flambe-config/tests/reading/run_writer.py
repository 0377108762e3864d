"""Small run directories of functions, written by hand and in no time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flambe.record.layout import variant_name
from flambe.record.run import COMPLETE, RunRecord, StageRecord, Times, write_record
from flambe.spec.codec import dump_spec, escape
from flambe.spec.nodes import FUNCTION, NEW, Spec, Stage

STARTED, ENDED = "2026-03-01T10:00:00.000Z", "2026-03-01T10:01:30.000Z"


def write_run(
    home: Path, config: Mapping[str, Any], metrics: Mapping[str, Sequence[Mapping[str, Any]]] | None = None, *, index: int = 0,
    name: str = "first", status: str = COMPLETE, started: str = STARTED, params: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write ``home/name/exp.index``. metrics: log → lines. Returns its folder."""
    path = home / name / f"exp.{index}"
    variant = variant_name(params or {})
    unit = path / "stages" / "main" / variant
    unit.mkdir(parents=True)
    spec = Spec(
        kind="function", name=name, stages=[Stage(name="main", body={NEW: FUNCTION, "main": "m:f", "config": escape(config)})]
    )  # fmt: skip
    (path / "spec.json").write_bytes(dump_spec(spec))
    times = Times(created=started, started=started, ended=ENDED if status == COMPLETE else None)
    record = RunRecord(
        id=f"01X{index:05}", kind="function", name=name, index=index, status=status, spec_digest="d", time=times
    )
    write_record(path / "run.json", record)
    part = StageRecord(stage="main", variant=variant, key="k", status=status, params=dict(params or {}), time=times)
    write_record(unit / "run.json", part)
    events = [
        {"n": 0, "t": started, "event": "open", "spec": "d", "tool": "flambe exec", "pid": 1},
        {"n": 1, "t": started, "event": "plan", "unit": f"main/{variant}", "stage": "main", "variant": variant,
         "params": dict(params or {}), "key": "k", "needs": {}},
    ]  # fmt: skip
    (path / "ledger.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    for log, lines in (metrics or {}).items():
        write_metrics(unit, log, lines)
    return path


def write_metrics(unit: Path, log: str, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write ``metrics/log.jsonl`` of a unit."""
    (unit / "metrics").mkdir(exist_ok=True)
    (unit / "metrics" / f"{log}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def unit_of(path: Path, variant: str = "0") -> Path:
    """Return the folder of a variant of a run that ``write_run`` has written."""
    return path / "stages" / "main" / variant
