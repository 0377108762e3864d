"""Scenarios of decorated functions: with a copy of their code, in a shared tree of git, in sweeps, and gone on with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scenario import Scenario, look_at_runs, newest, nothing, result_of

from flambe.errors import FlambeError
from flambe.record.code_copy import folder_to_run
from flambe.record.metrics import read_metrics
from flambe.record.run import FAILED, RunRecord, read_record
from flambe.record.snapshot import snapshot_of

SWEEP = "rate=1.0,2.0,3.0"


def functions() -> dict[str, Scenario]:
    """Return the scenarios by name."""
    return {
        "function": launched(["steps=3"]),
        "function resumed": launched(["steps=2", "--resume", "exp.0"], failing(["steps=2"], 1.0)),
        "function in git": launched(["steps=1", "__run__.__snapshot__=git"]),
        # In this process, where its variants can be disturbed too.
        "sweep": launched([SWEEP, "--debug"]),
        "sweep resumed": launched([SWEEP, "--debug", "--resume", "exp.0"], failing([SWEEP, "--debug"], 2.0)),
    }


def launched(words: Sequence[str], prepare: Callable[[Path], Any] = nothing) -> Scenario:
    def act(place: Path) -> int:
        return _run(place, words)

    def home(place: Path) -> Path:
        return place / "DEBUG" if "--debug" in words else place

    def result(place: Path) -> Any:
        root = newest(home(place))
        record = read_record(root / "run.json", RunRecord)
        digest, *rest = result_of(root)
        # A variant that goes on adds to its metric lines, which the digest covers: none is lost or torn, and some are there twice.
        same = lines_of(root) if SWEEP in words and "--resume" in words else digest
        return same, *rest, record.result, code_that_runs(root, record)

    return Scenario(prepare, act, lambda place: look_at_runs(home(place)), result, own=True)


def lines_of(root: Path) -> dict[str, set[str]]:
    """Return the different metric lines of each file of a run, without their seconds."""
    return {
        path.relative_to(root).as_posix(): {
            str({key: value for key, value in line.items() if key != "_t"}) for line in read_metrics(path)
        }
        for path in root.rglob("metrics/*.jsonl")
    }


def gone_on_with(words: Sequence[str]) -> Scenario:
    """A function whose run is gone on with when there is one, in the folder that has its code, and begun anew where that is refused."""

    def act(place: Path) -> int:
        if (place / "toy/exp.0").is_dir():
            try:
                return _run(place, [*words, "--resume", "exp.0"])
            except FlambeError as error:
                print("refused:", error)
        return _run(place, words)

    return launched(words)._replace(act=act)


def code_that_runs(root: Path, record: RunRecord) -> str | None:
    """Return the digest of the code of a run. Raises AssertionError when it is not what the record says."""
    assert record.code is not None
    folder = folder_to_run(root, record.code)
    if folder is None:
        return None
    tree = snapshot_of([str(record.entry)], folder).tree
    if record.code.mode == "copy":
        assert tree == record.code.tree, (tree, record.code.tree)
    return tree


def failing(words: Sequence[str], rate: float) -> Callable[[Path], None]:
    def prepare(place: Path) -> None:
        os.environ["TOY_FAILS_AT"] = str(rate)
        try:
            assert _run(place, words) == 1
        finally:
            del os.environ["TOY_FAILS_AT"]

    return prepare


def _run(place: Path, words: Sequence[str]) -> int:
    from functoy.task import toy

    options = [word for word in words if word.startswith(("--", "exp."))]
    (run,) = toy.run([*options, "--output-dir", str(place), *(word for word in words if word not in options)])
    return int(run.record.status == FAILED)
