"""A share of ``faults.py``, which nox runs whole, and by name what it has found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.record import run
from flambe.record.keeper import Keeper
from flambe.record.layout import RunPaths
from flambe.record.ledger import Ledger, read_events
from flambe.record.refused import DiskRefused
from flambe.record.run import CANCELLED, RunRecord, read_record
from flambe.spec.nodes import Spec, Stage

HERE = Path(__file__).resolve().parent


@pytest.mark.slow
def test_a_share_of_the_faults():
    done = subprocess.run(
        [sys.executable, HERE / "faults.py", "--count", "28", "--seed", "11"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "28 faults in" in done.stdout
    assert "findings: 0" in done.stdout


def opened(tmp_path):
    return Keeper.open(Spec(name="toy", output_dir=str(tmp_path), stages=[Stage(name="a", body=1)]), tool="t")


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
        [sys.executable, HERE / "power.py", "--count", "18", "--seed", "11"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 power cuts in 3 scenarios" in done.stdout
    assert "findings: 0" in done.stdout


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
