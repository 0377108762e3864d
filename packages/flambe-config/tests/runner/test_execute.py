"""Running concrete specs: hand-over by kind, exact continuation, reuse, failures."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import flambe
from flambe.build.saved import load_state_from_file
from flambe.cli.streams import ClosedPipe
from flambe.errors import ConfigError, FlambeError, UsageError
from flambe.record.keeper import Keeper
from flambe.record.layout import RunPaths
from flambe.record.ledger import fold, read_events
from flambe.record.metrics import read_metrics
from flambe.record.opening import open_run
from flambe.record.run import CANCELLED, RunRecord, StageRecord, read_record
from flambe.runner import handover
from flambe.runner.execute import execute, execute_lines
from flambe.runner.plan import concrete_units
from flambe.runner.stage import StageRun, run_stage
from flambe.spec.codec import dump_spec


def run(spec, **more):
    rows = []
    root, failed = execute(spec, tool="test", on_unit=rows.append, **more)
    return RunPaths(root), rows, failed


def printed(unit):
    return [line for line in unit.outputs.read_text().splitlines() if "|" not in line]


def test_a_run_leaves_readable_stages_and_their_values(toy_spec):
    paths, rows, failed = run(toy_spec())
    assert failed == 0
    assert [row["stage"] for row in rows[:-1]] == ["words", "model", "walk", "look"]
    assert rows[-1] == {
        "run": str(paths.root),
        "status": "COMPLETE",
        "counts": {"expected": 4, "done": 4, "reused": 0, "failed": 0, "pruned": 0, "pending": 0},
        "result_digest": rows[-1]["result_digest"],
    }
    assert json.loads(paths.unit("words", "0").exports.read_text()) == {".size": 3, "": {"$saved": ""}}
    assert json.loads(paths.unit("model", "0").exports.read_text()) == {"": {"$saved": ""}, "[cell][size]": 3}
    walk = paths.unit("walk", "0")
    assert [line["walk/position"] for line in read_metrics(walk.metrics / "walk.jsonl")][-1] == rows[2]["metric"]
    assert printed(walk) == ["step 0", "step 1", "step 2", "step 3"]
    assert "flambe.run | step 4, metric" in walk.outputs.read_text()
    record = read_record(walk.record, StageRecord)
    assert (record.status, record.step, record.complete) == ("COMPLETE", 4, True)
    assert read_record(paths.record, RunRecord).status == "COMPLETE"
    assert not walk.steps.exists()
    assert not paths.scratch.exists()


def test_the_result_digest_does_not_depend_on_the_folder_of_an_extension(toy_spec, toy, tmp_path):
    digests = []
    for place, folder in (("a", toy), ("b", Path(shutil.copytree(toy, tmp_path / "another" / "ext" / "toyext")))):
        spec = toy_spec()
        spec.environment.extensions["toyext"] = str(folder)
        paths, rows, _ = run(spec, output_dir=tmp_path / place)
        digests.append(rows[-1]["result_digest"])
        assert Path(sys.modules.pop("toyext").__file__).parent == folder  # one process holds one module of a name
        sys.path.remove(str(folder.parent))
        handover._shared.clear()
        assert list(paths.root.glob("**/manifest.json"))
    assert digests[0] == digests[1]


def test_a_later_stage_sees_the_trained_model_and_an_earlier_one_the_untrained(toy_spec, toy):
    paths, rows, _ = run(toy_spec())
    before = flambe.load(paths.unit("model", "0").checkpoint, extensions={"toyext": str(toy)})
    after = flambe.load(paths.unit("walk", "0").checkpoint / "model", extensions={"toyext": str(toy)})
    assert abs((after.cell.weights - before.cell.weights) - 2.0).max() < 1e-12
    assert rows[3]["metric"] == pytest.approx(after.cell.weights.sum())


def test_a_borrowed_immutable_is_saved_as_a_reference_and_made_once(toy_spec, toy):
    paths, _, _ = run(toy_spec())
    checkpoint = paths.unit("walk", "0").checkpoint
    assert not (checkpoint / "words").exists()
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    assert manifest["config"]["words"]["$result"] == {"stage": "words", "path": "../../../words/0/checkpoint"}
    walk = flambe.load(checkpoint, extensions={"toyext": str(toy)})
    assert walk.words.words == ["w0", "w1", "w2"]


def test_a_unit_is_loaded_by_its_own_folder_too(toy_spec, toy):
    paths, _, _ = run(toy_spec())
    unit = paths.root / "stages" / "walk" / "best"
    walk = flambe.load(unit, extensions={"toyext": str(toy)})
    assert (walk.done, walk.words.words) == (4, ["w0", "w1", "w2"])
    assert load_state_from_file(unit)["done"] == 4
    with pytest.raises(FlambeError, match=r"stages holds no saved component.* the folder checkpoint of a stage"):
        flambe.load(paths.root / "stages")


def test_the_same_spec_gives_the_same_digest_and_another_seed_another(toy_spec, tmp_path):
    digests = [
        run(toy_spec(), output_dir=tmp_path / "a")[1][-1]["result_digest"],
        run(toy_spec(), output_dir=tmp_path / "b")[1][-1]["result_digest"],
        run(toy_spec(seed=1), output_dir=tmp_path / "c")[1][-1]["result_digest"],
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_unit_stopped_after_any_step_goes_on_bit_equal(toy_spec, tmp_path):
    def continued(stop_after):
        spec = toy_spec()
        keeper = Keeper(open_run(spec, tool="test", output_dir=tmp_path / str(stop_after)))
        *above, walk, _look = concrete_units(spec, keeper.paths.root)
        for unit in above:
            keeper.plan(unit)
            scratch = keeper.start(unit, 1, "main")
            keeper.commit(unit, 1, scratch, run_stage(unit, scratch))
        keeper.plan(walk)
        scratch = keeper.start(walk, 1, "main")
        stage = StageRun(walk, scratch)
        stage.start()
        for _ in range(stop_after):
            report = stage.step()
            keeper.report(walk, 1, report, scratch / "steps" / str(report.step))
        stage.close()
        keeper.close(CANCELLED)
        paths, rows, _ = run(spec, output_dir=tmp_path / str(stop_after))
        assert paths.root == keeper.paths.root
        starts = [event for event in read_events(paths.ledger) if event["event"] == "start"]
        assert [event["from_step"] for event in starts if event["unit"] == "walk/0"] == [0, stop_after]
        # What was done is not done again.
        assert len([event for event in starts if event["unit"] == "model/0"]) == 1
        assert printed(paths.unit("walk", "0")) == ["step 0", "step 1", "step 2", "step 3"]
        return rows[-1]["result_digest"]

    undisturbed = run(toy_spec(), output_dir=tmp_path / "undisturbed")[1][-1]["result_digest"]
    assert [continued(step) for step in (0, 1, 2, 3)] == [undisturbed] * 4


def test_artifacts_of_the_steps_before_a_kill_are_part_of_the_result(toy_spec, toy):
    source = toy / "__init__.py"
    told = """
        import pathlib
        folder = pathlib.Path(flambe.get_trial_dir())
        (folder / f"plot{self.done}.txt").write_text("written once")
        with open(folder / "log.txt", "a") as stream:
            stream.write(f"{self.done} ")
    """
    line = '        print("step", self.done)\n'
    source.write_text(source.read_text().replace(line, line + told))
    spec = toy_spec()
    keeper = Keeper(open_run(spec, tool="test"))
    *above, walk, _look = concrete_units(spec, keeper.paths.root)
    for unit in above:
        keeper.plan(unit)
        scratch = keeper.start(unit, 1, "main")
        keeper.commit(unit, 1, scratch, run_stage(unit, scratch))
    keeper.plan(walk)
    scratch = keeper.start(walk, 1, "main")
    stage = StageRun(walk, scratch)
    stage.start()
    for _ in range(3):
        report = stage.step()
        if report.step < 3:  # killed while the third is handed over
            keeper.report(walk, 1, report, scratch / "steps" / str(report.step))
    stage.close()
    keeper.close(CANCELLED)
    paths, _, _ = run(spec)
    made = paths.unit("walk", "0").root / "artifacts"
    assert sorted(path.name for path in made.iterdir()) == ["log.txt", *(f"plot{step}.txt" for step in range(4))]
    assert (made / "log.txt").read_text() == "0 1 2 3 "


def test_an_equal_run_is_answered_by_the_earlier_one(toy_spec):
    first, rows, _ = run(toy_spec())
    second, again, _ = run(toy_spec())
    assert second.root != first.root
    assert [row["reused"] for row in again[:-1]] == [True] * 4
    assert again[-1]["result_digest"] == rows[-1]["result_digest"]
    _, third, _ = run(toy_spec(steps=2))
    assert [row["reused"] for row in third[:-1]] == [True, True, False, False]


def test_results_that_rest_on_a_changed_file_are_not_taken_again(toy_spec, toy, tmp_path):
    data = tmp_path / "words.txt"
    data.write_text("one two")
    source = toy / "__init__.py"
    noted = f"Words.made += 1; __import__('flambe').runner.environment.note_input({str(data)!r})"
    source.write_text(source.read_text().replace("Words.made += 1", noted))
    paths, _, _ = run(toy_spec())
    assert [one["path"] for one in read_record(paths.unit("look", "0").record, StageRecord).inputs] == [str(data)]
    data.touch()  # the same content
    _, same, _ = run(toy_spec())
    assert [row["reused"] for row in same[:-1]] == [True] * 4
    data.write_text("two one")
    _, rows, _ = run(toy_spec())
    assert [row["reused"] for row in rows[:-1]] == [False] * 4
    _, again, _ = run(toy_spec())
    assert [row["reused"] for row in again[:-1]] == [True] * 4


def test_changed_code_of_an_extension_is_not_answered_by_an_old_result(toy_spec, toy):
    run(toy_spec())
    source = toy / "__init__.py"
    source.write_text(source.read_text().replace("+= 0.5", "+= 0.25"))
    sys.modules.pop("toyext")
    _, rows, _ = run(toy_spec())
    assert [row["reused"] for row in rows[:-1]] == [False] * 4


def test_a_failed_stage_is_tried_again_then_blocks_only_what_needs_it(toy_spec, capfd):
    paths, rows, failed = run(toy_spec(fail_at=2))
    assert failed == 2
    assert rows[2]["status"] == "FAILED"
    assert rows[2]["error"].startswith("ValueError: the toy broke as it was told to (")
    assert rows[-1]["counts"] == {"expected": 4, "done": 2, "reused": 0, "failed": 1, "pruned": 1, "pending": 0}
    state = fold(read_events(paths.ledger))
    assert state.attempts["walk/0"] == 2
    assert [event["from_step"] for event in state.events if event["event"] == "start"][-1] == 2
    assert "ValueError: the toy broke" in paths.unit("walk", "0").outputs.read_text()
    told = capfd.readouterr().err
    assert "walk/0: failed, is tried again: ValueError: the toy broke as it was told to (" in told
    assert "walk/0: failed: as before\n" in told
    assert told.count("as it was told to") == 1


def test_what_cannot_be_saved_fails_before_the_first_step(tmp_path, toy_spec):
    spec = toy_spec()
    spec.stages[3].body = {"$new": "toyext:Unsavable"}
    _, rows, failed = run(spec)
    assert failed == 1
    assert "handle" in rows[3]["error"]
    assert rows[3]["step"] == 0


def test_lines_of_specs_and_what_is_refused(toy_spec):
    rows = []
    line = dump_spec(toy_spec()).decode()
    summary = execute_lines([line, "\n"], tool="test", on_unit=rows.append)
    assert summary.run_dir.name == "exp.0"
    searching = dump_spec(toy_spec(steps={"$grid": [1, 2]})).decode()
    with pytest.raises(ConfigError, match=r"still has search in it.*flambe-tune.*--expand"):
        execute_lines([searching], tool="test", on_unit=rows.append)
    with pytest.raises(UsageError, match="no spec"):
        execute_lines([], tool="test", on_unit=rows.append)


@pytest.mark.slow
def test_killed_at_a_random_moment_the_same_command_ends_with_the_same_digest(toy_spec, tmp_path, toy):
    source = toy / "__init__.py"
    source.write_text(
        source.read_text().replace(
            'print("step", self.done)', 'print("step", self.done); __import__("time").sleep(0.1)'
        )
    )
    spec = toy_spec()
    undisturbed = run(spec, output_dir=tmp_path / "undisturbed")[1][-1]["result_digest"]
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, json\nfrom flambe.runner.execute import execute_lines\n"
        f"lines = open({str(tmp_path / 'spec.json')!r})\n"
        f"execute_lines(lines, tool='t', on_unit=lambda row: print(json.dumps(row), flush=True), output_dir={str(tmp_path / 'k')!r})\n"
    )
    (tmp_path / "spec.json").write_bytes(dump_spec(spec))
    ledger = tmp_path / "k" / "toy" / "exp.0" / "ledger.jsonl"
    for wanted in ("report", "report", None):
        process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if wanted is None:
            break
        have = sum(event["event"] == wanted for event in read_events(ledger))
        deadline = time.monotonic() + 60
        while sum(event["event"] == wanted for event in read_events(ledger)) <= have:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    last = json.loads(process.communicate(timeout=60)[0].splitlines()[-1])
    assert last["result_digest"] == undisturbed
    state = fold(read_events(ledger))
    assert state.counts() == {"expected": 4, "done": 4, "reused": 0, "failed": 0, "pruned": 0, "pending": 0}


# -- continuing, and ends ------------------------------------------------------------------------------------------------


def stopped_in(toy_spec, stage, *, output_dir=None, **walk):
    """A run that was cancelled while ``stage`` reported its second step, or (``before``) when it was to begin."""
    seen = []
    spec = toy_spec(**walk)

    def stop(row):
        seen.append(row)
        if row.get("stage") == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(spec, tool="test", on_unit=stop, output_dir=output_dir)
    return RunPaths(Path(seen[0]["run"]))


def change(toy, old, new):
    source = toy / "__init__.py"
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new))
    sys.modules.pop("toyext", None)


def test_a_run_that_is_continued_with_other_code_takes_nothing_of_the_old_one(toy_spec, toy, tmp_path):
    paths = stopped_in(toy_spec, "walk")
    assert read_record(paths.record, RunRecord).status == CANCELLED
    change(toy, "+= 0.5", "+= 0.25")
    again, rows, _ = run(toy_spec())
    assert again.root == paths.root
    fresh = run(toy_spec(), output_dir=tmp_path / "fresh")[1]
    assert rows[-1]["result_digest"] == fresh[-1]["result_digest"]
    assert rows[3]["metric"] == fresh[3]["metric"]


def test_a_process_that_holds_old_code_keeps_no_result_under_the_name_of_the_new(toy_spec, toy):
    run(toy_spec())
    old = sys.modules["toyext"]
    change(toy, "+= 0.5", "+= 0.25")
    sys.modules["toyext"] = old
    _, rows, failed = run(toy_spec())
    assert failed == 4
    assert "the code of the extension toyext was changed while this process had it loaded" in rows[0]["error"]


def test_a_failed_unit_stays_failed_when_its_run_is_continued(toy_spec):
    paths = stopped_in(toy_spec, "walk", fail_at=2)
    again, rows, failed = run(toy_spec(fail_at=2))
    assert again.root == paths.root
    assert (rows[2]["status"], failed) == ("FAILED", 2)
    events = read_events(paths.ledger)
    assert sum(event["event"] == "start" and event["unit"] == "walk/0" for event in events) == 2
    assert sum(event["event"] == "prune" for event in events) == 1
    # The next run tries again.
    third, _, _ = run(toy_spec(fail_at=2))
    assert third.root != paths.root


def test_a_kill_gives_no_further_attempts(toy_spec, monkeypatch):
    real = Keeper.fail

    def fail(self, *args, **more):
        real(self, *args, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(Keeper, "fail", fail)
    with pytest.raises(KeyboardInterrupt):
        run(toy_spec(fail_at=2))
    monkeypatch.undo()
    paths, _, failed = run(toy_spec(fail_at=2))
    assert failed == 2
    assert fold(read_events(paths.ledger)).failures["walk/0"] == 2


def test_a_lost_step_is_done_again(toy_spec, tmp_path, monkeypatch):
    real, count = Keeper.report, []

    def report(self, *args, **more):
        real(self, *args, **more)
        count.append(args)
        if len(count) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Keeper, "report", report)
    with pytest.raises(KeyboardInterrupt):
        run(toy_spec())
    monkeypatch.undo()
    (walk,) = (tmp_path / "out").glob("toy/exp.0/stages/walk/0")
    (walk / "steps" / "2" / "state.safetensors").write_bytes(b"")
    _, rows, failed = run(toy_spec())
    assert failed == 0
    undisturbed = run(toy_spec(), output_dir=tmp_path / "undisturbed")[1][-1]
    assert rows[-1]["result_digest"] == undisturbed["result_digest"]


def test_what_was_printed_before_it_raised_is_kept(toy_spec, toy):
    change(toy, "raise ValueError(", "print('last words'); raise ValueError(")
    paths, _, _ = run(toy_spec(fail_at=2))
    text = paths.unit("walk", "0").outputs.read_text()
    assert text.index("step 1") < text.index("last words") < text.index("Traceback")


def test_a_unit_that_exits_has_failed_and_the_run_goes_on(toy_spec, toy):
    change(toy, "raise ValueError(", "raise SystemExit(")
    paths, rows, failed = run(toy_spec(fail_at=2))
    assert failed == 2
    assert rows[2]["error"].startswith("SystemExit: the toy broke as it was told to (")
    assert read_record(paths.record, RunRecord).status == "FAILED"


def test_a_reader_that_went_away_leaves_a_run_that_can_go_on(toy_spec):
    rows = []

    def closed(row):
        rows.append(row)
        raise ClosedPipe

    with pytest.raises(ClosedPipe):
        execute(toy_spec(), tool="test", on_unit=closed)
    record = read_record(RunPaths(Path(rows[0]["run"])).record, RunRecord)
    assert record.status == CANCELLED
    assert "ClosedPipe" in record.status_reason
    paths, _, _ = run(toy_spec())
    assert str(paths.root) == rows[0]["run"]


def test_links_to_a_later_stage_are_refused_before_anything_is_written(toy_spec, tmp_path):
    spec = toy_spec()
    spec.stages.reverse()
    with pytest.raises(ConfigError, match="the stage 'look' links to 'walk', which is no earlier stage"):
        run(spec)
    assert not (tmp_path / "out").exists()
