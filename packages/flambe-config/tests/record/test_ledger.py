"""The ledger: torn lines, locks, and the arithmetic of units."""

import pytest

from flambe.errors import ProvenanceError
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
