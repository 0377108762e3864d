"""Population based training: states go from variant to variant through checkpoints, and nothing about it is left to chance."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from flambe.errors import ConfigError
from flambe.experiment.session import LOCAL, Settings, run_experiment
from flambe.reading.reader import Reader
from flambe.record.ledger import read_events
from flambe.spec.nodes import Environment, Spec, Stage

PBT = {"$new": "ray.tune.schedulers:PopulationBasedTraining", "perturbation_interval": 2, "quantile_fraction": 0.34}

VALLEY = '''
from flambe.build.component import Component


class Valley(Component):
    """Goes down a slope that is steep, then flat, then steep: no rate that stays as it is gets to the end in time.

    A rate that is far from the ``best`` of where it is does not move at all.
    """

    def __init__(self, rate, steps=24):
        super().__init__()
        self.rate, self.steps = rate, steps
        self.at, self.depth = 0, 0.0
        self.seen = []
        self.register_attrs("at", "depth", "rate", "seen")

    def run(self):
        best = 1.0 if self.depth < 6 else 0.1 if self.depth < 12 else 1.0
        self.depth += max(0.0, 1 - 1.5 * abs(self.rate - best))
        self.at += 1
        self.seen = [*self.seen, self.rate]
        return self.at < self.steps

    def metric(self):
        return self.depth
'''


def _link(stage):
    return {"$link": [stage]}


def _spec(scheduler=PBT, **fields):
    stages = [
        Stage(name="data", body={"$new": "m:Data"}),
        Stage(
            name="train",
            body={"$new": "m:T", "d": _link("data"), "lr": {"$grid": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]}},
            scheduler=scheduler,
            reduce=1,
        ),
        Stage(name="evaluate", body={"$new": "m:Eval", "t": _link("train")}),
    ]
    return Spec(name="x", stages=stages, **fields)


def _metric(unit, step):
    """A metric that depends on what the unit is by then."""
    if unit.stage == "data":
        return None
    lr = unit.body.get("lr", 0.0)
    return step / 10 - abs(lr - 0.3) + int(unit.key[:4], 16) / 2**20


@pytest.fixture
def some(labs):
    return lambda count: labs(count, steps=lambda unit: 9 if unit.stage == "train" else 1, metric=_metric)


def _events(lab, index=0):
    return read_events(lab.folder / f"x/exp.{index}/ledger.jsonl")


def test_the_worst_go_on_from_the_best(some):
    (lab,) = some(1)
    _, record = lab.run(_spec())
    taken = [event for event in _events(lab) if event.get("decision") == "exploit"]
    assert len(taken) >= 3
    works = {work.unit.id: work for work in lab.controller.works.values()}
    last = {event["unit"]: event for event in taken}
    for unit, event in last.items():
        assert works[unit].unit.key == event["key"]
        assert works[unit].unit.body["lr"] == event["choice"]["lr"]
    ended = {event["unit"]: event["key"] for event in _events(lab) if event["event"] == "commit"}
    planned = {event["unit"]: event["key"] for event in _events(lab) if event["event"] == "plan"}
    assert {unit for unit in planned if unit.startswith("train") and ended[unit] != planned[unit]} == set(last)
    assert not list((lab.folder / "x/exp.0/stages").rglob("explored.json"))  # nothing is held when all has ended
    assert record.counts["failed"] == 0


def test_every_record_has_the_parameters_that_something_was_made_with(some):
    (lab,) = some(1)
    spec = _spec()
    spec.stages[1].reduce = None
    lab.run(spec)
    assert {action for _, action in lab.plan(spec)} == {"reuse"}
    _, second = lab.run(spec)
    assert second.counts["reused"] == second.counts["done"]
    for index in (0, 1):
        run = lab.folder / f"x/exp.{index}"
        last = {event["unit"]: event for event in _events(lab, index) if event.get("decision") == "exploit"}
        assert last
        (read,) = Reader(run, index=None)
        recorded = {unit.id: unit for unit in read.units()}
        for unit, event in last.items():
            record = json.loads((run / "stages" / unit / "run.json").read_text())
            assert record["params"] == recorded[unit].params == {"train.lr": event["choice"]["lr"]}
            expected = {"step": event["step"], "donor": event["donor"], "donor_step": event["donor_step"]}
            assert record["takeovers"][-1] == recorded[unit].takeovers[-1] == {**expected, "choice": event["choice"]}
            # Its name says where it began; what rests on it has what it became.
            below = recorded[unit.replace("train/", "evaluate/")]
            assert below.params == below.explored == record["params"]
            assert below.takeovers == []
        names = {unit.id for unit in recorded.values() if f"lr={unit.params.get('train.lr')}" != unit.variant}
        assert len(names) >= 4


@pytest.mark.parametrize("synch", [False, True], ids=["as they come to their turn", "synch"])
def test_workers_orders_and_crashes_change_nothing(some, synch):
    scheduler = {**PBT, "synch": synch}
    first, *others = some(4)
    _, whole = first.run(_spec(scheduler), slots=1)
    assert any(event.get("decision") == "exploit" for event in _events(first))
    for seed, lab in enumerate(others):
        luck = random.Random(seed)
        crashes = 0
        while True:
            kill_at = luck.randint(0, 60) if seed else None
            ended = lab.run(_spec(scheduler), seed=100 * seed + crashes, slots=(16, 2, 5)[seed], kill_at=kill_at)
            if ended is not None:
                break
            crashes += 1
            assert crashes < 300, f"seed {seed} does not end"
        assert ended[1].result_digest == whole.result_digest, f"seed {seed} after {crashes} crashes"


def test_a_second_run_takes_the_population_as_a_whole(some):
    (lab,) = some(1)
    _, first = lab.run(_spec())
    _, second = lab.run(_spec())
    assert second.counts["reused"] == second.counts["done"]
    assert second.result_digest == first.result_digest
    assert len(lab.pools) == 1


def test_what_took_over_a_state_is_no_result_of_its_first_parameters(some):
    (lab,) = some(1)
    lab.run(_spec())
    _, plain = lab.run(_spec(None))
    taken = {event["unit"] for event in _events(lab) if event.get("decision") == "exploit"}
    reused = {event["unit"] for event in _events(lab, 1) if event["event"] == "reuse"}
    assert taken
    assert not taken & reused
    assert plain.counts["failed"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hyperparam_mutations": {"l_r": [1, 2]}}, "names 'l_r', which is not searched.*Did you mean 'lr'"),
        ({"hyperparam_mutations": {"lr": 3}}, "lr of hyperparam_mutations is 3; expected a list of values"),
        ({"quantile_fraction": 0.9}, "refuses its arguments: .*quantile_fraction"),
    ],
)
def test_wrong_arguments_are_told(some, change, message):
    (lab,) = some(1)
    with pytest.raises(ConfigError, match=message):
        lab.run(_spec({**PBT, **change}))


def test_a_population_on_different_bases_is_refused(some):
    (lab,) = some(1)
    spec = _spec()
    spec.stages[0].body["n"] = {"$grid": [1, 2]}
    with pytest.raises(ConfigError, match="rests on 2 different variants of the stages above.*reduce: 1"):
        lab.run(spec)


def _valley(bench, scheduler) -> Spec:
    bench.toys.write_text(VALLEY)
    body = {"$new": "toys:Valley", "rate": {"$grid": [0.1, 0.2, 0.4, 0.8, 1.0, 1.6]}}
    return Spec(
        name="valley",
        output_dir=str(bench.folder / "out"),
        stages=[Stage(name="valley", body=body, scheduler=scheduler)],
        environment=Environment(extensions={"toys": str(bench.toys)}),
    )


VALLEY_PBT = {**PBT, "perturbation_interval": 1, "hyperparam_mutations": {"rate": [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.6]}}


@pytest.mark.slow
def test_only_a_population_finds_the_way(bench):
    alone = run_experiment(_valley(bench, None), Settings(LOCAL))
    together = run_experiment(_valley(bench, VALLEY_PBT), Settings(LOCAL, workers=2))
    assert alone.best["metric"] < 12 < 14 < together.best["metric"]
    # A rate that was registered, and so came with the donor's state, is the chosen one all the same.
    (ended,) = (row for row in together.rows if row["variant"] == together.best["variant"])
    assert ended["takeovers"] == together.best["takeovers"]
    assert ended["params"] == together.best["params"] == {"valley.rate": ended["takeovers"][-1]["choice"]["rate"]}
    best = together.run / "stages/valley/best"
    seen = json.loads((best.resolve() / "checkpoint/state.json").read_text())
    assert len(set(json.dumps(seen).split("seen")[1].split("]")[0].split(","))) > 1


@pytest.mark.slow
def test_a_population_that_was_killed_ends_as_one_that_was_not(bench, benches):
    whole, broken = benches("whole"), benches("broken")
    expected = run_experiment(_valley(whole, VALLEY_PBT), Settings(LOCAL, workers=2))
    spec = _valley(broken, VALLEY_PBT)
    ledger = Path(spec.output_dir) / spec.name / "exp.0/ledger.jsonl"
    for more in (20, 12):
        process = subprocess.Popen(
            broken.command(spec, "--runner", "local", "--workers", "2"), stdout=subprocess.DEVNULL
        )
        before = len(read_events(ledger))
        while process.poll() is None and len(read_events(ledger)) < before + more:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = run_experiment(spec, Settings(LOCAL))
    assert ended.result_digest == expected.result_digest
    assert sum(event["event"] == "open" for event in read_events(ended.run / "ledger.jsonl")) > 1
