"""A run from start to end in this process: signals."""

from __future__ import annotations

import os
import signal

import pytest

from flambe.errors import ConfigError
from flambe.experiment import desk
from flambe.experiment.preview import Preview
from flambe.experiment.session import LOCAL, Display, Settings, run_experiment
from flambe.experiment.table import status_table
from flambe.experiment.work import Phase
from flambe.record.keeper import Keeper
from flambe.record.opening import open_run
from flambe.record.run import RunRecord, read_record


class _Signals(Display):
    """Sends a signal to this process when the first variant is done."""

    def __init__(self, number: int) -> None:
        self.number: int | None = number

    def changed(self, work):
        if work.phase is Phase.DONE and self.number is not None:
            os.kill(os.getpid(), self.number)
            self.number = None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_tear_the_close(bench, monkeypatch, number):
    close = Keeper.close

    def impatient(self, *arguments, **named):
        os.kill(os.getpid(), signal.SIGINT)
        record = close(self, *arguments, **named)
        os.kill(os.getpid(), signal.SIGTERM)
        return record

    monkeypatch.setattr(Keeper, "close", impatient)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    summary = run_experiment(bench.spec(), Settings(LOCAL), display=_Signals(number))
    assert (summary.status, summary.signal) == ("CANCELLED", number)
    assert [row["stage"] for row in summary.rows] == ["source"]
    record = read_record(summary.run / "run.json", RunRecord)
    assert (record.status, record.status_reason) == ("CANCELLED", number.name)
    assert (record.exit.code, record.exit.signal) == (128 + number, number.name)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


ASHA = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 2, "grace_period": 1, "reduction_factor": 3}
POPULATION = {"$new": "ray.tune.schedulers:PopulationBasedTraining", "perturbation_interval": 2}


@pytest.mark.parametrize(
    ("change", "scheduler", "message"),
    [
        ({}, {**ASHA, "grace_period": 5}, "ASHAScheduler refuses its arguments: .*grace_period"),
        ({}, {**POPULATION, "quantile_fraction": 0.9}, "quantile_fraction"),
        ({"size": {"$grid": [3, 4]}}, POPULATION, "rests on 2 different variants of the stages above"),
    ],
)
def test_a_scheduler_that_cannot_be_is_refused_before_anything_runs(bench, change, scheduler, message):
    spec = bench.spec(scheduler=scheduler)
    spec.stages[0].body.update(change)
    with pytest.raises(ConfigError, match=message):
        Preview(spec, Settings(LOCAL))
    rows = []
    with pytest.raises(ConfigError, match=message):
        run_experiment(spec, Settings(LOCAL), on_row=rows.append)
    assert rows == []


def test_a_run_beside_one_of_the_same_config_says_so(bench):
    notes: list[str] = []

    class Notes(Display):
        def note(self, text):
            notes.append(text)

    spec = bench.spec()
    spec.stages[2].resources = {"gpus": 64}  # it ends before anything runs
    first = Keeper(open_run(spec, tool="test"))
    for expected in ([f"exp.0 of this config is going on (process {os.getpid()}); this run is another one"], []):
        notes.clear()
        with pytest.raises(ConfigError):
            run_experiment(spec, Settings(LOCAL), display=Notes())
        assert [note.partition(", and does again")[0] for note in notes] == expected
        if not first.record.status_reason:
            first.close("CANCELLED", reason="SIGINT")


def test_a_run_that_is_refused_has_failed_and_says_why(bench):
    spec = bench.spec()
    spec.stages[2].resources = {"gpus": 64}
    with pytest.raises(ConfigError, match="stage 'judge' asks for 64 gpus"):
        run_experiment(spec, Settings(LOCAL))
    status = desk.status(str(bench.folder / "out/climb/exp.0"))
    assert (status["status"], status["counts"]["done"]) == ("FAILED", 0)
    assert status["reason"].startswith("stage 'judge' asks for 64 gpus, there are ")
    assert status_table(status).splitlines()[-1] == f"FAILED: {status['reason']}"


def test_a_signal_that_comes_when_all_is_done_spoils_nothing(bench, monkeypatch):
    close = Keeper.close

    def interrupted(self, *arguments, **named):
        os.kill(os.getpid(), signal.SIGINT)
        return close(self, *arguments, **named)

    monkeypatch.setattr(Keeper, "close", interrupted)
    summary = run_experiment(bench.spec(rates=1), Settings(LOCAL))
    assert (summary.status, summary.signal) == ("COMPLETE", signal.SIGINT)
    assert read_record(summary.run / "run.json", RunRecord).status == "COMPLETE"


def test_a_pool_that_does_not_come_up_can_be_interrupted(bench, monkeypatch):
    def hang(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()

    monkeypatch.setattr("flambe.experiment.session.make_pool", hang)
    summary = run_experiment(bench.spec())
    assert (summary.status, summary.signal) == ("CANCELLED", signal.SIGINT)
