"""The command with one child process: what people see, what survives, what is reused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.errors import FlambeError, MachineError
from flambe.experiment import desk
from flambe.experiment.session import Settings, run_experiment
from flambe.record.keeper import Keeper
from flambe.record.ledger import read_events
from flambe.record.opening import open_run

ASHA = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 9, "grace_period": 1, "reduction_factor": 3}


def test_a_pipeline_runs_and_a_second_run_reuses_all_of_it(bench):
    rows, run, words = bench.tune(bench.spec(), "--runner", "local")
    assert [row["stage"] for row in rows] == ["source", "climb", "climb", "climb", "climb", "judge", "judge"]
    assert run["counts"] == {"expected": 7, "done": 7, "reused": 0, "failed": 0, "pruned": 0, "pending": 0}
    assert run["best"]["params"] == {"climb.rate": 1.0}
    assert run["best"]["metric"] == pytest.approx(10 * max(row["metric"] for row in rows if row["stage"] == "climb"))
    assert set(rows[1]) == {"run", "stage", "variant", "params", "status", "metric", "step", "seconds", "reused"}
    # What the units print is in their logs, on neither stream of the command.
    assert "this goes to" not in words
    unit = Path(run["run"]) / "stages/climb/rate=1.0"
    assert (unit / "outputs.log").read_text().count("so does this") == 4
    lines = [json.loads(line) for line in (unit / "metrics/climb.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "height" in line] == [1, 2, 3, 4]
    assert {line["threads"] for line in lines if "threads" in line} == {1}

    again, second, _ = bench.tune(bench.spec(), "--runner", "local")
    assert all(row["reused"] for row in again)
    assert second["result_digest"] == run["result_digest"]
    assert second["run"] != run["run"]
    assert "climb/rate=1.0: done already, metric" in (Path(second["run"]) / "outputs.log").read_text()
    forced, third, _ = bench.tune(bench.spec(), "--runner", "local", "--force")
    assert not any(row["reused"] for row in forced)
    assert third["result_digest"] == run["result_digest"]


def test_a_run_whose_reduce_has_nothing_to_compare_failed(bench):
    spec = bench.spec(rates=3, steps=1)
    spec.stages[1].body["$new"] = "toys:Secretive"
    _, run, words = bench.tune(spec, "--runner", "local", code=1)
    assert (run["status"], run["best"]) == ("FAILED", None)
    assert "stage climb: reduce keeps none, for no variant has a metric()" in words
    reason = json.loads((Path(run["run"]) / "run.json").read_text())["status_reason"]
    assert reason == "reduce of climb kept none: metric() gave no number for any variant, so later stages did not run"


_AGAIN = """
import json, sys, time
from flambe.experiment.cli import main
code = main(sys.argv[1:])
imported = sorted({"ray", "torch", "numpy", "rich"} & set(sys.modules))
print(json.dumps([code, time.process_time(), imported]), file=sys.stderr)
"""


@pytest.mark.slow
def test_fifty_variants_share_a_stage_and_the_same_file_again_runs_and_imports_nothing(bench):
    spec = bench.spec(rates=50, steps=2, scheduler=ASHA, reduce=None)
    spec.stages = spec.stages[:2]
    first = run_experiment(spec, Settings(runner="local"))
    assert first.counts == {"expected": 51, "done": 51, "reused": 0, "failed": 0, "pruned": 0, "pending": 0}
    starts = [event["unit"] for event in read_events(first.run / "ledger.jsonl") if event["event"] == "start"]
    assert starts.count("source/0") == 1
    done = subprocess.run(
        [sys.executable, "-c", _AGAIN, bench.command(spec)[-1]], capture_output=True, text=True, timeout=100
    )
    end = json.loads(done.stdout.splitlines()[-1])
    code, seconds, imported = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert end["counts"] == {**first.counts, "reused": 51}
    assert end["result_digest"] == first.result_digest
    assert imported == []
    assert seconds < 2  # of the processor; benchmarks/tune.py shows the real ones


@pytest.mark.slow
def test_a_raising_variant_fails_alone(bench):
    spec = bench.spec(reduce=None, climber={"breaks": {"$grid": [0, 3]}}, rates=2)
    rows, run, words = bench.tune(spec, "--runner", "local", code=1)
    assert run["status"] == "FAILED"
    assert run["counts"] == {"expected": 9, "done": 5, "reused": 0, "failed": 2, "pruned": 2, "pending": 0}
    failed = [row for row in rows if row["status"] == "FAILED"]
    assert all(row["error"].startswith("RuntimeError: the rope broke (") for row in failed)
    assert " in run; the whole traceback: stages/climb/rate=0.5,breaks=3/outputs.log)" in words
    assert "climb/rate=0.5,breaks=3 failed, is tried again: RuntimeError: the rope broke" in words
    log = Path(run["run"]) / "stages/climb/rate=0.5,breaks=3/outputs.log"
    assert 'raise RuntimeError("the rope broke")' in log.read_text()


@pytest.mark.slow
def test_a_child_that_dies_is_replaced_and_its_unit_goes_on(benches, tmp_path):
    calm, rough = benches("calm"), benches("rough")
    # The same spec in both: the calm one finds the mark that says that it died before.
    climber = {"dies": 3, "mark": str(tmp_path / "mark")}
    _, run, words = rough.tune(rough.spec(climber=climber, rates=1), "--runner", "local")
    assert run["counts"]["done"] == 3
    assert (
        "climb/rate=1.0 failed, is tried again beside no other: its process died: signal SIGKILL, perhaps for lack"
        in words
    )
    starts = [e for e in read_events(Path(run["run"]) / "ledger.jsonl") if e["event"] == "start"]
    assert [(e["attempt"], e["from_step"]) for e in starts if e["unit"] == "climb/rate=1.0"] == [(1, 0), (2, 2)]
    _, whole, _ = calm.tune(calm.spec(climber=climber, rates=1), "--runner", "local")
    assert run["result_digest"] == whole["result_digest"]


@pytest.mark.slow
def test_a_config_error_is_not_tried_again(bench):
    spec = bench.spec(climber={"rates": 3}, rates=1)
    rows, _, words = bench.tune(spec, "--runner", "local", "--verbose", code=1)
    assert "is tried again" not in words
    assert "Traceback (most recent call last)" in words
    assert "rates" in next(row["error"] for row in rows if row["status"] == "FAILED")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_the_same_command_goes_on(benches, number):
    calm, stopped = benches("calm"), benches("stopped")
    _, whole, _ = calm.tune(calm.spec(climber={"pause": 0.02}, steps=6), "--runner", "local")
    spec = stopped.spec(climber={"pause": 0.02}, steps=6)
    process = subprocess.Popen(
        stopped.command(spec, "--runner", "local"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    process.send_signal(number)
    out, words = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert json.loads(out.splitlines()[-1])["status"] == "CANCELLED"
    assert "flambe-tune: stopped; the same command goes on from here: " in words
    rows, run, _ = stopped.tune(spec, "--runner", "local")
    assert run["run"].endswith("exp.0")
    assert len(rows) == 7
    assert run["result_digest"] == whole["result_digest"]


@pytest.mark.slow
def test_plan_says_what_runs_and_what_is_reused(bench):
    rows, last, _ = bench.tune(bench.spec(), "--plan")
    assert last["counts"] == {"run": 7}
    assert [row.get("is_guess", False) for row in rows] == [False] * 5 + [True] * 2
    assert not (bench.folder / "out").exists()
    bench.tune(bench.spec(), "--runner", "local")
    rows, last, _ = bench.tune(bench.spec(rates=5, steps=4), "--plan")
    assert last["counts"] == {"reuse": 2, "run": 6}
    _, last, _ = bench.tune(bench.spec(), "--plan")
    assert last["counts"] == {"reuse": 7}


@pytest.mark.slow
def test_questions_about_a_run(bench):
    _, run, _ = bench.tune(bench.spec(), "--runner", "local")

    def ask(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flambe.experiment.cli", *words], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, done.stderr
        return done.stdout or done.stderr

    status = json.loads(ask("status", run["run"]))
    assert status["status"] == "COMPLETE"
    assert status["stages"]["climb"] == {"done": 4}
    assert json.loads(ask("best", run["run"]))["best"]["judge"]["metric"] == run["best"]["metric"]
    assert ask("stop", run["run"], code=4).endswith("is COMPLETE: there is nothing to stop\n")
    assert "is no run directory" in ask("status", str(bench.folder), code=2)
    assert "one spec at a time" in ask("a", "b", code=2)


def test_stop_says_whether_the_process_has_ended(bench):
    keeper = Keeper(open_run(bench.spec(), tool="test"))
    run, asked = str(keeper.paths.root), []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        with pytest.raises(
            FlambeError, match=f"process {os.getpid()} was asked to end .*exp.0 and goes on after 0.2 s"
        ) as told:
            desk.stop(run, patience_s=0.2)
        assert told.value.exit_code == 1
        assert f"kill -9 {os.getpid()}" in str(told.value)
        signal.signal(signal.SIGTERM, lambda number, frame: keeper.close("CANCELLED", reason="SIGTERM"))
        assert desk.stop(run) == {"run": run, "stopped": os.getpid()}
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == [signal.SIGTERM]
    with pytest.raises(MachineError, match="is CANCELLED: there is nothing to stop"):
        desk.stop(run)


def test_wrong_combinations(bench):
    _, _, words = bench.tune(bench.spec(), "--address", "127.0.0.1:1", "--runner", "local", code=2)
    assert "--address joins a Ray, --runner local uses none. Leave one of them out." in words
    spec = bench.spec(scheduler={"$new": "ray.tune.schedulers.pb2:PB2"})
    _, _, words = bench.tune(spec, code=2)
    assert "flambe-tune does not drive the scheduler PB2 of stage 'climb': it needs GPy" in words
    assert not (bench.folder / "out/climb/exp.1").exists()


@pytest.mark.slow
def test_children_of_a_killed_command_end_with_it(bench):
    spec = bench.spec(climber={"pause": 30.0})
    process = subprocess.Popen(bench.command(spec, "--runner", "local"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    events = read_events(bench.folder / "out/climb/exp.0/ledger.jsonl")
    while not any(event["event"] == "start" and event["unit"].startswith("climb") for event in events):
        events = read_events(bench.folder / "out/climb/exp.0/ledger.jsonl")
    child = int(next(event["worker"] for event in events if event["event"] == "start").removeprefix("pid "))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(2000):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        signal.sigtimedwait([], 0.01)
    raise AssertionError("the child is still there after 20 s")


def test_debug_runs_one_variant_after_another(bench):
    _, run, _ = bench.tune(bench.spec(steps=1), "--debug")
    events = read_events(Path(run["run"]) / "ledger.jsonl")
    busy = most = 0
    for event in events:
        busy += {"start": 1, "commit": -1}.get(event["event"], 0)
        most = max(most, busy)
    assert most == 1
    assert json.loads((Path(run["run"]) / "spec.json").read_text())["debug"] is True
