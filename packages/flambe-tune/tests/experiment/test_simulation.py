"""A share of the simulation that ``nox -s torture-store`` plays for a million steps, and the cost of waiting for each other."""

from __future__ import annotations

import heapq
import importlib.util
import random
from pathlib import Path
from types import ModuleType

import pytest

from flambe.experiment import Controller
from flambe.experiment.pool import PoolEvent, Task
from flambe.experiment.simulation import SimulatedPool
from flambe.experiment.simulation_keeper import MemoryKeeper
from flambe.runner.unit import Unit
from flambe.spec.nodes import Spec, Stage

ASHA = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 27, "grace_period": 1, "reduction_factor": 3}


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulated", Path(__file__).with_name("simulated.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_random_games_lose_nothing_and_double_nothing(simulated):
    games, steps = simulated.play(3_000, seed=1_000_000)
    assert games > 10
    assert steps >= 3_000


def test_a_game_that_fails_is_told_by_its_seed(simulated, monkeypatch):
    monkeypatch.setattr(simulated.Game, "_check", lambda self, keeper: pytest.fail("no"))
    with pytest.raises(AssertionError, match="game 17: "):
        simulated.play(1, seed=17)


class TimedPool(SimulatedPool):
    """Every step takes a second of a clock that nobody waits for. busy: seconds of all workers so far."""

    def __init__(self, slots: int, **options: object) -> None:
        super().__init__(slots, random.Random(0), **options, on_disk=False)  # type: ignore[arg-type]
        self.now = self.busy = 0.0
        self._ends: list[tuple[float, int, str]] = []
        self._submitted = 0

    def submit(self, task: Task) -> None:
        super().submit(task)
        self._submitted += 1
        heapq.heappush(self._ends, (self.now + (task.action == "step"), self._submitted, task.unit.id))

    def next_event(self, timeout_s: float) -> PoolEvent | None:
        ends, _, unit = heapq.heappop(self._ends)
        self.now = ends
        tasks, self._tasks = self._tasks, {unit: self._tasks[unit]}
        self.busy += self._tasks[unit].action == "step"
        try:
            return super().next_event(timeout_s)
        finally:
            del tasks[unit]
            self._tasks = tasks


@pytest.mark.parametrize(
    ("search", "scheduler"),
    [
        (None, None),
        (None, ASHA),
        ({"$new": "ray.tune.search.optuna:OptunaSearch", "trial_budget": 160, "max_concurrent": 16}, None),
    ],
    ids=["grid", "asha", "optuna"],
)
def test_sixteen_workers_are_busy(search, scheduler):
    space = {"$uniform": [0, 1]} if search else {"$grid": list(range(160))}
    spec = Spec(
        name="x", stages=[Stage(name="train", body={"$new": "m:T", "lr": space}, search=search, scheduler=scheduler)]
    )

    def metric(unit: Unit, step: int) -> float:
        return unit.params["train.lr"] + step

    pool = TimedPool(16, steps=lambda unit: 27, metric=metric)
    Controller(spec, MemoryKeeper(), lambda count: pool).run()  # type: ignore[arg-type]
    assert pool.busy == len(pool.ran)
    idle = 1 - pool.busy / (16 * pool.now)
    assert idle <= 0.10, f"{idle:.1%} of {pool.now:.0f} s on 16 workers"
