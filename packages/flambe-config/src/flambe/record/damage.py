"""What a machine that lost its power leaves, and a kill never does: files that are there by name, and hold zeros or nothing.

At a commit only the ledger is synced: waiting for the disk at every file would cost a search more than its trials do. Digests
tell what is whole afterwards, and what is not is made again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from flambe.errors import ConfigError, FlambeError
from flambe.record.layout import CONFIG, METRICS, RAW_CONFIG, REQUIREMENTS, RunPaths, UnitPaths
from flambe.record.ledger import Event
from flambe.record.metrics import read_metrics
from flambe.record.result import artifacts_are_whole, checkpoint_is_whole, exports_digest, unit_digest
from flambe.record.run import COMPLETE, Host, StageRecord, read_record
from flambe.record.step import step_is_whole
from flambe.spec.codec import load_spec
from flambe.spec.digest import spec_digest


def may_be_damaged(before: Host | None, now: Host) -> bool:
    """Whether the machine that wrote may have gone down since. before: what its record said, if that can be read."""
    return before is None or not before.boot or before.boot != now.boot


def sources_are_whole(paths: RunPaths, digest: str) -> bool:
    """Whether ``spec.json`` is the spec of this digest, and what lies beside it is text."""
    try:
        if spec_digest(load_spec(paths.spec.read_bytes(), where=str(paths.spec))) != digest:
            return False
        beside = [paths.root / name for name in (CONFIG, RAW_CONFIG, REQUIREMENTS)]
        texts = [path.read_bytes() for path in beside if path.exists()]
    except (OSError, FlambeError):
        return False
    return all(text and b"\0" not in text for text in texts)


def result_is_whole(folder: Path, event: Event) -> bool:
    """Whether a unit's folder still holds what its ``commit`` or ``reuse`` event says. Every file of the result is read."""
    paths = UnitPaths(folder)
    try:
        record = read_record(paths.record, StageRecord)
        if record.status != COMPLETE or event.get("exports", exports_digest(paths)) != exports_digest(paths):
            return False
        digest = unit_digest(folder, params=record.params, step=record.step, complete=record.complete)
    except (OSError, FlambeError, msgspec.MsgspecError, UnicodeError):
        return False
    if digest != event["digest"] or (paths.checkpoint.exists() and not checkpoint_is_whole(paths.checkpoint)):
        return False
    return artifacts_are_whole(folder, event)


def report_is_whole(folder: Path, report: Event, *, verify: bool) -> bool:
    """Whether a unit can go on from the step of a ``report`` event. verify: read every file, not only the heads."""
    paths = UnitPaths(folder)
    if not step_is_whole(paths.step(report["step"]), verify=verify):
        return False
    if not verify:
        return True
    streams = all(_has(folder, name, length) for name, length in report["offsets"].items())
    return streams and artifacts_are_whole(paths.step(report["step"]))


def _has(folder: Path, name: str, length: int) -> bool:
    """Whether a stream has as many bytes as were reported; a metric file also as many readable lines."""
    path = folder / name
    try:
        if path.stat().st_size < length:
            return False
        if name.startswith(f"{METRICS}/"):
            for _ in read_metrics(path):
                pass
    except (OSError, ConfigError, msgspec.MsgspecError, UnicodeError):
        return False
    return True


__all__ = ["may_be_damaged", "report_is_whole", "result_is_whole", "sources_are_whole"]
