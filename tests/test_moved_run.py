"""A run whose folder was moved goes on, answers, and is shipped as if it had stayed (C9.17 of experiments)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import flambe
from flambe import Reader
from flambe.record.layout import RunPaths
from flambe.record.ledger import read_events

RECORD = Path(__file__).resolve().parents[1] / "packages/flambe-config/tests/record"


def test_a_moved_run_goes_on_is_asked_and_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(RECORD), *sys.path])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    from experiments import runs, stopped_after
    from store_toys import spec_of, toys_at

    from flambe.export.artifact import verify
    from flambe.export.cli import build_artifact
    from flambe.spec.nodes import Spec, Stage

    spec = spec_of(toys_at(tmp_path / "toys"))
    (tmp_path / "out").mkdir()
    stopped_after(spec, 2)(tmp_path / "out")
    there = (tmp_path / "out").rename(tmp_path / "far away")
    assert runs(spec).act(there) == 0
    (run,) = there.glob("toy/exp.*")
    started = [event for event in read_events(RunPaths(run).ledger) if event["event"] == "start"]
    assert [(event["unit"], event["from_step"]) for event in started] == [("walk/0", 0), ("walk/0", 2), ("look/0", 0)]

    there = there.rename(tmp_path / "farther")
    (row,) = Reader(there).filter("min(`walk.walk/position`) > 0 & step == 3", units=True)
    assert row["info.path"] == str(there / "toy/exp.0/stages/walk/0")
    weights = flambe.load(there / "toy/exp.0/stages/walk/best/checkpoint/model", extensions=["toyext"]).weights
    # The whole of what was done is taken again, from where it is now.
    assert runs(spec).act(there) == 0
    assert {row["reused_from"] for row in Reader(there).unit_rows("index == 1")} == {
        "../exp.0/stages/walk/0",
        "../exp.0/stages/look/0",
    }
    path = there / "toy/exp.0/stages/walk/best/checkpoint/model"
    body = {"$new": "flambe.export:Exporter", "model": {"$new": "toyext:Model.load_from_path", "path": str(path)}}
    builder = {
        "$new": "flambe.export:Builder",
        "destination": str(tmp_path / "made"),
        "storage": "local",
        "component": body,
    }
    shipped = Spec(
        name="made", kind="runnable", stages=[Stage(name="made", body=builder)], environment=spec.environment
    )
    build_artifact(shipped, force=False)
    verify(tmp_path / "made")
    assert np.array_equal(flambe.load(tmp_path / "made", extensions=["toyext"]).model.weights, weights)
