"""Reading run directories: those of the keeper, and those that were cut short, copied in part or made by others."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from flambe.errors import ConfigError
from flambe.reading.query import parse
from flambe.reading.reader import Reader
from flambe.record.keeper import Keeper
from flambe.record.opening import open_run
from flambe.record.run import COMPLETE, Host, RunRecord, StageRecord, Times, now, this_host, write_record
from flambe.runner.unit import StepReport, Unit
from flambe.spec.nodes import GRID, LINK, NEW, Spec, Stage

SPEC = Spec(
    name="sweep",
    stages=[
        Stage(name="data", body={NEW: "m:Data"}),
        Stage(
            name="train", body={NEW: "m:Trainer", "data": {LINK: ["data"]}, "model": {"n_layers": {GRID: [1, 2]}}}
        ),
        Stage(name="test", body={NEW: "m:Evaluator", "model": {LINK: ["train", "model"]}}),
    ],
)  # fmt: skip


def unit(stage: str, variant: str = "0", **params: Any) -> Unit:
    return Unit(stage=stage, variant=variant, body=None, params=params, key=f"key of {stage}/{variant}", seed=0)


def swept(home: Path) -> Keeper:
    """A sweep of three: one done, one failed, one running; the last stage is not planned yet."""
    keeper = Keeper(open_run(SPEC, tool="flambe-tune", output_dir=home))
    data = unit("data")
    keeper.plan(data)
    scratch = keeper.start(data, 1, "w0")
    keeper.commit(data, 1, scratch, StepReport(step=1, more=False))
    for layers in (1, 2, 10):
        keeper.plan(unit("train", f"n_layers={layers}", **{"model.n_layers": layers}), {"data": "data/0"})
    one, two, ten = (unit("train", f"n_layers={n}", **{"model.n_layers": n}) for n in (1, 2, 10))
    scratch = keeper.start(one, 1, "w0")
    lines = b'{"step":1,"Training/Loss":0.5,"_t":0.1}\n{"step":2,"Training/Loss":"NaN","_t":0.2}\n'
    report = StepReport(
        step=1, more=False, metric=0.8, metric_name="Accuracy", streams={"metrics/train.jsonl": lines, "outputs.log": b"hi\n"}
    )  # fmt: skip
    keeper.report(one, 1, report)
    keeper.commit(one, 1, scratch, StepReport(step=1, more=False, metric=0.8, metric_name="Accuracy"))
    keeper.start(two, 1, "w1")
    keeper.fail(two, 1, "ValueError: no", final=True)
    keeper.start(ten, 1, "w0")
    keeper.report(ten, 1, StepReport(step=1, more=True, metric=0.9, metric_name="Accuracy"))
    return keeper


def bare_run(path: Path, *, status: str = COMPLETE, **fields: Any) -> Path:
    path.mkdir(parents=True)
    record = RunRecord(
        id=fields.pop("id", "01X"),
        kind="experiment",
        name=path.parent.name,
        index=0,
        status=status,
        spec_digest="d",
        **fields,
    )
    write_record(path / "run.json", record)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Any:
    keeper = swept(tmp_path)
    yield next(iter(Reader(tmp_path)))
    keeper.close(COMPLETE)


def test_a_run_of_the_keeper_becomes_a_row(run: Any) -> None:
    row = run.row()
    assert row["run"] == str(run.path)
    assert (row["name"], row["index"], row["status"]) == ("sweep", 0, "RUNNING")
    assert (row["stage"], row["best"], row["metric"], row["metric_name"]) == (
        "train", "train/n_layers=1", 0.8, "Accuracy"
    )  # fmt: skip
    counts = ("expected", "done", "failed", "pruned", "running", "pending")
    assert [row[name] for name in counts] == [4, 2, 1, 0, 1, 0]


def test_units_carry_parameters_states_and_metrics(run: Any) -> None:
    rows = {row["unit"]: row for row in (unit.row() for unit in run.units())}
    assert list(rows) == ["data/0", "train/n_layers=1", "train/n_layers=2", "train/n_layers=10"]
    one, two, ten = (rows[f"train/n_layers={n}"] for n in (1, 2, 10))
    assert [row["status"] for row in (one, two, ten)] == ["COMPLETE", "FAILED", "RUNNING"]
    assert one["params.model.n_layers"] == 1
    assert one["best"] is True
    assert one["key"] == "key of train/n_layers=1"
    assert one["lower_is_better"] is False
    assert two["error"] == "ValueError: no"
    assert (ten["step"], ten["metric"], ten["best"]) == (1, 0.9, False)  # it has not finished: not the best yet
    assert "metric" not in two


def test_stages_come_in_the_order_of_the_spec_with_what_they_need(run: Any) -> None:
    assert run.stages() == ["data", "train", "test"]
    assert run.needs() == {"data": [], "train": ["data"], "test": ["train"]}


def test_rows_can_be_asked_for(tmp_path: Path) -> None:
    keeper = swept(tmp_path)
    reader = Reader(tmp_path)
    where = "stage == 'train' and params.model.n_layers >= 2"
    assert [row["variant"] for row in reader.unit_rows(where)] == ["n_layers=2", "n_layers=10"]
    assert [row["name"] for row in reader.rows(parse("metric > 0.7"))] == ["sweep"]
    assert list(reader.rows("metric > 0.85")) == []
    keeper.close(COMPLETE)


def test_a_reader_follows_a_run_that_goes_on(tmp_path: Path) -> None:
    keeper = swept(tmp_path)
    recorded = next(iter(Reader(tmp_path)))
    assert recorded.counts()["running"] == 1
    ten = unit("train", "n_layers=10", **{"model.n_layers": 10})
    keeper.commit(ten, 1, keeper.paths.scratch, StepReport(step=2, more=False, metric=0.95, metric_name="Accuracy"))
    keeper.plan(unit("test"), {"train": "train/n_layers=10"})
    assert recorded.counts() == {
        "expected": 5, "done": 3, "reused": 0, "failed": 1, "pruned": 0, "running": 0, "pending": 1
    }  # fmt: skip
    assert recorded.row()["best"] == "train/n_layers=10"
    keeper.close(COMPLETE)
    assert recorded.status == "COMPLETE"


def test_what_diverged_is_never_the_best(tmp_path: Path) -> None:
    keeper = swept(tmp_path)
    ten = unit("train", "n_layers=10", **{"model.n_layers": 10})
    keeper.commit(ten, 1, keeper.paths.scratch, StepReport(step=2, more=False, metric=math.inf, metric_name="Accuracy"))
    recorded = next(iter(Reader(tmp_path)))
    assert {one.id: one.metric for one in recorded.units()}["train/n_layers=10"] == math.inf
    assert recorded.row()["best"] != "train/n_layers=10"
    keeper.close(COMPLETE)


def test_the_link_best_decides_and_reducing_tells_what_was_kept(tmp_path: Path) -> None:
    keeper = swept(tmp_path)
    keeper.reduce("train", ["train/n_layers=10"], best="train/n_layers=10")
    keeper.close(COMPLETE)
    units = {unit.id: unit for unit in next(iter(Reader(tmp_path))).units()}
    assert [unit.id for unit in units.values() if unit.best] == ["train/n_layers=10"]
    assert units["train/n_layers=10"].kept is True
    assert units["train/n_layers=1"].kept is False
    assert units["data/0"].kept is None


def test_lower_is_better_is_heeded(tmp_path: Path) -> None:
    path = bare_run(tmp_path / "a" / "exp.0")
    for variant, metric in (("x", 0.3), ("y", 0.2)):
        folder = path / "stages" / "train" / variant
        folder.mkdir(parents=True)
        record = StageRecord(
            stage="train", variant=variant, key=variant, status=COMPLETE, metric=metric, lower_is_better=True
        )
        write_record(folder / "run.json", record)
    assert next(iter(Reader(path))).row()["best"] == "train/y"


def test_metric_lines_leave_out_a_torn_end(run: Any) -> None:
    one = run.units()[1]
    assert one.logs() == ["train"]
    with (one.path / "metrics" / "train.jsonl").open("a") as stream:
        stream.write('{"step": 3, "Trai')
    assert [line["Training/Loss"] for line in one.metrics("train")] == [0.5, "NaN"]
    assert list(one.metrics("nothing")) == []
    assert list(one.metrics("../../../run")) == []


def test_a_torn_ledger_line_is_not_there_yet(run: Any) -> None:
    with run.paths.ledger.open("a") as stream:
        stream.write('{"n": 99, "event": "plan", "unit": "test/0"')
        stream.flush()
        assert run.counts()["expected"] == 4
        stream.write(', "stage": "test", "variant": "0"}\n')
        stream.flush()
        assert run.counts()["expected"] == 5


def test_a_broken_ledger_line_is_told_and_the_rest_is_read(run: Any) -> None:
    with run.paths.ledger.open("a") as stream:
        stream.write(
            'nonsense\n{"event": "start"}\n[]\n{"n": 9, "event": "plan", "unit": "test/0", "stage": "test", "variant": "0"}\n'
        )
    assert run.counts()["expected"] == 5
    assert "ledger.jsonl: a line is no event" in run.problems()[0]


def test_a_killed_run_is_lost(tmp_path: Path) -> None:
    path = bare_run(
        tmp_path / "a" / "exp.0", status="RUNNING", host=Host(name="elsewhere", pid=1),
        time=Times(started="2026-01-01T00:00:00.000Z", heartbeat="2026-01-01T00:01:00.000Z"),
    )  # fmt: skip
    for event in (
        {"event": "plan", "unit": "t/0", "stage": "t", "variant": "0"},
        {"event": "start", "unit": "t/0", "attempt": 1, "from_step": 0, "t": "2026-01-01T00:00:01.000Z"},
    ):
        with (path / "ledger.jsonl").open("a") as stream:
            stream.write(json.dumps(event) + "\n")
    run = next(iter(Reader(path)))
    row = run.row()
    assert (row["status"], row["seconds"], row["running"], row["pending"]) == ("LOST", 60.0, 0, 1)
    assert [unit.status for unit in run.units()] == ["LOST"]


def test_a_run_that_was_lost_without_a_word_has_no_seconds(tmp_path: Path) -> None:
    start = "2026-01-01T00:00:00.000Z"
    path = bare_run(
        tmp_path / "a" / "exp.0", status="RUNNING", host=Host(name="elsewhere", pid=1),
        time=Times(started=start, heartbeat=start),
    )  # fmt: skip
    assert "seconds" not in next(iter(Reader(path))).row()
    (path / "ledger.jsonl").write_text(json.dumps({"event": "open", "t": "2026-01-01T00:00:04.000Z"}) + "\n")
    assert next(iter(Reader(path))).row()["seconds"] == 4.0


def test_the_time_between_attempts_is_no_work(tmp_path: Path) -> None:
    path = bare_run(tmp_path / "a" / "exp.0")
    plan = {"event": "plan", "unit": "t/0", "stage": "t", "variant": "0"}
    events = [
        (0, {"event": "open"}), (0, plan), (1, {"event": "start", "unit": "t/0", "attempt": 1, "from_step": 0}),
        (3, {"event": "report", "unit": "t/0", "attempt": 1, "step": 1, "kept": True}),
        (60, {"event": "open"}), (61, {"event": "start", "unit": "t/0", "attempt": 2, "from_step": 1}),
        (61.5, {"event": "fail", "unit": "t/0", "attempt": 2, "final": True, "error": "x"}),
    ]  # fmt: skip
    stamp = "2026-01-01T00:{:02.0f}:{:06.3f}Z".format
    lines = [json.dumps(event | {"t": stamp(*divmod(at, 60))}) for at, event in events]
    (path / "ledger.jsonl").write_text("\n".join(lines) + "\n")
    [unit] = next(iter(Reader(path))).units()
    assert (unit.started, unit.seconds) == ("2026-01-01T00:00:01.000Z", 2.5)


def test_a_live_run_counts_its_seconds(tmp_path: Path) -> None:
    bare_run(
        tmp_path / "a" / "exp.0", status="RUNNING", host=this_host(), time=Times(started=now(), heartbeat=now())
    )  # fmt: skip
    row = next(Reader(tmp_path).rows())
    assert row["status"] == "RUNNING"
    assert 0 <= row["seconds"] < 60


def test_folders_tell_when_there_is_no_ledger_and_no_spec(tmp_path: Path) -> None:
    swept(tmp_path).close(COMPLETE)
    run = next(iter(Reader(tmp_path)))
    run.paths.ledger.unlink()
    run.paths.spec.unlink()
    again = next(iter(Reader(tmp_path)))
    assert [unit.id for unit in again.units()] == [
        "data/0", "train/n_layers=1", "train/n_layers=2", "train/n_layers=10"
    ]  # fmt: skip
    assert again.counts()["failed"] == 1


def test_runs_are_found_in_natural_order_each_once(tmp_path: Path) -> None:
    for index in (10, 9, 2):
        bare_run(tmp_path / "b" / f"exp.{index}")
    bare_run(tmp_path / "a" / "exp.0")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    bare_run(tmp_path / ".hidden" / "exp.0")
    reader = Reader(tmp_path, tmp_path / "b" / "exp.9")
    assert [f"{run.path.parent.name}/{run.path.name}" for run in reader] == [
        "a/exp.0",
        "b/exp.2",
        "b/exp.9",
        "b/exp.10",
    ]
    assert len(reader) == 4


def test_a_unit_is_no_run(tmp_path: Path) -> None:
    swept(tmp_path).close(COMPLETE)
    assert len(Reader(tmp_path / "sweep" / "exp.0" / "stages")) == 0


def test_a_read_only_folder_is_read(tmp_path: Path) -> None:
    swept(tmp_path).close(COMPLETE)
    folders = [path for path in (tmp_path, *tmp_path.rglob("*")) if path.is_dir() and not path.is_symlink()]
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for path in folders:
        path.chmod(0o555)
    try:
        assert next(Reader(tmp_path).rows())["expected"] == 4
        assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    finally:
        for path in folders:
            path.chmod(0o755)


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    bare_run(tmp_path / "a" / "exp.0")
    torn = bare_run(tmp_path / "b" / "exp.0") / "run.json"
    torn.write_bytes(torn.read_bytes()[:40])
    newer = bare_run(tmp_path / "c" / "exp.0") / "run.json"
    newer.write_text(newer.read_text().replace('"1.0"', '"2.0"'))
    reader = Reader(tmp_path)
    assert [row["name"] for row in reader.rows()] == ["a"]
    assert len(reader.problems) == 2
    assert "b/exp.0/run.json cannot be read" in reader.problems[0]
    assert "is of version 2.0, this program reads version 1.x" in reader.problems[1]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere does not exist; expected a run directory, or a folder of runs"):
        Reader(tmp_path / "nowhere")


def test_names_that_lead_out_of_the_run_have_no_folder(tmp_path: Path) -> None:
    path = bare_run(tmp_path / "a" / "exp.0")
    secret = tmp_path / "secret" / "metrics"
    secret.mkdir(parents=True)
    (secret / "train.jsonl").write_text('{"step": 1}\n')
    event = {"event": "plan", "unit": "../../../secret/.", "stage": "../../../secret", "variant": "."}
    (path / "ledger.jsonl").write_text(json.dumps(event) + "\n")
    [found] = next(iter(Reader(path))).units()
    assert found.path is None
    assert found.logs() == []
    assert list(found.metrics("train")) == []
    shutil.rmtree(secret)


def test_searched_objects_are_named_in_columns(tmp_path: Path) -> None:
    path = bare_run(tmp_path / "a" / "exp.0")
    params = {"f": {"$float": "Infinity"}, "o": {NEW: "m:Adam"}, "l": [1, 2], "n": None}
    event = {"event": "plan", "unit": "t/x", "stage": "t", "variant": "x", "params": params}
    (path / "ledger.jsonl").write_text(json.dumps(event) + "\n")
    row = next(Reader(path).unit_rows())
    assert row["params.f"] == float("inf")
    assert row["params.o"] == "Adam"
    assert row["params.l"] == [1, 2]
    assert row["params.n"] is None
