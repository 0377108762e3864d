"""The keeper: numbers, attempts, streams cut back, reuse by key."""

import msgspec
import pytest

from flambe.errors import FlambeError, ProvenanceError
from flambe.record import run
from flambe.record.keeper import Keeper
from flambe.record.result import ResultStore
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
    first = Keeper.open(spec, tool="t")
    assert first.paths.root.name == "exp.0"
    assert read_record(first.paths.record, RunRecord).status == run.RUNNING
    first.close(run.CANCELLED)
    second = Keeper.open(spec, tool="t")
    assert second.paths.root.name == "exp.0"
    second.close(run.COMPLETE)
    third = Keeper.open(spec, tool="t")
    assert third.paths.root.name == "exp.1"
    other = Keeper.open(spec_of(tmp_path, seed=1), tool="t")
    assert other.paths.root.name == "exp.2"
    third.close(run.COMPLETE)
    other.close(run.COMPLETE)


def test_a_live_run_is_not_continued_but_a_new_number_claimed(tmp_path):
    first = Keeper.open(spec_of(tmp_path), tool="t")
    second = Keeper.open(spec_of(tmp_path), tool="t")
    assert second.paths.root.name == "exp.1"
    first.close(run.COMPLETE)
    second.close(run.COMPLETE)


def test_the_result_of_an_attempt_that_is_over_is_refused(tmp_path):
    keeper = Keeper.open(spec_of(tmp_path), tool="t")
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    keeper.fail(unit, 1, "its worker died", final=False)
    keeper.start(unit, 2, "w2")
    with pytest.raises(FlambeError, match="attempt 1 of count/value=1 is over"):
        keeper.commit(unit, 1, hand_in(scratch), StepReport(step=1, more=False))
    keeper.close(run.FAILED)


def test_streams_are_cut_back_to_what_the_checkpoint_recorded(tmp_path):
    keeper = Keeper.open(spec_of(tmp_path), tool="t")
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    for step in (1, 2, 3):
        state = scratch / "steps" / str(step)
        state.mkdir(parents=True)
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
    keeper = Keeper.open(spec_of(tmp_path), tool="t")
    unit = concrete_units(keeper.spec, keeper.paths.root)[0]
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    for step, metric in enumerate([0.1, 0.9, 0.5, 0.4], start=1):
        state = scratch / "steps" / str(step)
        state.mkdir(parents=True)
        keeper.report(unit, 1, StepReport(step=step, more=True, metric=metric), state)
    kept = {path.name for path in keeper.paths.unit(unit.stage, unit.variant).steps.iterdir()}
    assert kept == {"2", "4"}
    keeper.close(run.CANCELLED)


def test_an_equal_result_is_found_by_key_and_survives_the_run_it_came_from(tmp_path):
    import shutil

    keeper = Keeper.open(spec_of(tmp_path), tool="t")
    count, follow = concrete_units(keeper.spec, keeper.paths.root)
    for unit in (count, follow):
        keeper.plan(unit)
        finish(keeper, unit, metric=0.5)
    first = keeper.close(run.COMPLETE)
    again = Keeper.open(spec_of(tmp_path), tool="t")
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
    keeper = Keeper.open(spec_of(tmp_path), tool="t")
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
    keeper = Keeper.open(spec_of(tmp_path), tool="t")
    record = read_record(keeper.paths.record, RunRecord)
    record.time.heartbeat = "2020-01-01T00:00:00.000Z"  # it looks dead, but it holds the lock
    run.write_record(keeper.paths.record, record)
    with pytest.raises(ProvenanceError):
        Keeper.open(spec_of(tmp_path), tool="t")
    keeper.close(run.COMPLETE)
