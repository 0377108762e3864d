"""``Scenario``: something that writes to the store, and what must hold when it was disturbed."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import flambe
from flambe.errors import FlambeError
from flambe.reading.reader import Reader
from flambe.record.artifacts import Artifacts
from flambe.record.layout import RunPaths
from flambe.record.ledger import fold, read_events
from flambe.record.metrics import read_metrics
from flambe.record.run import COMPLETE, FAILED, RUNNING, RunRecord, StageRecord, read_record
from flambe.spec.digest import file_digest


def nothing(place: Path) -> None:
    """Prepare nothing."""


class Scenario(NamedTuple):
    """prepare: what is there before. act: what is disturbed, and is given again. between: what must hold in between. result: what it
    comes to. own: whether the user's own code writes too, and may be told of it by its traceback.
    """

    prepare: Callable[[Path], Any]
    act: Callable[[Path], int]
    between: Callable[[Path], None]
    result: Callable[[Path], Any]
    own: bool = False


def newest(place: Path, name: str = "toy") -> Path:
    """Return the newest run of a name."""
    return max((place / name).glob("exp.*"), key=lambda path: int(path.name.partition(".")[2]))


def result_of(root: Path) -> Any:
    """Return what a run that has ended came to. Raises AssertionError when its ledger, or what is left in its folder, is wrong."""
    paths = RunPaths(root)
    record = read_record(paths.record, RunRecord)
    assert record.status in (COMPLETE, FAILED), record.status
    events = read_events(paths.ledger)
    made: dict[str, int] = {}
    for event in events:
        if event["event"] == "plan":
            made[event["unit"]] = 0
        elif event["event"] in ("commit", "reuse"):
            made[event["unit"]] += 1
            assert made[event["unit"]] == 1, event
    assert [event["n"] for event in events] == list(range(len(events)))
    counts = {name: number for name, number in record.counts.items() if name != "reused"}
    # A folder that the disk would not take away is empty, and hidden.
    left = [path for path in root.rglob(".*") if not path.is_dir() or any(path.iterdir())]
    assert not left, left
    written = {
        path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.glob("stages/*/*/artifacts/*.txt"))
    }
    listed = {
        f"{index.parent.relative_to(root)}/{entry.path}": entry.sha256
        for index in sorted(root.rglob("artifacts.jsonl"))
        for entry in Artifacts(index.parent).entries()
    }
    for path, digest in listed.items():
        assert digest == file_digest(root / path), path
    return record.result_digest, counts, written, listed


def look_as_stranger(place: Path, but: Collection[str] = ()) -> None:
    """Who believes the lists of finished runs is told what who reads each run is told. but: runs that may be told of otherwise."""
    if not place.exists():
        return
    with tempfile.TemporaryDirectory() as cache:
        told = [_rows(Reader(place, index=index), but) for index in (cache, None)]
    assert told[0] == told[1]


def _rows(reader: Reader, but: Collection[str]) -> list[Any]:
    metrics = [name for name, kind in reader.fields.items() if kind == "metric"]
    found = []
    for row in [*reader.select(), *reader.select(units=True)]:
        cells = dict(row.cells)
        if cells.get("info.status") == RUNNING:
            cells.pop("seconds", None)  # until now
        if cells["run"] not in but:
            found.append((cells, {name: row.get(name) for name in metrics}))
    return found


def look_at_runs(place: Path, name: str = "toy") -> None:
    """Every run can be read: each file is whole or not there, and what the ledger calls done is done."""
    for root in sorted((place / name).glob("exp.*")):
        paths = RunPaths(root)
        state = fold(read_events(paths.ledger))
        if paths.record.exists():
            read_record(paths.record, RunRecord)
        for record in root.glob("stages/*/*/run.json"):
            read_record(record, StageRecord)
        for file in root.rglob("metrics/*.jsonl"):
            list(read_metrics(file))
        for index in root.rglob("artifacts.jsonl"):
            kept = Artifacts(index.parent)
            for entry in kept.entries():
                if "steps" not in index.relative_to(root).parts:
                    kept.load(entry.name, entry.type)
        for unit in state.done:
            done = paths.folder(unit)
            assert read_record(done.record, StageRecord).status == COMPLETE, unit
            if done.checkpoint.exists():
                flambe.load(done.checkpoint, extensions=["toyext"])
    look_as_stranger(place)


def look_at_torn(place: Path) -> None:
    """Whatever is torn is told as such."""
    began_again: list[str] = []
    for ledger in place.rglob("ledger.jsonl"):
        with contextlib.suppress(FlambeError):
            events = read_events(ledger)
            # Its record may be the one of its end before, and then so is what a list says.
            if events and events[-1]["event"] != "close":
                began_again.append(str(ledger.parent))
        with contextlib.suppress(FlambeError, FileNotFoundError):
            read_record(ledger.with_name("run.json"), RunRecord)
    look_as_stranger(place, but=began_again)
