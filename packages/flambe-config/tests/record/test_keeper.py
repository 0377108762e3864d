"""The keeper: numbers, attempts, streams cut back, reuse by key."""

import os
import shutil

import msgspec
import numpy as np
import pytest

from flambe.build.state import write_state
from flambe.errors import ConfigError, FlambeError, ProvenanceError
from flambe.record import run
from flambe.record.keeper import Keeper
from flambe.record.ledger import Ledger, fold, read_events
from flambe.record.opening import open_run
from flambe.record.refused import DiskRefused
from flambe.record.result import ResultStore, run_digest
from flambe.record.run import RunRecord, StageRecord, read_record
from flambe.runner.plan import concrete_units
from flambe.runner.unit import StepReport
from flambe.spec.nodes import Spec, Stage


def spec_of(tmp_path, *, seed=0, value=1):
    body = {"$new": "toy:Counter", "value": value}
    follower = {"$new": "toy:Follower", "counter": {"$link": ["count"], "attr": ["value"]}}
    return Spec(
        name="toy",
        output_dir=str(tmp_path / "out"),
        seed=seed,
        stages=[
            Stage(name="count", body=body, params={"value": value}),
            Stage(name="follow", body=follower),
        ],
    )


def hand_in(scratch, text="x"):
    checkpoint = scratch / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "manifest.json").write_bytes(msgspec.json.encode({"files": {}, "text": text}))
    (scratch / "exports.json").write_text("{}")
    return scratch


def finish(keeper, unit, attempt=1, **report):
    scratch = keeper.start(unit, attempt, "w")
    return keeper.commit(unit, attempt, hand_in(scratch), StepReport(step=1, more=False, **report))


def test_finished_runs_are_numbered_and_unfinished_ones_continued(tmp_path):
    spec = spec_of(tmp_path)
    first = Keeper(open_run(spec, tool="t"))
    assert first.paths.root.name == "exp.0"
    assert read_record(first.paths.record, RunRecord).status == run.RUNNING
    first.close(run.CANCELLED)
    second = Keeper(open_run(spec, tool="t"))
    assert second.paths.root.name == "exp.0"
    second.close(run.COMPLETE)
    third = Keeper(open_run(spec, tool="t"))
    assert third.paths.root.name == "exp.1"
    other = Keeper(open_run(spec_of(tmp_path, seed=1), tool="t"))
    assert other.paths.root.name == "exp.2"
    third.close(run.COMPLETE)
    other.close(run.COMPLETE)


def test_a_live_run_is_not_continued_but_a_new_number_claimed(tmp_path):
    first = Keeper(open_run(spec_of(tmp_path), tool="t"))
    second = Keeper(open_run(spec_of(tmp_path), tool="t"))
    assert second.paths.root.name == "exp.1"
    first.close(run.COMPLETE)
    second.close(run.COMPLETE)


def test_the_result_of_an_attempt_that_is_over_is_refused(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    keeper.fail(unit, 1, "its worker died", final=False)
    keeper.start(unit, 2, "w2")
    with pytest.raises(FlambeError, match="attempt 1 of count/value=1 is over"):
        keeper.commit(unit, 1, hand_in(scratch), StepReport(step=1, more=False))
    keeper.close(run.FAILED)


def test_streams_are_cut_back_to_what_the_checkpoint_recorded(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    for step in (1, 2, 3):
        state = scratch / "steps" / str(step)
        state.mkdir(parents=True, exist_ok=True)
        line = msgspec.json.encode({"step": step}) + b"\n"
        report = StepReport(step=step, more=True, streams={"metrics/count.jsonl": line})
        keeper.report(unit, 1, report, state if step < 3 else None)
    assert keeper.state.steps[unit.id] == 2
    keeper.fail(unit, 1, "killed", final=False)
    keeper.start(unit, 2, "w", from_step=2)
    folder = keeper.paths.unit(unit.stage, unit.variant)
    assert (folder.metrics / "count.jsonl").read_bytes() == b'{"step":1}\n{"step":2}\n'
    keeper.fail(unit, 2, "killed", final=False)
    keeper.start(unit, 3, "w", from_step=0)
    assert not (folder.metrics / "count.jsonl").exists()
    keeper.close(run.CANCELLED)


def test_best_and_last_step_are_kept(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    for step, metric in enumerate([0.1, 0.9, 0.5, 0.4], start=1):
        state = scratch / "steps" / str(step)
        state.mkdir(parents=True, exist_ok=True)
        keeper.report(unit, 1, StepReport(step=step, more=True, metric=metric), state)
    kept = {path.name for path in keeper.paths.unit(unit.stage, unit.variant).steps.iterdir()}
    assert kept == {"2", "4"}
    keeper.close(run.CANCELLED)


def test_a_thousand_steps_take_no_more_room_than_two(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    most = 0
    for step in range(1, 1001):
        state = scratch / "steps" / str(step)
        state.mkdir(parents=True, exist_ok=True)
        (state / "state.json").write_bytes(b"x" * 1000)
        # Up and down: now and then the best so far, and then long not.
        metric = step % 100 + step / 1000
        keeper.report(unit, 1, StepReport(step=step, more=True, metric=metric, streams={"outputs.log": b"x"}), state)
        most = max(most, len(os.listdir(keeper.paths.unit(unit.stage, unit.variant).steps)))
    assert most == 2
    kept = {path.name for path in keeper.paths.unit(unit.stage, unit.variant).steps.iterdir()}
    assert kept == {"999", "1000"}
    lines = (keeper.paths.ledger, keeper.paths.unit(unit.stage, unit.variant).outputs)
    rest = sum(path.stat().st_size for path in keeper.paths.root.rglob("*") if path.is_file() and path not in lines)
    assert rest < 10_000
    assert keeper.paths.ledger.stat().st_size < 1000 * 250
    keeper.close(run.CANCELLED)


def test_an_equal_result_is_found_by_key_and_survives_the_run_it_came_from(tmp_path):
    import shutil

    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    count, follow = concrete_units(keeper.spec, keeper.paths.root)
    for unit in (count, follow):
        keeper.plan(unit)
        finish(keeper, unit, metric=0.5)
    first = keeper.close(run.COMPLETE)
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    store = ResultStore(tmp_path / "out")
    for unit in concrete_units(again.spec, again.paths.root):
        found = store.find(unit.key)
        assert found is not None
        again.plan(unit)
        again.reuse(unit, found)
    assert again.state.counts()["reused"] == 2
    shutil.rmtree(keeper.paths.root)
    folder = again.paths.unit("count", "value=1")
    assert (folder.checkpoint / "manifest.json").exists()
    assert read_record(folder.record, StageRecord).metric == 0.5
    assert again.close(run.COMPLETE).result_digest == first.result_digest
    assert store.find("nothing") is None


def test_a_torn_result_is_not_reused(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    hand_in(scratch)
    (scratch / "checkpoint" / "state.json").write_text("{}")
    from flambe.spec.digest import file_digest

    digest = file_digest(scratch / "checkpoint" / "state.json")
    (scratch / "checkpoint" / "manifest.json").write_bytes(msgspec.json.encode({"files": {"state.json": digest}}))
    keeper.commit(unit, 1, scratch, StepReport(step=1, more=False))
    assert ResultStore(tmp_path / "out").find(unit.key) is not None
    (keeper.paths.unit("count", "value=1").checkpoint / "state.json").write_text("{")
    assert ResultStore(tmp_path / "out").find(unit.key) is None
    keeper.close(run.COMPLETE)


def test_a_key_changes_with_parameters_seed_and_what_a_stage_needs(tmp_path):
    def keys(**changes):
        return [unit.key for unit in concrete_units(spec_of(tmp_path, **changes), tmp_path)]

    base = keys()
    assert keys() == base
    assert all(a != b for a, b in zip(base, keys(seed=1), strict=True))
    # The second stage only links to the first one; its own body is the same.
    assert all(a != b for a, b in zip(base, keys(value=2), strict=True))


def test_a_second_writer_of_an_unfinished_run_is_refused(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    record = read_record(keeper.paths.record, RunRecord)
    record.time.heartbeat = "2020-01-01T00:00:00.000Z"  # it looks dead, but it holds the lock
    run.write_record(keeper.paths.record, record)
    with pytest.raises(ProvenanceError):
        Keeper(open_run(spec_of(tmp_path), tool="t"))
    keeper.close(run.COMPLETE)


# -- continuing ----------------------------------------------------------------------------------------------------------


def step_of(scratch, number):
    folder = scratch / "steps" / str(number)
    write_state(folder, {"step": number, "weights": np.arange(number + 1.0)})
    return folder


def stopped_after(tmp_path, metrics):
    """A run whose first unit was stopped after some steps."""
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    for step, metric in enumerate(metrics, start=1):
        line = msgspec.json.encode({"step": step}) + b"\n"
        report = StepReport(step=step, more=True, metric=metric, streams={"metrics/count.jsonl": line})
        keeper.report(unit, 1, report, step_of(scratch, step))
    keeper.close(run.CANCELLED)
    return keeper.paths.unit(unit.stage, unit.variant), unit


@pytest.mark.parametrize("harm", ["gone", "no json", "torn json", "torn tensors", "no tensors"])
def test_a_step_that_is_not_whole_is_not_continued_from(tmp_path, harm):
    folder, unit = stopped_after(tmp_path, [0.9, 0.5, 0.4])  # kept: 1, the best, and 3, the last
    tensors, text = folder.step(3) / "state.safetensors", folder.step(3) / "state.json"
    match harm:
        case "gone":
            shutil.rmtree(folder.step(3))
        case "no json":
            text.unlink()
        case "torn json":
            text.write_bytes(text.read_bytes()[:-3])
        case "torn tensors":
            tensors.write_bytes(tensors.read_bytes()[:-3])
        case "no tensors":
            tensors.unlink()
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    assert again.state.steps[unit.id] == 1
    assert [report["step"] for report in again.state.reports[unit.id]] == [1]
    assert "count/value=1: steps/3 is not whole, so it goes on from step 1" in again.paths.outputs.read_text()
    again.start(unit, 2, "w", from_step=1)
    assert (folder.metrics / "count.jsonl").read_bytes() == b'{"step":1}\n'
    again.close(run.CANCELLED)
    shutil.rmtree(folder.steps)
    last = Keeper(open_run(spec_of(tmp_path), tool="t"))
    assert last.state.steps[unit.id] == 0
    last.close(run.CANCELLED)


def test_a_whole_step_is_continued_from(tmp_path):
    _, unit = stopped_after(tmp_path, [0.9, 0.5])
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    assert again.state.steps[unit.id] == 2
    assert len(again.state.reports[unit.id]) == 2
    again.close(run.CANCELLED)


def test_a_unit_whose_code_has_changed_begins_anew(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    done, half = concrete_units(keeper.spec, keeper.paths.root)
    keeper.plan(done)
    finish(keeper, done, metric=0.5)
    keeper.plan(half)
    keeper.report(half, 1, StepReport(step=1, more=True), step_of(keeper.start(half, 1, "w"), 1))
    keeper.decision(half, 1, "stop")
    keeper.reduce("count", [done.id])
    keeper.close(run.CANCELLED)
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    for unit in (done, half):
        again.plan(msgspec.structs.replace(unit, key="other"))
    assert again.state.counts()["pending"] == 2
    assert again.state.steps == {}
    assert again.state.reduced == {}
    assert fold(read_events(again.paths.ledger)) == again.state
    before = run_digest("spec", again.state)
    fresh = fold(event for event in again.state.events if event["event"] == "plan")
    assert before == run_digest("spec", fresh)
    again.close(run.CANCELLED)


def test_what_an_earlier_attempt_made_is_no_part_of_the_next_one(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    folder = keeper.paths.unit(unit.stage, unit.variant)
    scratch = hand_in(keeper.start(unit, 1, "w"))
    (scratch / "artifacts").mkdir()
    (scratch / "exports.safetensors").write_bytes(b"")
    keeper.commit(unit, 1, scratch, StepReport(step=1, more=False))
    (folder.root / ".run.json.abcdefgh").write_bytes(b"left by a kill")
    keeper.plan(msgspec.structs.replace(unit, key="other"))
    keeper.start(unit, 2, "w")
    assert [path.name for path in folder.root.iterdir()] == ["run.json"]
    keeper.close(run.CANCELLED)


def test_what_a_kill_left_in_the_run_is_taken_away(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    keeper.close(run.CANCELLED)
    (keeper.paths.root / ".run.json.abcdefgh").write_bytes(b"")
    (keeper.paths.scratch / "old").mkdir(parents=True)
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    assert [path.name for path in again.paths.root.iterdir() if path.name.startswith(".")] == []
    again.close(run.CANCELLED)


def test_the_files_that_were_read_before_a_kill_are_still_inputs(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    first, second = ({"path": name, "size": 1, "mtime_ns": 1, "sha256": name} for name in ("/a", "/b"))
    scratch = keeper.start(unit, 1, "w")
    keeper.report(unit, 1, StepReport(step=1, more=True, inputs=[first]), step_of(scratch, 1))
    keeper.close(run.CANCELLED)
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    scratch = again.start(unit, 2, "w", from_step=1)
    again.report(unit, 2, StepReport(step=2, more=True, inputs=[second]), step_of(scratch, 2))
    again.commit(unit, 2, hand_in(scratch), StepReport(step=3, more=False, inputs=[second]))
    record = read_record(again.paths.unit(unit.stage, unit.variant).record, StageRecord)
    assert record.inputs == [first, second]
    # From the beginning, it has read nothing yet.
    again.plan(msgspec.structs.replace(unit, key="other"))
    again.start(unit, 3, "w")
    assert read_record(again.paths.unit(unit.stage, unit.variant).record, StageRecord).inputs == []
    again.close(run.CANCELLED)


# -- records -------------------------------------------------------------------------------------------------------------


def test_records_of_units_that_another_process_began_are_kept_up(tmp_path):
    folder, unit = stopped_after(tmp_path, [0.9])
    assert read_record(folder.record, StageRecord).status == run.CANCELLED
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    again.prune(unit, "not wanted")
    record = read_record(folder.record, StageRecord)
    assert (record.status, record.status_reason, record.step) == (run.PRUNED, "not wanted", 1)
    again.close(run.COMPLETE)


def test_a_record_never_lags_behind_the_ledger(tmp_path, monkeypatch):
    """A kill between the two leaves a record that the next attempt writes again, not one that stays wrong for ever."""
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    keeper.report(unit, 1, StepReport(step=1, more=True), step_of(scratch, 1))
    folder = keeper.paths.unit(unit.stage, unit.variant)
    seen = {}
    real = keeper.ledger.append

    def append(event, **fields):
        seen[event] = read_record(folder.record, StageRecord).status
        return real(event, **fields)

    monkeypatch.setattr(keeper.ledger, "append", append)
    keeper.pause(unit, 1)
    keeper.start(unit, 2, "w", from_step=1)
    keeper.fail(unit, 2, "broken", final=True)
    keeper.prune(unit, "not wanted")
    assert seen == {"pause": run.PAUSED, "start": run.RUNNING, "fail": run.FAILED, "prune": run.PRUNED}
    keeper.close(run.CANCELLED)


@pytest.mark.parametrize(
    ("metric", "text"), [(float("nan"), "NaN"), (float("inf"), "Infinity"), (float("-inf"), "-Infinity"), (0.5, 0.5)]
)
def test_a_metric_that_is_no_finite_number_is_text_in_every_file(tmp_path, metric, text):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    finish(keeper, unit, metric=metric)
    keeper.close(run.COMPLETE)
    record = keeper.paths.unit(unit.stage, unit.variant).record
    assert msgspec.json.decode(record.read_bytes())["metric"] == text
    commits = [
        msgspec.json.decode(line) for line in keeper.paths.ledger.read_bytes().splitlines() if b'"commit"' in line
    ]
    assert commits[0]["metric"] == text
    for read in (read_record(record, StageRecord).metric, keeper.state.done[unit.id]["metric"]):
        assert read == metric or read != read != metric


def test_the_end_by_a_signal_is_recorded(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    record = keeper.close(run.CANCELLED, reason="SIGTERM")
    assert (record.exit.signal, record.exit.code) == ("SIGTERM", 143)
    assert read_record(keeper.paths.record, RunRecord).exit == record.exit


def test_a_folder_that_cannot_be_opened_keeps_no_lock(tmp_path, monkeypatch):
    from flambe.record import opening as module

    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_sources", full)
    with pytest.raises(DiskRefused, match="No space"):
        Keeper(open_run(spec_of(tmp_path), tool="t"))
    Ledger(tmp_path / "out" / "toy" / "exp.0" / "ledger.jsonl").close()


@pytest.mark.parametrize("name", ["", "/etc", "..", "a/../../b", "a//b", "a/", ".hidden", "a\0b"])
def test_a_name_that_leads_out_of_the_output_folder_is_refused(tmp_path, name):
    spec = spec_of(tmp_path)
    spec.name = name
    with pytest.raises(ConfigError, match="the name .* cannot be used for a folder"):
        Keeper(open_run(spec, tool="t"))
    spec.name, spec.stages[0].name = "toy", name or "a/b"
    with pytest.raises(ConfigError, match="the stage name .* cannot be used for a folder"):
        Keeper(open_run(spec, tool="t"))
    assert not (tmp_path / "out").exists()


def test_the_scratch_folder_of_a_result_serves_the_next_attempt_and_keeps_nothing(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    count, follow = concrete_units(keeper.spec, keeper.paths.root)
    keeper.plan(count)
    keeper.plan(follow, {"count": count.id})
    first = keeper.start(count, 1, "w")
    (first / "artifacts").mkdir()
    (first / "steps/1").mkdir(parents=True)
    for name in ("steps/1/state.json", "outputs.log"):
        (first / name).write_text("of the first unit")
    place = first.stat().st_ino
    keeper.commit(count, 1, hand_in(first), StepReport(step=1, more=False))
    assert not (keeper.paths.folder(count.id).root / "artifacts").exists()  # nothing was written there
    second = keeper.start(follow, 1, "w")
    assert second.stat().st_ino == place
    assert not first.exists()  # a thread that was left behind does not reach it
    assert [path.name for path in second.rglob("*")] == ["artifacts"]
    (second / "artifacts/own.txt").write_text("mine")
    keeper.commit(follow, 1, hand_in(second), StepReport(step=1, more=False))
    assert (keeper.paths.folder(follow.id).root / "artifacts/own.txt").read_text() == "mine"
    keeper.close(run.COMPLETE)
    assert not keeper.paths.scratch.exists()


def test_the_folder_of_a_step_that_is_dropped_is_that_of_the_next(tmp_path):
    keeper = Keeper(open_run(spec_of(tmp_path), tool="t"))
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    for step in (1, 2, 3):
        keeper.report(unit, 1, StepReport(step=step, more=True, metric=float(step)), step_of(scratch, step))
    assert [path.name for path in scratch.rglob("*")] == ["steps", "4"]  # empty
    steps = keeper.paths.folder(unit.id).steps
    assert [path.name for path in steps.iterdir()] == ["3"]  # best and last
    again = (scratch / "steps/4").stat().st_ino
    keeper.report(unit, 1, StepReport(step=4, more=True, metric=0.0), step_of(scratch, 4))
    assert (steps / "4").stat().st_ino == again
    assert sorted(path.name for path in steps.iterdir()) == ["3", "4"]
    keeper.close(run.CANCELLED)
