"""The heartbeat: it beats beside the event loop, and a bad moment of the disk or the ledger does not end it."""

import os
import threading
import time

from flambe.record import run
from flambe.record.keeper import Keeper
from flambe.record.opening import open_run
from flambe.record.run import RunRecord, read_record
from flambe.spec.nodes import Spec, Stage


def opened(tmp_path):
    return Keeper(open_run(Spec(name="toy", output_dir=str(tmp_path), stages=[Stage(name="a", body=1)]), tool="t"))


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_counts_may_be_taken_while_units_are_added(tmp_path):
    keeper = opened(tmp_path)
    state = keeper.state
    raised, done = [], threading.Event()

    def count():
        while not done.is_set():
            try:
                state.counts()
            except RuntimeError as error:
                raised.append(error)
                return

    thread = threading.Thread(target=count)
    thread.start()
    for number in range(20_000):
        unit = f"a/{number}"
        state.apply({"event": "plan", "unit": unit})
        state.apply({"event": "reuse", "unit": unit})
    done.set()
    thread.join()
    keeper.close(run.CANCELLED)
    assert raised == []
    assert state.counts()["reused"] == 20_000


def test_it_goes_on_after_the_disk_was_full_for_a_moment(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "HEARTBEAT_S", 0.001)
    keeper = opened(tmp_path)
    before = keeper.paths.record.open("rb")  # held, so that no later file gets its inode
    real, failed = run.replace_file, []

    def full(path, data, *, durable=False):
        if threading.current_thread().name == "heartbeat" and len(failed) < 3:
            failed.append(path)
            raise OSError(28, "No space left on device")
        real(path, data, durable=durable)

    monkeypatch.setattr(run, "replace_file", full)
    until(lambda: len(failed) == 3)
    first = read_record(keeper.paths.record, RunRecord).time.heartbeat
    until(lambda: read_record(keeper.paths.record, RunRecord).time.heartbeat != first)
    with before:
        assert keeper.paths.record.stat().st_ino != os.fstat(before.fileno()).st_ino
    keeper.close(run.COMPLETE)
    assert read_record(keeper.paths.record, RunRecord).status == run.COMPLETE
