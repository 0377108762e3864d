"""The questions that users of mlxp ask of their runs, from the shell; and cleaning up."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from run_builder import sst_run

from flambe.errors import FlambeError, UsageError
from flambe.reading.reader import Reader
from flambe.record.run import (
    COMPLETE,
    Code,
    Host,
    RunRecord,
    StageRecord,
    Times,
    now,
    read_record,
    this_host,
    write_record,
)
from flambe.report.beside import collect_beside
from flambe.report.curves import curve_rows
from flambe.report.garbage import LEFT_AFTER_S, collect, remove
from flambe.report.listing import Request, listing
from flambe.report.plot import plot
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import FUNCTION, NEW, Spec, Stage

T = "2026-03-01T10:00:00.000Z"


def trained(home: Path, index: int, units: int, lr: float, seed: int, *, status: str = COMPLETE) -> Path:
    path = home / "logs" / f"exp.{index}"
    unit = path / "stages" / "main" / "0"
    (unit / "metrics").mkdir(parents=True)
    config = {"model": {"num_units": units}, "optimizer": {"lr": lr}, "seed": seed}
    spec = Spec(kind="function", name="logs", stages=[Stage(name="main", body={NEW: FUNCTION, "config": config})])
    (path / "spec.json").write_bytes(dump_spec(spec))
    times = Times(created=T, started=T, ended=T)
    write_record(
        path / "run.json",
        RunRecord(
            id=f"01X{index}", kind="function", name="logs", index=index, status=status, spec_digest="d", time=times
        ),
    )
    write_record(unit / "run.json", StageRecord(stage="main", variant="0", key="k", status=status, time=times))
    final = abs(math.log10(lr / (0.01 if units == 10 else 0.001))) + 0.1 * seed
    for log, factor in (("train", 1.0), ("test", 2.0)):
        lines = [{"step": step, "loss": factor * (final + 2 - step)} for step in range(3)]
        (unit / "metrics" / f"{log}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("output")
    index = 0
    for units in (10, 20):
        for lr in (0.1, 0.01, 0.001):
            for seed in (0, 1):
                trained(home, index, units, lr, seed, status="FAILED" if index == 11 else COMPLETE)
                index += 1
    return home / "logs"


def ask(logs: Path, **options: Any) -> list[dict[str, Any]]:
    return listing(Reader(logs, index=None), Request(**options)).rows


def report(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flambe.report.cli", *map(str, args)]
    return subprocess.run(command, text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


def test_filtering(logs: Path) -> None:
    rows = ask(logs, where="info.status == 'COMPLETE' & config.optimizer.lr <= 0.1", columns="index")
    assert [row["index"] for row in rows] == list(range(11))


def test_filtering_as_a_frame(logs: Path) -> None:
    done = report(
        "ls",
        logs,
        "-w",
        "min(train.loss) < 0.05",
        "-c",
        "index,config.model.num_units,train.loss,info.logger.log_id",
        "-f",
        "csv",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "index,config.model.num_units,train.loss,info.index",
        "2,10,0.0,2",
        "10,20,0.0,10",
    ]


def test_what_differs(logs: Path) -> None:
    rows = ask(logs, where="index < 2", diff=True)
    assert [list(row) for row in rows] == [["run", "config.seed"]] * 2
    assert list(ask(logs, diff=True)[0]) == ["run", "config.model.num_units", "config.optimizer.lr", "config.seed"]


def test_grouping_and_averaging(logs: Path) -> None:
    rows = ask(
        logs,
        group="config.optimizer.lr",
        agg="mean(train.loss), count(config.seed) as n",
        where="config.model.num_units == 10",
    )
    assert [(row["config.optimizer.lr"], row["n"]) for row in rows] == [(0.1, 2), (0.01, 2), (0.001, 2)]
    assert rows[1]["mean(train.loss)"] == pytest.approx([2.05, 1.05, 0.05])
    assert ask(logs, agg="max(last(test.loss))")[0]["max(last(test.loss))"] == pytest.approx(4.2)


def test_a_group_without_the_column_has_an_empty_cell(tmp_path: Path) -> None:
    trained(tmp_path, 0, 10, 0.1, 0)
    for log in (trained(tmp_path, 1, 10, 2.0, 0) / "stages/main/0/metrics").iterdir():
        log.unlink()
    lr, agg = "config.optimizer.lr", "mean(last(train.loss)) as m, mean(train.loss) as all, mean(metric) as q"
    rows = ask(tmp_path, group=lr, agg=agg)
    assert rows == [
        {lr: 0.1, "m": pytest.approx(1.0), "all": pytest.approx([3.0, 2.0, 1.0]), "q": None},
        {lr: 2.0, "m": None, "all": None, "q": None},
    ]
    assert ask(tmp_path, group=lr, agg=agg, where=f"{lr} > 1") == rows[1:]
    assert ask(tmp_path, group="metric", agg="count(name) as n") == [{"metric": None, "n": 2}]


def test_the_best_rate_of_each_size_and_its_test_loss(logs: Path) -> None:
    rows = ask(
        logs, group="config.model.num_units,config.optimizer.lr", agg="mean(last(train.loss)) as m, mean(last(test.loss))",
        best="min(m)", per="config.model.num_units",
    )  # fmt: skip
    assert rows == [
        {
            "config.model.num_units": 10,
            "config.optimizer.lr": 0.01,
            "m": pytest.approx(0.05),
            "mean(last(test.loss))": pytest.approx(0.1),
        },
        {
            "config.model.num_units": 20,
            "config.optimizer.lr": 0.001,
            "m": pytest.approx(0.05),
            "mean(last(test.loss))": pytest.approx(0.1),
        },
    ]


def test_the_best_run(logs: Path) -> None:
    assert [row["index"] for row in ask(logs, best="min(last(train.loss))", per="config.model.num_units")] == [2, 10]
    assert [row["index"] for row in ask(logs, best="max(config.optimizer.lr)")] == [0]


def test_sorting_by_anything(logs: Path) -> None:
    rows = ask(logs, sort="-config.optimizer.lr,min(train.loss)", columns="index", where="config.seed == 0")
    assert [row["index"] for row in rows] == [0, 6, 2, 8, 10, 4]
    grouped = ask(logs, group="config.seed", agg="count(config.seed) as n", sort="-config.seed", columns="config.seed")
    assert grouped == [{"config.seed": 1}, {"config.seed": 0}]


def test_markdown_fields_and_sql(logs: Path) -> None:
    done = report("ls", logs, "-g", "config.seed", "-a", "count(index) as n", "-f", "md")
    assert done.stdout == "| config.seed | n |\n|---|---|\n| 0 | 6 |\n| 1 | 6 |\n"
    fields = {row["column"]: row["type"] for row in map(json.loads, report("fields", logs).stdout.splitlines())}
    assert (fields["train.loss"], fields["config.optimizer.lr"]) == ("metric", "float")
    done = report(
        "sql",
        logs,
        "SELECT log, count(*) AS n, min(last) AS least FROM metrics WHERE key = 'loss' GROUP BY log ORDER BY log",
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"log": "test", "n": 12, "least": 0.0}, {"log": "train", "n": 12, "least": 0.0}
    ]  # fmt: skip


def test_two_runs_beside_each_other(logs: Path) -> None:
    done = report("diff", logs / "exp.0", logs / "exp.1")
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["column"] for row in rows} == {"config.seed", "train.loss", "test.loss"}
    assert rows[0] == {"column": "config.seed", "a": 0, "b": 1}
    assert report("diff", logs / "exp.0", logs / "exp.0").returncode == 0


def test_curves(logs: Path) -> None:
    rows = [json.loads(line) for line in report("curve", logs / "exp.2", "train.loss").stdout.splitlines()]
    assert [row["value"] for row in rows] == [2.0, 1.0, 0.0]
    drawn = report("curve", logs / "exp.2", "-m", "t*.l?ss", "-f", "plot").stdout
    assert "main/0  train.loss  0" in drawn
    assert "main/0  test.loss  0" in drawn
    reader = Reader(logs / "exp.2")
    assert curve_rows(reader, "", ["train.*"]) == curve_rows(reader, "", ["train.loss"])
    with pytest.raises(UsageError, match=r"'v\*' is neither a path nor a metric of a unit\. Known are "):
        curve_rows(reader, "", ["train.loss", "v*"])


def test_a_plot_has_its_first_and_last_point_in_its_corners() -> None:
    lines = plot([(0, 0.0), (1, 1.0)], width=10, height=3)
    assert lines[0].startswith("1 ┤")
    assert lines[2].startswith("0 ┤")
    assert lines[0][-1] != "⠀"
    assert lines[2][3] != "⠀"
    assert lines[-1].split() == ["0", "1"]
    assert plot([(0, math.nan)]) == ["(nothing to draw)"]
    assert len(plot([(3, 2.0)])) == 14


def test_deleting_a_run(tmp_path: Path) -> None:
    keep, go = trained(tmp_path, 0, 10, 0.1, 0), trained(tmp_path, 1, 10, 0.1, 0)
    os.link(go / "spec.json", keep / "shared.json")
    told = json.loads(report("rm", go, "--dry-run").stdout)
    assert told["action"] == "remove"
    assert told["bytes"] > 500
    assert go.exists()
    assert json.loads(report("rm", go).stdout)["action"] == "removed"
    assert not go.exists()
    assert (keep / "shared.json").read_bytes()
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["exp.0"]


def test_a_run_that_is_going_on_is_not_deleted(tmp_path: Path) -> None:
    path = trained(tmp_path, 0, 10, 0.1, 0)
    record = read_record(path / "run.json", RunRecord)
    record.status, record.host, record.time.heartbeat = "RUNNING", this_host(), now()
    write_record(path / "run.json", record)
    done = report("rm", path)
    assert (done.returncode, path.exists()) == (1, True)
    assert "is running. Stop it first; nothing was deleted." in done.stderr


def scratched(path: Path) -> None:
    (path / ".scratch" / "x").mkdir(parents=True)
    (path / ".scratch" / "x" / "state").write_bytes(b"x" * 100)
    (path / "stages/main/0/steps/1").mkdir(parents=True)
    (path / "stages/main/0/steps/1/state.json").write_bytes(b"y" * 50)
    (path / ".run.json.abc").write_bytes(b"z" * 7)
    os.utime(path / ".run.json.abc", (0, 0))


def test_what_nobody_needs_goes_and_the_rest_is_explained(tmp_path: Path) -> None:
    path = trained(tmp_path, 0, 10, 0.1, 0)
    scratched(path)
    [run] = Reader(path, index=None)
    before = sorted(str(file) for file in path.rglob("*"))
    told = {one.what: one for one in collect(run, dry_run=True) if one.remove}
    assert {what: one.bytes for what, one in told.items()} == {"scratch": 100, "steps": 50, "torn": 7}
    assert sorted(str(file) for file in path.rglob("*")) == before
    found = collect(run, dry_run=False)
    assert not any((path / name).exists() for name in (".scratch", "stages/main/0/steps", ".run.json.abc"))
    assert all(one.why for one in found)
    whole = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert sum(one.bytes for one in found if not one.remove) == whole  # every byte is accounted for
    assert not any(one.remove for one in collect(run, dry_run=False))


@pytest.mark.parametrize("status", ["CANCELLED", "LOST", "FAILED"])
def test_a_run_that_may_go_on_keeps_its_steps(tmp_path: Path, status: str) -> None:
    path = trained(tmp_path, 0, 10, 0.1, 0, status="RUNNING" if status == "LOST" else status)
    if status == "LOST":
        record = read_record(path / "run.json", RunRecord)
        record.host, record.time.heartbeat = Host(name="gone"), T
        write_record(path / "run.json", record)
    scratched(path)
    [run] = Reader(path, index=None)
    assert {one.what for one in collect(run, dry_run=False) if one.remove} == {"scratch", "torn"}
    assert (path / "stages/main/0/steps/1/state.json").exists()


def test_nothing_of_a_run_that_is_written_is_touched(tmp_path: Path) -> None:
    from flambe.record.ledger import Ledger

    path = trained(tmp_path, 0, 10, 0.1, 0)
    scratched(path)
    ledger = Ledger(path / "ledger.jsonl")
    try:
        [run] = Reader(path, index=None)
        found = collect(run, dry_run=False)
        assert not any(one.remove for one in found)
        assert {"another process writes it"} <= {one.why for one in found}
        assert (path / ".scratch").exists()
        with pytest.raises(Exception, match="is running"):
            remove(run, dry_run=False)
    finally:
        ledger.close()


def test_the_rest_of_a_run_that_was_being_deleted_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trained(tmp_path, 0, 10, 0.1, 0)
    [run] = Reader(path, index=None)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda place: (_ for _ in ()).throw(OSError(5, "Input/output error", place)))
        with pytest.raises(FlambeError, match="cannot be deleted: Input/output error"):
            remove(run, dry_run=False)
    assert not path.exists()  # no half run
    trained(tmp_path, 1, 10, 0.1, 0)
    rows = [json.loads(line) for line in report("gc", tmp_path, "--dry-run").stdout.splitlines()]
    (row,) = [row for row in rows if row["what"] == "torn"]
    assert (row["action"], row["why"]) == ("remove", "the rest of a run that was deleted")
    assert row["bytes"] > 0
    report("gc", tmp_path)
    assert [place.name for place in path.parent.iterdir()] == ["exp.1"]


def test_what_lies_beside_runs_goes_when_none_needs_it(tmp_path: Path) -> None:
    home, torn, long_ago = tmp_path / "logs", tmp_path / "logs/exp.7", time.time() - 2 * LEFT_AFTER_S
    for number, name in enumerate(("used", "new", "old")):
        path = trained(tmp_path, number, 10, 0.1, 0)
        (home / ".code" / name).mkdir(parents=True)
        (home / ".code" / name / "main.py").write_bytes(b"x" * 1000)
        (home / ".code" / f"{name}.files").write_bytes(b"y" * 10)
        record = read_record(path / "run.json", RunRecord)
        record.code = Code(mode="git", path=f"../.code/{name}", tree=name)
        write_record(path / "run.json", record)
        if name != "new":
            for made in (home / ".code" / name, home / ".code" / f"{name}.files"):
                os.utime(made, (long_ago, long_ago))
    for number in (1, 2):
        shutil.rmtree(home / f"exp.{number}")

    def told(*words: str) -> dict[str, tuple[str, str]]:
        rows = [json.loads(line) for line in report("gc", *words).stdout.splitlines()]
        there = sum(file.stat().st_size for file in Path(words[0]).rglob("*") if file.is_file())
        if "--dry-run" not in words:  # every byte is accounted for
            assert sum(row["bytes"] for row in rows if row["action"] == "keep") == there - 2 * torn.is_dir()
        return {
            str(Path(row["run"], row["path"]).relative_to(home)): (row["action"], row["why"])
            for row in rows
            if row["what"] in ("code", "list")
        }

    (home / ".finished").write_bytes(b"z" * 100)
    (home / "DEBUG").mkdir()
    (home / "DEBUG/.finished").write_bytes(b"z")
    stays = {
        ".finished": ("keep", "tells tables of 1 run"),
        **dict.fromkeys((".code/used", ".code/used.files"), ("keep", "the code of 1 run")),
        **dict.fromkeys((".code/new", ".code/new.files"), ("keep", "no run has it, but one may be about to begin")),
    }
    goes = dict.fromkeys((".code/old", ".code/old.files", "DEBUG/.finished"), ("remove", "no run has it any more"))
    assert told(str(home), "--dry-run") == stays | goes
    assert told(str(home / "exp.0")) == {}
    torn.mkdir()
    unread = ("keep", "it may be of a run that cannot be read")
    (torn / "run.json").write_text("{{")
    assert told(str(home))[".code/old"] == unread
    shutil.rmtree(torn)
    [odd] = Reader(home / "exp.0", index=None)
    odd.record.code = Code(mode="git", path="../.code/\0")
    beside = collect_beside(home, [odd], whole=True, dry_run=True)
    assert {one.why for one in beside if one.path.name == "old"} == {unread[1]}
    assert told(str(tmp_path))[".code/old"] == ("removed", "no run has it any more")
    assert sorted(path.name for path in (home / ".code").iterdir()) == ["new", "new.files", "used", "used.files"]


def test_shared_bytes_are_told_apart(tmp_path: Path) -> None:
    run = sst_run(tmp_path)
    checkpoint = run.path / "stages" / "dataset" / "0" / "checkpoint"
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "state.safetensors").write_bytes(b"w" * 1000)
    os.link(checkpoint / "state.safetensors", tmp_path / "of-another-run")
    rows = [json.loads(line) for line in report("gc", tmp_path, "--dry-run").stdout.splitlines()]
    [row] = [row for row in rows if row["path"].endswith("0/checkpoint") and row["shared"]]
    assert (row["what"], row["action"], row["shared"]) == ("result", "keep", 1000)
