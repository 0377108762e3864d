"""Signals: a run that is asked to end does so with its record written, whatever it was doing, and once."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from flambe.record.layout import RunPaths
from flambe.record.ledger import fold, read_events
from flambe.record.run import CANCELLED, COMPLETE, RunRecord, read_record
from flambe.runner.execute import Stopped, execute
from flambe.spec.codec import dump_spec


@pytest.fixture
def started(tmp_path, toy, toy_spec):
    """Start `flambe exec` over a walk that says when it steps; `how` is put into its run()."""
    processes = []

    def start(how, **more):
        source = toy / "__init__.py"
        text = source.read_text()
        line = '        print("step", self.done)\n'
        assert line in text
        source.write_text("import os, time, signal\n" + text.replace(line, line + textwrap.indent(how, " " * 8) + "\n"))
        spec = tmp_path / "spec.json"
        spec.write_bytes(dump_spec(toy_spec()))
        process = subprocess.Popen(
            [sys.executable, "-m", "flambe.cli.umbrella", "exec", str(spec), "-o", str(tmp_path / "o")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
        )  # fmt: skip
        processes.append(process)
        return process, RunPaths(tmp_path / "o" / "toy" / "exp.0")

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(path, process):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_number_and_its_record(started, tmp_path, number, code):
    mark = tmp_path / "mark"
    process, paths = started(f"open({str(mark)!r}, 'w').close(); time.sleep(60)")
    wait_for(mark, process)
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopped; the same command goes on from here" in words
    record = read_record(paths.record, RunRecord)
    assert record.status == CANCELLED
    assert (record.exit.signal, record.exit.code) == (number.name, code)
    assert fold(read_events(paths.ledger)).closed["status"] == CANCELLED
    assert not paths.scratch.exists()


def test_a_unit_that_swallows_the_signal_is_stopped_after_its_step(started, tmp_path):
    mark = tmp_path / "mark"
    how = f"""\
try:
    open({str(mark)!r}, 'w').close()
    time.sleep(60)
except BaseException:
    pass"""
    process, paths = started(how)
    wait_for(mark, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    events = read_events(paths.ledger)
    assert [event["step"] for event in events if event["event"] == "report" and event["unit"] == "walk/0"] == [1]


def test_further_signals_do_not_tear_the_end(started, tmp_path):
    mark = tmp_path / "mark"
    process, paths = started(f"open({str(mark)!r}, 'w').close(); time.sleep(60)")
    wait_for(mark, process)
    # Until it is gone: one that comes just before a blocking call wakes nobody, the next one does.
    deadline = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    process.communicate(timeout=60)
    assert process.returncode in (130, 143)
    assert read_record(paths.record, RunRecord).status == CANCELLED
    assert fold(read_events(paths.ledger)).closed is not None


def test_a_signal_at_any_write_leaves_ledger_and_memory_at_one(toy_spec, monkeypatch):
    """SIGTERM while the keeper writes: what it does is finished first, and it ends between two events."""
    from flambe.record.ledger import Ledger

    real, at = Ledger.append, [0]

    def append(self, event, **fields):
        at[0] -= 1
        if at[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, event, **fields)

    monkeypatch.setattr(Ledger, "append", append)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    descriptors = [os.fstat(number).st_ino for number in (1, 2)]
    stops = 0
    for number in range(1, 100):
        at[0] = number
        try:
            rows = []
            execute(toy_spec(), tool="test", on_unit=rows.append)
        except Stopped:
            stops += 1
        root = max(
            (path.parent for path in toy_root(toy_spec).glob("exp.*/ledger.jsonl")), key=lambda p: int(p.name[4:])
        )
        events = read_events(root / "ledger.jsonl")
        assert [event["n"] for event in events] == list(range(len(events)))
        assert events[-1]["event"] == "close"
        assert events[-1]["counts"] == fold(events).counts() == read_record(root / "run.json", RunRecord).counts
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
        assert [os.fstat(number).st_ino for number in (1, 2)] == descriptors
        if at[0] > 0:
            break
    assert stops >= 6
    assert read_record(root / "run.json", RunRecord).status == COMPLETE


def toy_root(toy_spec):
    return Path(toy_spec().output_dir) / "toy"
