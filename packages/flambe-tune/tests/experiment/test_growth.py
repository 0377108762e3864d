"""Searches that choose by results, in the loop: the same choices with any workers, crashes and orders of completions."""

from __future__ import annotations

import math
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from flambe.errors import ConfigError, FlambeError
from flambe.experiment.check import why_not_repeatable, without_effect
from flambe.experiment.growth import REPEATS
from flambe.record.ledger import fold, read_events
from flambe.record.result import ResultStore
from flambe.record.shared_store import SharedStore
from flambe.spec.nodes import Environment, Spec, Stage

ASHA = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 9, "grace_period": 1, "reduction_factor": 3}
OPTUNA = {"$new": "ray.tune.search.optuna:OptunaSearch", "trial_budget": 12, "max_concurrent": 4}
POPULATION = {"$new": "ray.tune.schedulers:PopulationBasedTraining", "perturbation_interval": 2}
BOHB = {"$new": "flambe.search:BOHB", "step_budget": 80, "max_steps": 9}


def _link(stage):
    return {"$link": [stage]}


def _spec(search=OPTUNA, *, scheduler=None, reduce=2, model=None, **fields):
    stages = [
        Stage(name="data", body={"$new": "m:Data", "n": {"$grid": [1]}}),
        Stage(name="model", body={"$new": "m:Model", "d": _link("data"), **(model or {"size": {"$uniform": [0, 1]}})}),
        Stage(name="warm", body={"$new": "m:Warm", "model": _link("model")}),
        Stage(
            name="train",
            body={
                "$new": "m:Train",
                "model": _link("warm"),
                "lr": {"$uniform": [-4, 0], "transform": "pow10"},
                "kind": {"$grid": ["a", {"$new": "m:B", "depth": {"$quniform": [1, 4, 4]}}]},
            },
            scheduler=scheduler,
            search=search,
            reduce=reduce,
        ),
        Stage(name="evaluate", body={"$new": "m:Eval", "t": _link("train"), "d": _link("data")}),
    ]
    return Spec(name="x", stages=stages, **fields)


def _steps(unit):
    return 9 if unit.stage == "train" else 1


def _metric(unit, step):
    if unit.stage != "train":
        return None
    lr = unit.params["train.lr"]
    return step / 50 - abs(math.log10(lr) + 2) - abs(unit.params.get("model.size", 0.7) - 0.7)


def _run(lab, spec, **more):
    return lab.run(spec, steps=_steps, metric=_metric, **more)


def _plans(lab):
    events = read_events(lab.folder / "x/exp.0/ledger.jsonl")
    return [event["unit"] for event in events if event["event"] == "plan"]


def test_a_search_plans_its_units_as_it_goes(labs):
    (lab,) = labs(1)
    outcome, record = _run(lab, _spec())
    assert record.counts["failed"] == record.counts["pending"] == 0
    plans = _plans(lab)
    assert sum(unit.startswith("train/") for unit in plans) == 12
    assert sum(unit.startswith("model/") for unit in plans) == 12 == sum(unit.startswith("warm/") for unit in plans)
    assert sum(unit.startswith("evaluate/") for unit in plans) == 2
    events = read_events(lab.folder / "x/exp.0/ledger.jsonl")
    first_end = next(
        i for i, event in enumerate(events) if event["event"] == "commit" and event["unit"].startswith("train/")
    )
    assert sum(event["event"] == "plan" and event["unit"].startswith("train/") for event in events[:first_end]) == 4
    assert outcome.best["train"].startswith("train/")
    # What it chose last is nearer to the optimum than what it chose first.
    works = [work for work in lab.controller.works.values() if work.stage == "train"]
    assert max(work.metric for work in works) > -1.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("search", "scheduler"),
    [(OPTUNA, None), (OPTUNA, ASHA), ({**BOHB, "step_budget": 40}, None)],
    ids=["optuna", "optuna and asha", "bohb"],
)
def test_workers_orders_and_crashes_change_nothing(labs, search, scheduler):
    first, *others = labs(4)
    _, whole = _run(first, _spec(search, scheduler=scheduler), slots=1)
    for seed, lab in enumerate(others):
        luck = random.Random(seed)
        crashes = 0
        while True:
            kill_at = luck.randint(0, 90) if seed else None
            ended = _run(
                lab,
                _spec(search, scheduler=scheduler),
                seed=100 * seed + crashes,
                slots=(3, 16, 2, 5)[seed],
                kill_at=kill_at,
            )
            if ended is not None:
                break
            crashes += 1
            assert crashes < 300, f"seed {seed} does not end"
        assert ended[1].result_digest == whole.result_digest, f"seed {seed} after {crashes} crashes"
        assert sorted(_plans(lab)) == sorted(_plans(first))


def test_a_second_run_takes_every_result_and_chooses_alike(labs):
    (lab,) = labs(1)
    _, first = _run(lab, _spec())
    _, second = _run(lab, _spec())
    assert second.counts["reused"] == second.counts["done"] == first.counts["done"]
    assert second.result_digest == first.result_digest
    assert len(lab.pools) == 1


def _reused(lab, index):
    events = read_events(lab.folder / f"x/exp.{index}/ledger.jsonl")
    return {event["unit"].partition("/")[0] for event in events if event["event"] == "reuse"}, events


@pytest.mark.parametrize(
    ("search", "scheduler"), [(OPTUNA, None), (OPTUNA, ASHA), (BOHB, None)], ids=["optuna", "optuna and asha", "bohb"]
)
def test_a_search_that_has_ended_is_taken_as_a_whole(labs, search, scheduler):
    (lab,) = labs(1)
    search = {**search, **({"step_budget": 30} if search is BOHB else {"trial_budget": 4})}
    _, first = _run(lab, _spec(search, scheduler=scheduler, seeds=[1, 2]))
    spec = _spec(search, scheduler=scheduler, seeds=[1, 2])
    planned = lab.plan(spec)
    _, second = _run(lab, spec)
    assert second.counts["reused"] == second.counts["done"] == first.counts["done"]
    assert second.result_digest == first.result_digest
    works = lab.controller.works.values()
    assert planned == Counter((work.stage, "reuse") for work in works)
    # What is changed after the search, in its reduce or below it, is no reason to search again.
    other = _spec(search, scheduler=scheduler, seeds=[1, 2], reduce=3)
    other.stages[4].body["more"] = 1
    planned = lab.plan(other)
    _, third = _run(lab, other)
    works = lab.controller.works.values()
    assert planned == Counter((work.stage, "reuse" if work.reused else "run") for work in works)
    reused, events = _reused(lab, 2)
    assert reused == {"data", "model", "warm", "train"}
    ran = [event["unit"] for event in events if event["event"] == "commit"]
    assert len(ran) == 6
    assert all(unit.startswith("evaluate/") for unit in ran)
    assert third.counts["pending"] == third.counts["failed"] == 0
    # Of a run that has taken it, it is taken as well.
    shutil.rmtree(lab.folder / "x/exp.0")
    shutil.rmtree(lab.folder / "x/exp.1")
    _, fourth = _run(lab, other)
    assert fourth.counts["reused"] == fourth.counts["done"]
    assert fourth.result_digest == third.result_digest


@pytest.mark.parametrize("change", ["search", "scheduler", "body", "above", "seed"])
def test_a_search_that_is_another_one_is_not_taken(labs, change):
    (lab,) = labs(1)
    optuna = {**OPTUNA, "trial_budget": 5}
    _run(lab, _spec(optuna, scheduler=ASHA))
    spec = _spec(optuna, scheduler=ASHA)
    if change == "search":
        spec.stages[3].search = {**OPTUNA, "trial_budget": 6}
    elif change == "scheduler":
        spec.stages[3].scheduler = {**ASHA, "grace_period": 2}
    elif change == "body":
        spec.stages[2].body["more"] = 1
    elif change == "above":
        spec.stages[0].body["n"] = {"$grid": [2]}
    else:
        spec.seed = 5
    assert lab.plan(spec)["train", "search"] == 1
    assert lab.why(spec)["train"] == {
        {
            "search": "the search of train.trial_budget was 5, is 6 (in exp.0)",
            "scheduler": "the scheduler of train.grace_period was 1, is 2 (in exp.0)",
            "seed": "seed was 0 in exp.0, is 5",
        }.get(change, "not all variants of train are as they were in exp.0, and what decides about them rests on all")
    }
    _run(lab, spec)
    reused, events = _reused(lab, 1)
    assert "train" not in reused
    assert any(event["event"] == "commit" and event["unit"].startswith("train/") for event in events)


@pytest.mark.parametrize("kill_at", [90, 150])
def test_a_search_that_has_not_ended_is_not_taken(labs, kill_at):
    lab, alone = labs(2)
    assert _run(lab, _spec(OPTUNA, scheduler=ASHA), kill_at=kill_at) is None
    other = _spec(OPTUNA, scheduler=ASHA, reduce=3)
    _, ended = _run(lab, other)
    reused, events = _reused(lab, 1)
    assert reused >= {"data", "model"}
    assert "train" not in reused
    assert sum(event["event"] == "commit" and event["unit"].startswith("train/") for event in events) == 12
    assert ended.result_digest == _run(alone, other)[1].result_digest


def test_a_search_of_which_a_variant_failed_or_is_damaged_is_not_taken(labs):
    (lab,) = labs(1)
    failing = {"fails": lambda unit, attempt, step: unit.stage == "train" and unit.params["train.lr"] < 1e-3}
    _, first = _run(lab, _spec(OPTUNA, scheduler=ASHA, max_failures=0), **failing)
    assert first.counts["failed"] > 0
    _, second = _run(lab, _spec(OPTUNA, scheduler=ASHA, max_failures=0))
    assert second.counts["failed"] == 0
    assert "train" not in _reused(lab, 1)[0]
    damaged = next((lab.folder / "x/exp.1/stages/train").glob("*/checkpoint/manifest.json"))
    damaged.unlink()
    _run(lab, _spec(OPTUNA, scheduler=ASHA, max_failures=0))
    assert "train" not in _reused(lab, 2)[0]


@pytest.mark.parametrize("gone", [False, True], ids=["it is there yet", "it is gone"])
def test_crashes_while_a_search_is_taken_change_nothing(labs, gone):
    (lab,) = labs(1)
    spec = _spec({**OPTUNA, "trial_budget": 6}, scheduler=ASHA)
    _, first = _run(lab, spec)
    while "train" not in _reused(lab, 1)[0]:
        assert _run(lab, spec, kill_at=12) is None
    if gone:
        shutil.rmtree(lab.folder / "x/exp.0")
    crashes = 0
    while (ended := _run(lab, spec, kill_at=25, seed=crashes)) is None:
        crashes += 1
        assert crashes < 100
    assert ended[1].result_digest == first.result_digest
    assert ("train" in {one.unit.stage for one in lab.controller.works.values() if one.reused}) is not gone


def _at(lab, address, spec, **more):
    """Run a spec as a machine of its own, which shares nothing but a store."""
    lab.folder.mkdir(exist_ok=True)
    with SharedStore(str(address), ResultStore(lab.folder), lab.folder) as store:
        _, record = _run(lab, spec, store=store, **more)
        root = lab.folder / "x/exp.0"
        state = fold(read_events(root / "ledger.jsonl"))
        for unit, event in state.done.items():
            if event["event"] == "commit" and not unit.startswith("train/"):
                store.offer(root / "stages" / unit, event)
    return record, state


def test_machines_that_share_a_store_share_searches(labs, tmp_path):
    first, second, third = labs(3)
    spec, address = _spec({**OPTUNA, "trial_budget": 5}, scheduler=ASHA), tmp_path / "shared"
    done, _ = _at(first, address, spec)
    taken, state = _at(second, address, spec)
    assert taken.counts["reused"] == taken.counts["done"] == done.counts["done"]
    assert taken.result_digest == done.result_digest
    settled = {event["source"] for unit, event in state.done.items() if unit.startswith("train/")}
    assert len(settled) == 1
    # What is gone, torn or of another key is searched again.
    file = Path(settled.pop())
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    again, state = _at(third, address, spec)
    assert {state.done[unit]["event"] for unit in state.done if unit.startswith("train/")} == {"commit"}
    assert again.result_digest == done.result_digest


@pytest.mark.parametrize(
    ("search", "scheduler"),
    [({**OPTUNA, "trial_budget": 6}, ASHA), (None, POPULATION)],
    ids=["optuna and asha", "a population"],
)
def test_a_search_over_files_is_taken_where_they_lie_elsewhere(labs, tmp_path, search, scheduler):
    def files(folder, *texts):
        (tmp_path / folder).mkdir()
        for index, text in enumerate(texts):
            (tmp_path / folder / f"{index}.txt").write_text(text)
        return [{"$file": str(tmp_path / folder / f"{index}.txt")} for index in range(len(texts))]

    def spec(paths):
        body = {"$new": "m:Train", "lr": {"$grid": [0.1, 1.0]}, "words": {"$grid": paths}, "all": {"of": paths}}
        return Spec(name="x", stages=[Stage(name="train", body=body, search=search, scheduler=scheduler)])

    here, there, other = labs(3)
    done, _ = _at(here, tmp_path / "shared", spec(files("here", "a", "b")))
    shutil.rmtree(tmp_path / "here")
    taken, state = _at(there, tmp_path / "shared", spec(files("there", "a", "b")))
    assert taken.counts["reused"] == taken.counts["done"] == done.counts["done"] > 2
    taken_over = [event["choice"]["words"] for event in state.events if "choice" in event]
    assert bool(taken_over) is (scheduler is POPULATION)
    words = [plan["params"]["train.words"] for plan in state.planned.values()] + taken_over
    assert {Path(one["$file"]).parent.name for one in words} == {"there"}
    changed, _ = _at(other, tmp_path / "shared", spec(files("changed", "a", "c")))
    assert changed.counts["reused"] == 0


def test_seeds_are_told_as_one_choice(labs):
    (lab,) = labs(1)
    _, record = _run(lab, _spec({**OPTUNA, "trial_budget": 5}, seeds=[1, 2, 3]))
    assert sum(unit.startswith("train/") for unit in _plans(lab)) == 15
    assert record.counts["failed"] == 0


def test_a_choice_that_fails_is_told_and_the_search_goes_on(labs):
    (lab,) = labs(1)
    _, record = _run(
        lab,
        _spec(max_failures=0),
        fails=lambda unit, attempt, step: unit.stage == "model" and unit.params["model.size"] < 0.5,
    )
    assert record.counts["pruned"] == 2 * record.counts["failed"] > 0
    assert record.counts["done"] + record.counts["failed"] + record.counts["pruned"] == record.counts["expected"]
    assert sum(unit.startswith("train/") for unit in _plans(lab)) == 12


def test_a_choice_that_comes_again_is_not_run_again(labs):
    (lab,) = labs(1)
    spec = _spec({**OPTUNA, "trial_budget": 30}, model={"size": {"$grid": [0.1, 0.7]}})
    spec.stages[3].body.update(lr={"$grid": [0.01, 0.1]}, kind="a")
    _run(lab, spec)
    assert sum(unit.startswith("train/") for unit in _plans(lab)) <= 4
    assert max(lab.pools[0].ran.count(one) for one in lab.pools[0].ran) == 1


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"$new": "ray.tune.search.optuna:OptunaSearch"}, "trial_budget of OptunaSearch of stage 'train' is missing"),
        (
            {**OPTUNA, "trial_budget": 0},
            "trial_budget of OptunaSearch of stage 'train' is 0; expected an integer from 1",
        ),
        ({**OPTUNA, "space": {}}, "the OptunaSearch of stage 'train' has a space"),
        ({"$new": "ray.tune.search.basic_variant:BasicVariantGenerator"}, "write !RandomSearch or !GridSearch"),
        ({"$new": "ray.tune.search.bohb:TuneBOHB", "trial_budget": 3}, "pip install hpbandster ConfigSpace"),
        ({"$new": "flambe.search:BayesOptGP", "trial_budget": 3}, "is searched only where train.kind is 'B"),
        (
            {"$new": "flambe.search:BayesOptKDE", "trial_budget": 3, "bandwidth_factor": 2},
            "Optuna chooses bandwidths itself",
        ),
        ({"$new": "flambe.search:Hyperband", "step_budget": 30}, "max_steps of Hyperband of stage 'train' is missing"),
    ],
)
def test_what_cannot_be_searched_is_told(labs, search, message):
    (lab,) = labs(1)
    with pytest.raises(ConfigError, match=message):
        _run(lab, _spec(search))


def test_a_search_of_ones_own_may_end_variants(labs, searching):
    stage = Stage(
        name="train",
        body={"$new": "m:Train", "rate": {"$uniform": [0, 9]}},
        search={"$new": "searching:Halving", "rates": [1, 2, 3, 4, 5, 6]},
        reduce=1,
    )
    spec = Spec(name="x", stages=[stage], environment=Environment(extensions={"searching": str(searching)}))
    how = {"steps": lambda unit: 5, "metric": lambda unit, step: unit.params["train.rate"] * step}
    calm, lab = labs(2, **how)
    _, expected = calm.run(spec, slots=1)
    ended = {work.unit.params["train.rate"]: (work.step, work.complete) for work in calm.controller.works.values()}
    assert ended == {**dict.fromkeys((1, 2, 3), (2, False)), **dict.fromkeys((4, 5, 6), (5, True))}
    crashes = 0
    while (found := lab.run(spec, seed=crashes, slots=4, kill_at=15)) is None:
        crashes += 1
        assert crashes < 60
    assert found[1].result_digest == expected.result_digest
    _, again = calm.run(spec)
    assert again.counts["reused"] == 6
    assert again.result_digest == expected.result_digest
    spec.stages[0].scheduler = ASHA
    with pytest.raises(FlambeError, match="the search says 'pause' about a variant after its step 2, and a scheduler"):
        calm.run(spec)


def _stubborn(searching, rates, **given):
    stage = Stage(
        name="train",
        body={"$new": "m:Train", "rate": {"$uniform": [0, 9]}},
        search={"$new": "searching:Stubborn", "rates": rates, **given},
        reduce=1,
    )
    return Spec(name="x", stages=[stage], environment=Environment(extensions={"searching": str(searching)}))


_BY_RATE = {"steps": lambda unit: 1, "metric": lambda unit, step: unit.params["train.rate"]}


def _rates(lab):
    return [work.unit.params["train.rate"] for work in lab.controller.works.values()]


def test_a_search_that_proposes_nothing_new_any_more_is_over(labs, searching):
    calm, lab = labs(2, **_BY_RATE)
    spec = _stubborn(searching, [1, *[1] * (REPEATS - 1), 2])
    outcome, record = calm.run(spec)
    assert not outcome.stopped
    assert record.counts["done"] == record.counts["expected"] == 2
    assert _rates(calm) == [1, 2]  # before the last one it repeats once less than ends it
    said = (
        "stage train: its search Stubborn has proposed nothing new 1,000 times in a row, so it is over after 2,001 choices: "
        "let its is_done() say when, or give it a trial_budget"
    )
    assert calm.notes == [said]
    assert lab.run(spec, kill_at=9) is None
    assert _rates(lab) == [1, 2]
    assert lab.run(spec)[1].result_digest == record.result_digest
    _, again = calm.run(spec)
    assert again.counts["reused"] == 2
    assert calm.notes == [said]


def test_a_search_with_a_budget_spends_it_whatever_it_repeats(labs, searching):
    (lab,) = labs(1, **_BY_RATE)
    lab.run(_stubborn(searching, [1, *[1] * REPEATS, 2], trial_budget=REPEATS + 2))
    assert _rates(lab) == [1, 2]
    assert lab.notes == []


def test_a_run_ends_between_two_choices_where_it_is_asked_to(labs, searching):
    calm, lab = labs(2, **_BY_RATE)
    spec = _stubborn(searching, [1, *[1] * 200, 2], trial_budget=202)
    _, expected = calm.run(spec)
    asked = iter(range(1000))
    outcome, _ = lab.run(spec, asked_to_stop=lambda: next(asked) > 100)
    assert outcome.stopped
    assert (_rates(lab), lab.notes) == ([1], [])
    assert next(asked) < 110
    _, gone_on = lab.run(spec)
    assert _rates(lab) == [1, 2]
    assert gone_on.result_digest == expected.result_digest


def test_arrival_says_that_it_cannot_be_repeated():
    assert why_not_repeatable(_spec(ordering="arrival")) == (
        "ordering is arrival: what is decided in train depends on which worker is faster, so an equal run may decide otherwise"
    )
    assert why_not_repeatable(_spec()) is None
    assert why_not_repeatable(_spec(None, ordering="arrival")) is None


def test_what_has_no_effect_in_a_spec_of_python_is_told():
    assert without_effect(
        _spec({**OPTUNA, "metric": "loss"}, scheduler={**ASHA, "mode": "min", "time_attr": "epochs"})
    ) == [
        "stage train: mode of ASHAScheduler is the text 'min', which has no effect: which metrics are better the stage says itself "
        "(lower_is_better)",
        "stage train: time_attr of ASHAScheduler is the text 'epochs', which has no effect: time is counted in steps, which are calls of run()",
        "stage train: metric of OptunaSearch is the text 'loss', which has no effect: it is what metric() of the stage returns",
    ]
    assert without_effect(_spec(OPTUNA, scheduler=ASHA)) == []


def test_arrival_is_told_as_it_comes(labs):
    (lab,) = labs(1)
    while _run(lab, _spec(ordering="arrival"), kill_at=60, slots=3) is None:
        pass
    assert sum(unit.startswith("train/") for unit in _plans(lab)) >= 12
