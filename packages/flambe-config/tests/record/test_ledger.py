"""The ledger: torn lines, locks, and the arithmetic of units."""

import math
import os
import socket
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.errors import ConfigError, ProvenanceError
from flambe.record.ledger import Ledger, fold, read_events


def _plan(ledger, unit):
    ledger.append("plan", unit=unit, stage=unit, variant="0", params={}, key="k", needs={})


def _start(ledger, unit, attempt=1, from_step=0):
    ledger.append("start", unit=unit, attempt=attempt, worker="w", from_step=from_step)


def _report(ledger, unit, step, kept=True):
    ledger.append("report", unit=unit, attempt=1, step=step, metric=1.0, kept=kept, offsets={})


def test_expected_is_done_plus_failed_plus_pruned_plus_pending(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("open", spec="s", tool="t", pid=1)
    for unit in "abcde":
        _plan(ledger, unit)
    for unit in "abc":
        _start(ledger, unit)
    ledger.append("commit", unit="a", attempt=1, key="k", step=1, complete=True, metric=None, digest="d")
    ledger.append("fail", unit="b", attempt=1, error="x", final=True)
    ledger.append("prune", unit="d", why="b failed")
    counts = ledger.state.counts()
    assert counts == {"expected": 5, "done": 1, "reused": 0, "failed": 1, "pruned": 1, "pending": 2}
    assert [ledger.state.status_of(unit) for unit in "abcde"] == ["done", "failed", "running", "pruned", "pending"]


@pytest.mark.parametrize("kind", ["plan", "start", "fail", "prune"])
def test_stages_that_are_settled_stay_so_until_something_happens_in_one_of_them(tmp_path, kind):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for unit in ("model/1", "train/1", "other/1"):
        ledger.append("plan", unit=unit, stage=unit.partition("/")[0], variant="1", params={}, key="k", needs={})
    ledger.append("settle", stages=["model", "train"], key="s")
    rest = {
        "stage": "",
        "variant": "1",
        "params": {},
        "key": "k",
        "needs": {},
        "attempt": 1,
        "worker": "w",
        "from_step": 0,
    }
    ledger.append(kind, unit="other/1", **rest, error="x", final=True, why="x")
    assert {stage: event["key"] for stage, event in ledger.state.settled.items()} == {"model": "s", "train": "s"}
    ledger.append(kind, unit="model/1", **rest, error="x", final=True, why="x")
    assert ledger.state.settled == {} == fold(read_events(ledger.path)).settled


def test_a_torn_last_line_is_ignored_by_readers_and_cut_by_the_next_writer(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    _plan(ledger, "a")
    ledger.close()
    with path.open("ab") as stream:
        stream.write(b'{"n":1,"event":"pl')
    assert [event["event"] for event in read_events(path)] == ["plan"]
    again = Ledger(path)
    _plan(again, "b")
    assert [event["unit"] for event in read_events(path)] == ["a", "b"]
    assert [event["n"] for event in read_events(path)] == [0, 1]


def test_two_writers_are_refused(tmp_path):
    first = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(ProvenanceError, match="written by another process"):
        Ledger(tmp_path / "ledger.jsonl")
    first.close()
    Ledger(tmp_path / "ledger.jsonl").close()


def test_a_new_process_finds_nothing_running_and_continues_from_the_last_kept_step(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    _plan(ledger, "a")
    _start(ledger, "a")
    _report(ledger, "a", 1)
    _report(ledger, "a", 2)
    _report(ledger, "a", 3, kept=False)
    ledger.append("open", spec="s", tool="t", pid=2)
    assert ledger.state.running == {}
    assert ledger.state.steps == {"a": 2}
    _start(ledger, "a", attempt=2, from_step=2)
    # The third step is done again, so its report did not happen.
    assert [event["step"] for event in ledger.state.reports["a"]] == [1, 2]


def test_folding_the_file_gives_the_state_of_the_writer(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    _plan(ledger, "a")
    _start(ledger, "a")
    ledger.append("pause", unit="a", step=1)
    assert fold(read_events(ledger.path)) == ledger.state
    assert ledger.state.status_of("a") == "paused"


def test_a_forked_child_does_not_hold_the_lock_of_its_parent(tmp_path):
    # Loaders of data are forked; one that outlives a killed run must not keep the next command out.
    ledger = Ledger(tmp_path / "ledger.jsonl")
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()
        there.send(b"forked")
        there.recv(1)
        os._exit(0)
    there.close()
    try:
        assert here.recv(6) == b"forked"
        ledger.close()
        Ledger(tmp_path / "ledger.jsonl").close()
    finally:
        here.close()
        os.waitpid(child, 0)


def test_a_child_process_does_not_inherit_the_ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        try:
            ledger.close()
            Ledger(tmp_path / "ledger.jsonl").close()
        finally:
            child.kill()


def test_a_line_that_was_written_in_part_is_taken_back(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    _plan(ledger, "a")
    real = os.write
    calls = []

    def nearly_full(descriptor, data):
        calls.append(len(data))
        if len(calls) == 1:
            return real(descriptor, data[:7])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(OSError, match="No space left"):
        _plan(ledger, "b")
    monkeypatch.setattr(os, "write", real)
    _plan(ledger, "c")
    assert [event["unit"] for event in read_events(ledger.path)] == ["a", "c"]
    assert list(ledger.state.planned) == ["a", "c"]


def test_a_short_write_is_finished(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10]))
    _plan(ledger, "a")
    monkeypatch.undo()
    assert [event["unit"] for event in read_events(ledger.path)] == ["a"]


def test_a_broken_line_in_the_middle_is_refused_with_its_place(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"n":0,"event":"open"}\n{"n":1,\n{"n":2,"event":"close"}\n')
    with pytest.raises(ConfigError, match=r"ledger\.jsonl:2 is no event.*expected one JSON object a line"):
        read_events(path)
    for _ in range(2):  # and the lock is not kept
        with pytest.raises(ConfigError, match=r"ledger\.jsonl:2 is no event"):
            Ledger(path)


@pytest.mark.parametrize("metric", [math.nan, math.inf, -math.inf, 1e300, None])
def test_a_metric_is_read_back_as_it_was_reported(tmp_path, metric):
    # Schedulers are brought back from the file: they must hear what they heard.
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("report", unit="a", attempt=1, step=1, metric=metric, kept=False)
    (read,) = read_events(ledger.path)
    assert repr(read["metric"]) == repr(ledger.state.events[0]["metric"]) == repr(metric)
    assert b"null" not in ledger.path.read_bytes() or metric is None
    assert repr(fold(read_events(ledger.path)).reports["a"][0]["metric"]) == repr(metric)


# -- any sequence of events --------------------------------------------------------------------------------------------

_UNITS = ["s/a", "s/b"]


class Life:
    """Writes events that a keeper could write, and keeps its own simple account of where units are."""

    def __init__(self):
        self.events = [{"event": "open"}]
        self.where, self.key, self.attempt, self.kept = {}, {}, {}, {}

    def add(self, event, **fields):
        self.events.append({"event": event, **fields})

    def do(self, action, unit, extra):
        where = self.where.get(unit)
        if action == "plan":
            if self.key.get(unit) != extra:
                self.add("plan", unit=unit, key=extra)
                self.where[unit], self.key[unit], self.kept[unit] = "pending", extra, []
        elif action == "open":
            self.add("open")
            self.where.update({name: "pending" for name, state in self.where.items() if state == "running"})
        elif where in ("pending", "paused") and action == "start":
            step = extra if extra in self.kept[unit] else (self.kept[unit] or [0])[-1]
            self.attempt[unit] = self.attempt.get(unit, 0) + 1
            self.add("start", unit=unit, attempt=self.attempt[unit], from_step=step)
            self.where[unit] = "running"
            self.kept[unit] = [kept for kept in self.kept[unit] if kept <= step]
        elif where == "running":
            if action == "report":
                step = (self.kept[unit] or [0])[-1] + 1
                self.add("report", unit=unit, attempt=self.attempt[unit], step=step, metric=0.5, kept=True)
                self.kept[unit].append(step)
            elif action == "pause" and self.kept[unit]:
                self.add("pause", unit=unit, step=self.kept[unit][-1])
                self.where[unit] = "paused"
            elif action == "commit":
                self.add("commit", unit=unit, attempt=self.attempt[unit], key=self.key[unit])
                self.where[unit] = "done"
            elif action == "fail":
                self.add("fail", unit=unit, attempt=self.attempt[unit], error="x", final=extra == 1)
                self.where[unit] = "failed" if extra == 1 else "pending"
        elif where == "pending" and action == "reuse":
            self.add("reuse", unit=unit, key=self.key[unit])
            self.where[unit] = "done"
        elif where in ("pending", "paused") and action == "prune":
            self.add("prune", unit=unit, why="x")
            self.where[unit] = "pruned"


_actions = st.sampled_from(["plan", "open", "start", "report", "pause", "commit", "fail", "reuse", "prune"])


@given(st.lists(st.tuples(_actions, st.sampled_from(_UNITS), st.integers(0, 3)), min_size=20, max_size=80))
@settings(max_examples=300, deadline=None)
def test_every_unit_is_at_one_place_after_any_events(steps):
    life = Life()
    for action, unit, extra in steps:
        life.do(action, unit, extra)
    state = fold(life.events)
    counts = state.counts()
    assert counts["expected"] == counts["done"] + counts["failed"] + counts["pruned"] + counts["pending"]
    assert counts["expected"] == len(life.where)
    assert {unit: state.status_of(unit) for unit in life.where} == life.where
    for name in ("done", "failed", "pruned"):
        assert counts[name] == sum(where == name for where in life.where.values())
    for unit, kept in life.kept.items():
        assert state.steps.get(unit, 0) == (kept or [0])[-1]
        assert [report["step"] for report in state.reports.get(unit, [])] == kept
