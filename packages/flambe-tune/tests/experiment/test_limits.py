"""Trials that hang, and trials that want more memory than there is: told, ended, tried again."""

from __future__ import annotations

import random
from functools import partial

import pytest

from flambe.experiment import Controller
from flambe.experiment.crew import Crew
from flambe.experiment.pool import Failed
from flambe.experiment.simulation import SimulatedPool
from flambe.experiment.simulation_keeper import MemoryKeeper
from flambe.spec.nodes import Spec, Stage

HANGING = """
import os, time
from flambe.build.component import Component


class Hanging(Component):
    def __init__(self, mark, number=0):
        super().__init__()
        self.mark, self.step = mark, 0
        self.register_attrs("step")

    def run(self):
        self.step += 1
        if self.step == 1:
            return True
        if not os.path.exists(self.mark):
            open(self.mark, "w").close()
            time.sleep(600)
        return False
"""


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["local", "ray"])
def test_a_step_that_hangs_is_ended_and_tried_again(bench, runner):
    bench.toys.write_text(HANGING)
    spec = bench.spec(max_failures=3)
    spec.stages = [Stage(name="hang", body={"$new": "toys:Hanging", "mark": str(bench.folder / "mark"), "number": 3})]
    rows, _, said = bench.tune(spec, "--runner", runner, "--workers", "1", "--step-limit", "3")
    assert rows[0]["status"] == "COMPLETE"
    assert "hang/0 failed, is tried again: its step took longer than 3 s" in said


def test_a_step_that_hangs_is_ended_while_others_report_without_a_break(monkeypatch):
    moment = [0.0]

    class Busy(SimulatedPool):
        """One variant hangs the first time; the others take a tenth of a second for each of many steps."""

        def next_event(self, timeout_s):
            moment[0] += 0.1
            hung = next((task for task in self._tasks.values() if "n=3" in task.unit.id and task.attempt == 1), None)
            if hung is None:
                return super().next_event(timeout_s)
            del self._tasks[hung.unit.id]
            event = super().next_event(timeout_s)
            self._tasks[hung.unit.id] = hung
            return event

        def abandon(self, unit):
            ended.append((unit, round(moment[0])))
            super().abandon(unit)

    ended = []
    pool = Busy(4, random.Random(0), steps=lambda unit: 700, metric=lambda unit, step: 1.0, on_disk=False)
    monkeypatch.setattr("flambe.experiment.controller.Crew", partial(Crew, clock=lambda: moment[0]))
    spec = Spec(name="x", stages=[Stage(name="a", body={"$new": "m:T", "n": {"$grid": list(range(4))}})])
    outcome = Controller(spec, MemoryKeeper(), lambda count: pool, step_limit_s=20.0).run()
    assert outcome.failed == []
    ((unit, after_s),) = ended
    assert unit == "a/n=3"
    assert 80 <= after_s <= 81, "20 s, and 60 for the start"


def test_what_ran_out_of_memory_runs_beside_no_other():
    beside = []

    class Small(SimulatedPool):
        """Room for one big variant alone."""

        def next_event(self, timeout_s):
            big = next((unit for unit in self._tasks if "n=3" in unit), None)
            if big is None:
                return super().next_event(timeout_s)
            beside.append(len(self._claimed))
            if len(self._claimed) == 1:
                return super().next_event(timeout_s)
            task = self._tasks.pop(big)
            self._claimed.remove(big)
            return Failed(unit=big, attempt=task.attempt, error="its process died", memory=True)

    spec = Spec(name="x", stages=[Stage(name="a", body={"$new": "m:T", "n": {"$grid": list(range(8))}})])
    pool = Small(4, random.Random(0), steps=lambda unit: 2, metric=lambda unit, step: 1.0, on_disk=False)
    notes = []

    class Observer:
        def changed(self, work):
            pass

        def note(self, text):
            notes.append(text)

    keeper = MemoryKeeper()
    outcome = Controller(spec, keeper, lambda count: pool, observer=Observer()).run()
    assert outcome.failed == []
    assert beside[0] > 1
    assert beside[1:] == [1, 1]
    assert notes == ["a/n=3 failed, is tried again beside no other: its process died"]
