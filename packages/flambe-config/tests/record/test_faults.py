"""A share of ``faults.py``, which nox runs whole, and by name what it has found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.errors import ProvenanceError
from flambe.record import run
from flambe.record.keeper import Keeper
from flambe.record.layout import RunPaths
from flambe.record.ledger import Ledger, read_events
from flambe.record.opening import open_run
from flambe.record.refused import DiskRefused
from flambe.record.run import CANCELLED, RunRecord, read_record
from flambe.spec.nodes import Spec, Stage

HERE = Path(__file__).resolve().parent


@pytest.mark.slow
def test_a_share_of_the_faults():
    done = subprocess.run(
        [
            sys.executable,
            HERE / "faults.py",
            "--only",
            "continued,sweep resumed,save,index again",
            "--count",
            "28",
            "--seed",
            "11",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "28 faults in 4 scenarios" in done.stdout
    assert "findings: 0" in done.stdout


def opened(tmp_path):
    return Keeper(open_run(Spec(name="toy", output_dir=str(tmp_path), stages=[Stage(name="a", body=1)]), tool="t"))


def full(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_run_that_cannot_write_how_it_ended_lets_go_and_goes_on(tmp_path, monkeypatch):
    keeper = opened(tmp_path)
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: full() if fd == keeper.ledger._descriptor else real(fd, data))
        with pytest.raises(
            DiskRefused, match=r"exp.0: No space left on device. Make room, then give the same command again"
        ):
            keeper.close(CANCELLED)
    assert not keeper._pulse.is_alive()
    record = read_record(keeper.paths.record, RunRecord)
    assert record.status == run.RUNNING
    record.host.pid = 2**22 + 1  # it is gone
    run.write_record(keeper.paths.record, record)
    again = opened(tmp_path)
    assert again.paths == keeper.paths
    again.close(CANCELLED)


def test_what_ended_a_run_is_told_and_not_that_it_could_not_be_written(tmp_path, monkeypatch):
    keeper = opened(tmp_path)
    monkeypatch.setattr(run, "replace_file", full)
    keeper.give_up(ValueError("the first thing that went wrong"))
    assert RunPaths(keeper.paths.root).record.exists()


@pytest.mark.slow
def test_a_share_of_the_power_cuts():
    done = subprocess.run(
        [sys.executable, HERE / "power.py", "--only", "continued,function resumed", "--count", "16", "--seed", "11"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 power cuts in 2 scenarios" in done.stdout
    assert "findings: 0" in done.stdout


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """The toys of the proofs, and the folder that their runs are written to."""
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    from store_toys import toys_at

    (tmp_path / "out").mkdir()
    yield toys_at(tmp_path / "toys"), tmp_path / "out"
    for name in [name for name in sys.modules if name.partition(".")[0] in ("toyext", "functoy")]:
        del sys.modules[name]


def test_a_disk_that_is_full_while_a_unit_goes_on_has_failed_nothing(toys, monkeypatch):
    from experiments import newest, runs, stopped_after
    from store_toys import spec_of

    toy, place = toys
    spec = spec_of(toy)
    stopped_after(spec, 2)(place)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", full)
        with pytest.raises(DiskRefused, match="No space left on device"):
            runs(spec).act(place)
    assert "fail" not in {event["event"] for event in read_events(newest(place) / "ledger.jsonl")}
    assert runs(spec).act(place) == 0


def after_a_boot(monkeypatch):
    here = run.this_host()
    here.boot = "the next one"
    monkeypatch.setattr(run, "this_host", lambda: here)


def test_artifacts_that_the_power_has_torn_are_made_again(toys, monkeypatch):
    from experiments import newest, runs
    from store_toys import spec_of

    toy, place = toys
    code = toy / "__init__.py"
    logs = "__import__('flambe.logging').logging.log_histogram('weights', self.model.weights)"
    code.write_text(code.read_text().replace("self.done += 1", f"self.done += 1; {logs}"))
    spec = spec_of(toy)
    runs(spec).act(place)
    root = newest(place)
    (file,) = root.glob("stages/walk/0/artifacts/histogram/weights.json")
    whole = file.read_bytes()
    file.write_bytes(b"\0" * len(whole))
    record = read_record(root / "run.json", RunRecord)
    record.status, record.time.heartbeat = run.RUNNING, "2026-01-01T00:00:00.000Z"
    run.write_record(root / "run.json", record)
    after_a_boot(monkeypatch)
    assert runs(spec).act(place) == 0
    assert newest(place) == root
    assert file.read_bytes() == whole
    assert "walk/0: its result is not whole, so it is made again" in (root / "outputs.log").read_text()


@pytest.mark.parametrize("torn", ["artifacts/log.txt", "artifacts.jsonl"])
def test_what_the_power_has_torn_beside_the_state_of_a_step_is_no_part_of_the_result(toys, monkeypatch, torn):
    from experiments import newest, runs, stopped_after
    from store_toys import spec_of

    toy, place = toys
    code = toy / "__init__.py"
    logs = "__import__('flambe.logging').logging.log_histogram('weights', self.model.weights, self.done)"
    code.write_text(code.read_text().replace("self.done += 1", f"self.done += 1; {logs}"))
    spec = spec_of(toy)
    stopped_after(spec, 2)(place)
    root = newest(place)
    file = root / "stages/walk/0/steps/2" / torn
    file.write_bytes(b"" if torn.endswith("l") else b"\0" * file.stat().st_size)
    after_a_boot(monkeypatch)
    assert runs(spec).act(place) == 0
    assert (root / "stages/walk/0/artifacts/log.txt").read_text() == "1 2 3 "
    assert len((root / "stages/walk/0/artifacts.jsonl").read_text().splitlines()) == 3
    assert "walk/0: steps/2 is not whole, so it goes on from step" in (root / "outputs.log").read_text()


def test_a_copy_of_code_that_the_power_has_torn_is_copied_again(toys, monkeypatch):
    from functions import launched, newest

    place = toys[1]
    again = launched(["--resume", "exp.0"])
    assert launched([]).act(place) == 0
    root = newest(place)
    code = root / "functoy/task.py"
    whole = code.read_bytes()
    code.write_bytes(b"\0" * len(whole))
    (root / "run.json").write_bytes(b"")  # that it was so is in the ledger
    (root / "artifacts/numpy/seen/.aside").mkdir()  # and a save that was torn
    (root / "artifacts/numpy/seen/.aside/3").write_bytes(whole)
    after_a_boot(monkeypatch)
    assert again.act(place) == 0
    assert code.read_bytes() == whole
    assert not (root / "artifacts/numpy/seen/.aside").exists()
    assert again.result(place) == launched([]).result(place)
    # As long as it can be had.
    code.write_bytes(b"")
    (toys[0].parent / "project/functoy/task.py").write_bytes(whole + b"# changed\n")
    run.write_record(root / "run.json", read_record(root / "run.json", RunRecord))
    monkeypatch.setattr(run, "this_host", lambda: run.Host(name="here", boot="the one after that"))
    with pytest.raises(
        ProvenanceError, match=r"is not whole since the machine lost its power, and .* is other code by now"
    ):
        again.act(place)


def test_a_shared_tree_that_the_power_has_torn_is_checked_out_again(toys, monkeypatch):
    from flambe.record import git_tree

    project, place = toys[0].parent / "project", toys[1]
    tree = git_tree.git_tree_of(project / "functoy", place, dirty="include")
    file = tree.folder / "task.py"
    whole = file.read_bytes()
    file.write_bytes(b"\0" * len(whole))
    monkeypatch.setattr(git_tree.time, "clock_gettime", lambda clock: -1000.0)  # the machine has begun anew since
    assert git_tree.git_tree_of(project / "functoy", place, dirty="include") == tree
    assert file.read_bytes() == whole
    assert sorted(path.name for path in tree.root.parent.iterdir()) == [tree.tree, f"{tree.tree}.files"]


def test_events_after_a_hole_in_the_ledger_are_left_out(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    for event in ("one", "two", "three"):
        ledger.append(event)
    ledger.close()
    data = path.read_bytes()
    at = data.index(b"two")
    path.write_bytes(data[:at] + b"\0" * 10 + data[at + 10 :])
    assert [event["event"] for event in read_events(path)] == ["one"]
    again = Ledger(path)
    again.append("two")
    again.close()
    assert [(event["n"], event["event"]) for event in read_events(path)] == [(0, "one"), (1, "two")]
