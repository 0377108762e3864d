"""What the pages show of a run, as plain data: its state, its variants, curves, logs and configuration."""

from __future__ import annotations

import codecs
import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from flambe.reading.column_names import UNIT_COLUMNS
from flambe.reading.query import parse
from flambe.reading.recorded import RecordedRun
from flambe.reading.recorded_unit import RecordedUnit
from flambe.record import layout
from flambe.record.metrics import read_metrics
from flambe.record.run import CANCELLED, COMPLETE, FAILED, FINISHED, LOST, PRUNED, RUNNING
from flambe.report.rows import columns_of

PENDING, RUNS, SUCCESS, FAILURE, MASKED = "pending", "running", "success", "failed", "pruned"
_TAIL = 1 << 17
_LONGEST_TEXT = 1 << 20
_MOST_POINTS = 2000

Point = tuple[float, float | None, float | None]


def run_state(run: RecordedRun) -> dict[str, Any]:
    """Return how a run stands; served as ``state.json``.

    ``flambe_report``      version of this document, ``1.0``
    ``id … result_digest`` as in ``run.json``; ``status`` also LOST; ``seconds`` so far
    ``finished``           whether nothing will change any more unless somebody continues the run
    ``counts``             expected = done + failed + pruned + running + pending (units); reused of the done
    ``stages``             in order: name, state (pending, running, success, failed, pruned), needs (stages), counts,
                           seconds (first start to last end), metric, metric_name and best (variant) if there are any;
                           why: what kept a stage of an ended run from being planned
    ``version``            changes whenever a variant changes
    ``problems``           what could not be read
    """
    units = run.units()
    record, status = run.record, run.status
    rows = [unit.row() for unit in units]
    steady = [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
    needs = run.needs(units)
    stages = [
        _stage_state(name, needs[name], [unit for unit in units if unit.stage == name], run)
        for name in run.stages(units)
    ]
    if status in FINISHED or status == LOST:
        _explain_unplanned(stages, status)
    return {
        "flambe_report": "1.0", "id": record.id, "name": record.name, "index": record.index, "kind": record.kind,
        "path": str(run.path), "status": status, "status_reason": record.status_reason or record.exit.error,
        "finished": status in FINISHED or status == LOST, "seconds": run.seconds(), "created": record.time.created,
        "started": record.time.started, "ended": record.time.ended, "heartbeat": record.time.heartbeat,
        "host": record.host.name if record.host else None, "tool": record.tool, "seed": record.seed,
        "spec_digest": record.spec_digest, "result_digest": record.result_digest,
        "counts": run.counts(units) if units else {"expected": 0} | record.counts,
        "stages": stages,
        "version": hashlib.sha256(json.dumps(steady, default=str).encode()).hexdigest()[:16],
        "problems": run.problems(),
    }  # fmt: skip


def _stage_state(name: str, needs: Sequence[str], units: Sequence[RecordedUnit], run: RecordedRun) -> dict[str, Any]:
    state: dict[str, Any] = {
        "name": name,
        "needs": list(needs),
        "counts": run.counts(list(units)),
        "state": _state_of(units),
    }
    # A reused result has the times of the run that made it.
    timed = [unit for unit in units if unit.started and not unit.reused_from]
    spans = [(datetime.datetime.fromisoformat(str(unit.started)).timestamp(), unit.seconds or 0.0) for unit in timed]
    if spans:
        state["seconds"] = round(max(sum(span) for span in spans) - min(start for start, _ in spans), 3)
    best = next((unit for unit in units if unit.best), None)
    if best is not None:
        state |= {"best": best.variant, "metric": best.metric, "metric_name": best.metric_name}
    return state


def _explain_unplanned(stages: list[dict[str, Any]], status: str) -> None:
    """Say of each stage of an ended run that has no variants why: what it needs failed, or the run was over first."""
    known = {stage["name"]: stage for stage in stages}
    blamed: dict[str, str] = {}
    for stage in stages:
        # Of a chain of stages the one that failed is named, not the next that could not begin.
        above = [name for name in stage["needs"] if name in known]
        failed = [name for name in above if known[name]["state"] == FAILURE]
        failed += [blamed[name] for name in above if known[name]["state"] == MASKED and name in blamed]
        if failed:
            blamed[stage["name"]] = failed[0]
        if stage["counts"]["expected"]:
            continue
        if failed:
            stage |= {"state": MASKED, "why": f"{failed[0]} failed"}
        else:
            ends = {CANCELLED: "the run was stopped", LOST: "the run was cut off"}
            stage["why"] = ends.get(status, "the run ended first")


def _state_of(units: Sequence[RecordedUnit]) -> str:
    states = {unit.status for unit in units}
    if RUNNING in states:
        return RUNS
    open_ones = states - {COMPLETE, FAILED, PRUNED, LOST}
    if FAILED in states or LOST in states:
        return FAILURE
    if not states or open_ones:
        return RUNS if COMPLETE in states else PENDING
    return SUCCESS if COMPLETE in states else MASKED


def unit_table(run: RecordedRun, stage: str = "", where: str = "") -> dict[str, Any]:
    """Return ``{"columns", "params", "rows"}`` of a stage, or of all when it is empty; ``params``: searched columns.

    Raises ConfigError for a fault in ``where``.
    """
    query = parse(where, source="filter")
    rows = [unit.row() for unit in run.units() if unit.stage == stage or not stage]
    columns = columns_of(rows, UNIT_COLUMNS)
    query.check(columns)
    return {
        "columns": columns,
        "params": [name for name in columns if name.startswith("params.")],
        "rows": [row for row in rows if query(row)],
    }


def curves(run: RecordedRun, stage: str = "", metric: str = "") -> dict[str, Any]:
    """Return ``{"metrics", "metric", "series"}``: every metric name, the one shown, and a line for each variant.

    A point is [step, value, seconds since the unit started]; a value that is no finite number is null. Long lines are
    thinned to a few thousand points. metric: empty for the likeliest, the one that the stage is judged by.
    """
    names: dict[str, None] = {}
    lines: list[tuple[RecordedUnit, dict[str, list[Point]]]] = []
    units = [unit for unit in run.units() if unit.stage == stage or not stage]
    for unit in units:
        found = points_of(unit)
        names.update(dict.fromkeys(found))
        if found:
            lines.append((unit, found))
    if metric not in names:
        judged = next((unit.metric_name for unit in units if unit.metric_name), "")
        last = str(judged).rpartition("/")[2]
        near = [name for name in names if name == judged or name.rpartition("/")[2] == last]
        # The best so far is a staircase: what it was taken from tells more.
        near.sort(key=lambda name: (name.startswith("Best/"), name != judged))
        metric = next(iter([*near, *names]), "")
    series = [
        {"unit": unit.id, "variant": unit.variant, "stage": unit.stage, "status": unit.status, "best": unit.best,
         "points": _thinned(found[metric])}
        for unit, found in lines if metric in found
    ]  # fmt: skip
    return {"metrics": list(names), "metric": metric, "series": series}


def points_of(unit: RecordedUnit) -> dict[str, list[Point]]:
    """Return metric → (step, value, seconds since the unit started), of all logs of a unit; None for what is no finite number."""
    logs: dict[str, dict[str, list[Point]]] = {}
    for log in unit.logs():
        for path in map(Path, unit.metric_files(log)):
            try:
                stat = path.stat()
                found = _points_in(path, stat.st_mtime_ns, stat.st_size)
            except (OSError, msgspec.MsgspecError):
                continue  # being written by somebody unlike us; the other files still count
            logs[log] = {**logs.get(log, {}), **found}
    counts = Counter(name for found in logs.values() for name in found)
    # Two logs may call a metric the same: the loss of training, and that of a test.
    return {
        name if counts[name] == 1 else f"{log}.{name}": points
        for log, found in logs.items()
        for name, points in found.items()
    }


@lru_cache(maxsize=4096)
def _points_in(path: Path, mtime: int, size: int) -> dict[str, list[Point]]:
    """Read a metric file. mtime and size say which reading of it this is."""
    points: dict[str, list[Point]] = {}
    for number, line in enumerate(read_metrics(path)):
        if not isinstance(line, dict):
            continue
        step, seconds = line.get("step"), line.get("_t")
        step = step if isinstance(step, int | float) else number
        for name, value in line.items():
            if name != "step" and not name.startswith("_"):
                plain = float(value) if isinstance(value, int | float) else None
                points.setdefault(name, []).append((step, plain, seconds))
    # Text is no curve: a name counts when it was a number at least once.
    return {name: values for name, values in points.items() if any(value is not None for _, value, _ in values)}


def _thinned(points: Sequence[Point]) -> list[Point]:
    stride = -(-len(points) // _MOST_POINTS)
    return [*points[: -1 : stride or 1], *points[-1:]]


def log_piece(run: RecordedRun, unit: str = "", start: int = -1) -> dict[str, Any]:
    """Return ``{"from", "to", "text"}``: what a log has from byte ``start`` on; -1 begins near its end.

    unit: empty for the log of the run itself. ``from`` differs from ``start`` when the log was cut back meanwhile.
    Raises KeyError for a unit that the run does not have.
    """
    path = run.paths.outputs if not unit else unit_of(run, unit) / layout.OUTPUTS
    try:
        with _inside(run, path).open("rb") as stream:
            size = stream.seek(0, 2)
            if start < 0 or start > size:
                start = max(0, size - _TAIL)
                stream.seek(start)
                start += len(stream.readline()) if start else 0
            stream.seek(start)
            data = stream.read(_TAIL * 8)
    except FileNotFoundError:
        return {"from": 0, "to": 0, "text": ""}
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    # The bytes of a character that is not whole yet come with the next piece.
    return {"from": start, "to": start + len(data) - len(decoder.getstate()[0]), "text": text}


def configuration(run: RecordedRun, stage: str = "") -> list[dict[str, str]]:
    """Return ``[{"name", "text"}]``: what was to be run; of one stage, its part of the spec as YAML."""
    texts = []
    if stage and run.spec is not None and any(one.name == stage for one in run.spec.stages):
        body = msgspec.to_builtins(run.spec.stage(stage))
        texts.append({"name": f"{stage} in spec.json", "text": _as_yaml(body)})
    for name in (layout.RAW_CONFIG, layout.CONFIG, layout.REQUIREMENTS):
        try:
            text = _inside(run, run.path / name).read_bytes()[:_LONGEST_TEXT].decode(errors="replace")
        except FileNotFoundError:
            continue
        texts.append({"name": name, "text": text})
    if run.spec is not None:
        whole = msgspec.to_builtins(run.spec)
        short = {name: value for name, value in whole.items() if name not in ("source", "origins")}
        texts.append({"name": layout.SPEC, "text": json.dumps(short, indent=2, ensure_ascii=False)[:_LONGEST_TEXT]})
    return texts


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)


def unit_of(run: RecordedRun, unit: str) -> Path:
    """Return the folder of a unit that the run has, by equality of names. Raises KeyError for any other text."""
    for one in run.units():
        if one.id == unit and one.path is not None:
            return _inside(run, one.path)
    raise KeyError(unit)


def stage_of(run: RecordedRun, stage: str) -> Path:
    """Return the folder of a stage that the run has. Raises KeyError for any other text."""
    for one in run.units():
        if one.stage == stage and one.path is not None:
            return _inside(run, one.path.parent)
    raise KeyError(stage)


def _inside(run: RecordedRun, path: Path) -> Path:
    """Return ``path`` unless a link in a run made by somebody else leads it out of the run: then KeyError."""
    if not path.resolve().is_relative_to(run.path.resolve()):
        raise KeyError(str(path))
    return path
