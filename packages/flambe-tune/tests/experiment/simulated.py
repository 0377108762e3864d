"""Play searches in memory until a million steps are made: whatever order workers are in, and wherever processes die.

    python simulated.py [--steps 1000000] [--seed 0]

Every game draws a pipeline, plays it calmly on one worker and then on several, in random order, with failures and crashes. No
variant may be lost or done twice, what is reduced has to be the best, and the result digest that of the calm game. No process,
no Ray, no disk, no clock. A game that fails is told by its seed: ``--seed N --steps 1`` plays it alone.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from typing import Any

from flambe.experiment import Controller
from flambe.experiment.simulation import SimulatedPool
from flambe.experiment.simulation_keeper import MemoryKeeper
from flambe.record.result import run_digest
from flambe.runner.unit import Unit
from flambe.spec.digest import digest_of
from flambe.spec.nodes import Spec, Stage

_TUNE = "ray.tune.schedulers:"
_SCHEDULERS: list[Any] = [
    None,
    None,
    {"$new": f"{_TUNE}ASHAScheduler", "max_t": 9, "grace_period": 1, "reduction_factor": 3},
    {"$new": f"{_TUNE}HyperBandScheduler", "max_t": 9, "reduction_factor": 3},
    {"$new": f"{_TUNE}MedianStoppingRule", "grace_period": 2, "min_samples_required": 2},
]


class Crash(BaseException):
    """A process that is gone."""


class Game:
    """One pipeline, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        luck = random.Random(seed)
        train: dict[str, Any] = {"$new": "m:Train", "model": {"$link": ["model"]}, "lr": _choices(luck, 7)}
        search: Any = None
        if luck.random() < 0.3:
            train["drop"] = {"$uniform": [0, 1]}
            search = {"$new": "flambe.search:RandomSearch", "trial_budget": luck.randint(1, 20)}
        elif luck.random() < 0.05:
            train["drop"] = {"$uniform": [0, 1]}
            search = {"$new": "flambe.search:Hyperband", "step_budget": luck.randint(5, 60), "max_steps": 9}
        scheduler = None if search is not None and "step_budget" in search else luck.choice(_SCHEDULERS)
        self.spec = Spec(
            name="x",
            seed=seed,
            seeds=[1, 2] if luck.random() < 0.15 else [],
            max_failures=luck.randint(1, 2),
            stop_on_failure=luck.random() < 0.1,
            stages=[
                Stage(name="data", body={"$new": "m:Data"}),
                Stage(
                    name="model",
                    body={"$new": "m:Model", "d": {"$link": ["data"]}, "n": _choices(luck, 3)},
                    reduce=luck.choice([None, None, 1]),
                ),
                Stage(
                    name="train", body=train, scheduler=scheduler, search=search, reduce=luck.choice([None, 1, 2, 5])
                ),
                Stage(name="evaluate", body={"$new": "m:E", "t": {"$link": ["train"]}, "d": {"$link": ["data"]}}),
            ],
        )
        self.longest = luck.choice([luck.randint(1, 12), 60])
        self.bad = luck.choice([0.0, 0.0, 0.1])  # share of units that always fail
        self.shaky = luck.choice([0.0, 0.05])  # share of steps that fail the first time
        self.lower = luck.random() < 0.5
        self.steps = 0

    def play(self) -> None:
        """Play it calmly, then wildly. Raises AssertionError."""
        calm = self._run(random.Random(0), slots=1, wild=False)
        wild = self._run(random.Random(self.seed + 1), slots=random.Random(self.seed).choice([1, 2, 3, 16]), wild=True)
        self._check(calm)
        self._check(wild)
        assert run_digest("", wild.state) == run_digest("", calm.state), "another result than that of the calm game"

    def _run(self, luck: random.Random, *, slots: int, wild: bool) -> MemoryKeeper:
        failed: set[tuple[str, int]] = set()
        events: list[dict[str, Any]] = []

        def fails(unit: Unit, attempt: int, step: int) -> bool:
            if _number(self.seed, unit.id) < self.bad:
                return True
            shaky = wild and (unit.id, step) not in failed and _number(self.seed, unit.id, step) < self.shaky
            if shaky and not any(known == unit.id for known, _ in failed):
                failed.add((unit.id, step))
                return True
            return False

        for crashes in range(1000):
            left = luck.randint(2, 150) if wild and crashes < 20 else -1

            def before(event: str) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Crash

            keeper = MemoryKeeper(events, before)
            pool = SimulatedPool(
                slots,
                luck,
                steps=self._length,
                metric=self._metric,
                fails=fails,
                lower_is_better=self.lower,
                on_disk=False,
            )
            try:
                Controller(self.spec, keeper, lambda count, pool=pool: pool).run()  # type: ignore[arg-type, misc]
                assert wild or max(Counter(pool.ran).values(), default=1) == 1, "a step was made twice"
                return keeper
            except Crash:
                events = keeper.state.events
            finally:
                self.steps += len(pool.ran)
        raise AssertionError("it does not end")

    def _length(self, unit: Unit) -> int:
        return 1 + int(_number(self.seed, unit.id, "length") * self.longest) if unit.stage == "train" else 1

    def _metric(self, unit: Unit, step: int) -> float | None:
        if unit.stage == "data":
            return None
        return _number(self.seed, unit.id, step) + step / 50

    def _check(self, keeper: MemoryKeeper) -> None:
        state = keeper.state
        counts = state.counts()
        assert counts["pending"] == 0, "a unit was lost"
        assert counts["expected"] == counts["done"] + counts["failed"] + counts["pruned"]
        commits = Counter(event["unit"] for event in state.events if event["event"] == "commit")
        assert max(commits.values(), default=1) == 1, "a unit was done twice"
        for stage, event in state.reduced.items():
            count = self.spec.stage(stage).reduce or 0
            groups: dict[str, list[float]] = {}
            for unit, plan in state.planned.items():
                if plan["stage"] == stage and unit in state.done:
                    params = {name: value for name, value in plan["params"].items() if name != "seed"}
                    groups.setdefault(digest_of(params), []).append(state.done[unit]["metric"])
            whole = max((len(metrics) for metrics in groups.values()), default=0)
            sign = 1 if self.lower else -1
            means = sorted((whole - len(one), sign * sum(one) / len(one)) for one in groups.values())
            kept = {
                digest_of({name: value for name, value in state.planned[unit]["params"].items() if name != "seed"})
                for unit in event["kept"]
            }
            found = sorted((whole - len(groups[one]), sign * sum(groups[one]) / len(groups[one])) for one in kept)
            assert [round(mean, 9) for _, mean in found] == [round(mean, 9) for _, mean in means[:count]], (
                "not the best were kept"
            )


def _choices(luck: random.Random, most: int) -> dict[str, Any]:
    return {"$grid": list(range(luck.randint(1, most)))}


def _number(*parts: object) -> float:
    """Return a number in [0, 1) that only these parts decide."""
    return random.Random(repr(parts)).random()


def play(steps: int, seed: int) -> tuple[int, int]:
    """Play until so many steps are made; returns games and steps. Raises AssertionError that names the seed."""
    games = made = 0
    while made < steps:
        game = Game(seed + games)
        try:
            game.play()
        except BaseException as error:
            raise AssertionError(f"game {game.seed}: {error!r}") from error
        games, made = games + 1, made + game.steps
    return games, made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    games, made = play(options.steps, options.seed)
    print(f"{games} games, {made} steps, {time.monotonic() - began:.0f} s: nothing lost, nothing doubled")
