"""The loop, driven by a simulated pool and the real keeper: any order of completions, any crash, the same result."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from flambe.errors import ConfigError, ProvenanceError
from flambe.experiment import Controller
from flambe.experiment.roster import Roster
from flambe.experiment.simulation import SimulatedPool
from flambe.experiment.work import Phase
from flambe.record.keeper import Keeper
from flambe.record.ledger import fold, read_events
from flambe.record.opening import open_run
from flambe.runner.unit import Unit
from flambe.spec.digest import digest_of
from flambe.spec.nodes import Environment, Spec, Stage

ASHA = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 9, "grace_period": 1, "reduction_factor": 3}
HYPERBAND = {"$new": "ray.tune.schedulers:HyperBandScheduler", "max_t": 9, "reduction_factor": 3}


def _link(stage: str) -> dict[str, object]:
    return {"$link": [stage]}


def _spec(scheduler: object = None, *, reduce: int | None = 2, **fields: object) -> Spec:
    stages = [
        Stage(name="data", body={"$new": "m:Data"}),
        Stage(name="model", body={"$new": "m:Model", "d": _link("data"), "n": {"$grid": [1, 2, 3]}}),
        Stage(
            name="train",
            body={"$new": "m:Train", "model": _link("model"), "lr": {"$grid": [0.1, 0.2, 0.3]}},
            scheduler=scheduler,
            reduce=reduce,
        ),
        Stage(name="evaluate", body={"$new": "m:Eval", "t": _link("train"), "d": _link("data")}),
    ]
    return Spec(name="x", stages=stages, **fields)  # type: ignore[arg-type]


def _steps(unit: Unit) -> int:
    return 12 if unit.stage == "train" else 1


def _metric(unit: Unit, step: int) -> float | None:
    if unit.stage in ("data", "model"):
        return None
    return int(digest_of([unit.params, unit.stage])[:6], 16) / 2**24 + step / 50


@pytest.fixture
def lab(labs):
    (one,) = labs(1, steps=_steps, metric=_metric)
    return one


@pytest.fixture
def some(labs):
    return lambda count: labs(count, steps=_steps, metric=_metric)


def test_every_unit_runs_once_and_only_the_best_are_evaluated(lab):
    outcome, record = lab.run(_spec())
    assert record.counts == {"expected": 15, "done": 15, "reused": 0, "failed": 0, "pruned": 0, "pending": 0}
    ran = Counter(unit.partition("/")[0] for unit, step in lab.pools[0].ran)
    assert ran == {"data": 1, "model": 3, "train": 9 * 12, "evaluate": 2}
    assert max(Counter(lab.pools[0].ran).values()) == 1
    works = lab.controller.works.values()
    train = sorted((work for work in works if work.stage == "train"), key=lambda work: -work.metric)
    evaluated = {tuple(work.unit.params.items()) for work in works if work.stage == "evaluate"}
    assert evaluated == {tuple(work.unit.params.items()) for work in train[:2]}
    assert outcome.best["train"] == train[0].unit.id
    assert (lab.folder / "x/exp.0/stages/train/best").resolve().name == train[0].unit.variant


def test_lower_is_better_keeps_the_lowest(lab):
    lab.run(_spec(), lower_is_better=True)
    works = lab.controller.works.values()
    train = sorted((work for work in works if work.stage == "train"), key=lambda work: work.metric)
    evaluated = {tuple(work.unit.params.items()) for work in works if work.stage == "evaluate"}
    assert evaluated == {tuple(work.unit.params.items()) for work in train[:2]}


def test_later_stages_do_not_wait_for_their_neighbours(lab):
    # Without reduce an evaluator starts while other variants still train.
    lab.run(_spec(reduce=None), slots=2)
    order = [unit for unit, step in lab.pools[0].ran]
    first = next(index for index, unit in enumerate(order) if unit.startswith("evaluate"))
    assert any(unit.startswith("train") for unit in order[first:])


@pytest.mark.parametrize("scheduler", [None, ASHA, HYPERBAND], ids=["none", "asha", "hyperband"])
def test_the_order_of_completions_changes_nothing(some, scheduler):
    digests = set()
    for seed, lab in enumerate(some(4)):
        _, record = lab.run(_spec(scheduler), seed=seed, slots=[1, 2, 3, 16][seed % 4])
        digests.add(record.result_digest)
    assert len(digests) == 1


@pytest.mark.parametrize("scheduler", [None, ASHA, HYPERBAND], ids=["none", "asha", "hyperband"])
def test_crashes_at_any_event_change_nothing(some, scheduler):
    labs = some(5)
    _, whole = labs[0].run(_spec(scheduler))
    for seed, lab in enumerate(labs[1:], start=1):
        luck = random.Random(seed)
        crashes = 0
        while True:
            ended = lab.run(
                _spec(scheduler), seed=seed * 1000 + crashes, slots=luck.choice([1, 2, 5]), kill_at=luck.randint(0, 120)
            )
            if ended is not None:
                break
            crashes += 1
            assert crashes < 200, f"seed {seed} does not end"
        assert crashes > 0
        assert ended[1].result_digest == whole.result_digest, f"seed {seed} after {crashes} crashes"
        commits = [
            event["unit"] for event in read_events(lab.folder / "x/exp.0/ledger.jsonl") if event["event"] == "commit"
        ]
        assert len(commits) == len(set(commits)) == whole.counts["done"], f"seed {seed}"


def test_asha_saves_steps_and_its_results_are_marked(lab):
    lab.run(_spec(ASHA))
    train = [work for work in lab.controller.works.values() if work.stage == "train"]
    assert sum(work.step for work in train) < 9 * 9
    assert all(not work.complete for work in train)  # max_t is below the length of a unit
    assert not any(work.reused for work in train)


def test_few_workers_take_turns_between_steps(lab):
    lab.run(_spec(ASHA), slots=1)
    events = read_events(lab.folder / "x/exp.0/ledger.jsonl")
    assert any(event["event"] == "pause" for event in events)
    ran = [unit for unit, step in lab.pools[0].ran if unit.startswith("train")]
    assert len(set(lab.pools[0].ran)) == len(lab.pools[0].ran)
    assert len(set(ran[:9])) > 3  # not one variant to its end before the next begins


def test_a_failed_variant_blocks_nobody_and_never_wins(lab):
    best = lambda unit: unit.params.get("model.n") == 2  # noqa: E731
    outcome, record = lab.run(
        _spec(reduce=None, max_failures=1),
        fails=lambda unit, attempt, step: unit.stage == "train" and best(unit) and step == 3,
        metric=lambda unit, step: 99.0 if best(unit) else -5.0,
    )
    assert record.counts == {"expected": 22, "done": 16, "reused": 0, "failed": 3, "pruned": 3, "pending": 0}
    assert record.status == "FAILED"
    assert len(outcome.failed) == 3
    works = lab.controller.works.values()
    assert all(work.why.endswith("failed") for work in works if work.phase is Phase.PRUNED)
    assert "model.n=2" not in outcome.best["train"]
    assert sum("is tried again" in note for note in lab.notes) == 3
    # The second attempt went on from the last step that was kept.
    assert all(count == 1 for count in Counter(lab.pools[0].ran).values())


def test_a_warning_of_many_variants_is_told_once(lab, monkeypatch):
    report = SimulatedPool._report

    def warned(pool, unit, step, *, more):
        made = report(pool, unit, step, more=more)
        made.streams["outputs.log"] = f"a line\nwarning: {unit.stage} may be wrong\n".encode()
        return made

    monkeypatch.setattr(SimulatedPool, "_report", warned)
    lab.run(_spec())
    told = sorted(note.partition(": ")[2] for note in lab.notes if "warning" in note)
    assert told == [f"warning: {stage} may be wrong" for stage in ("data", "evaluate", "model", "train")]


def test_a_failure_that_passes_is_retried_from_the_last_step(some):
    calm, rough = some(2)
    _, whole = calm.run(_spec())
    _, record = rough.run(
        _spec(), fails=lambda unit, attempt, step: unit.stage == "train" and attempt == 1 and step == 4
    )
    assert record.result_digest == whole.result_digest
    assert all(count == 1 for count in Counter(rough.pools[0].ran).values())


def test_stop_on_failure_starts_no_later_stage(lab):
    spec = _spec(reduce=None, max_failures=0, stop_on_failure=True)
    fails = lambda unit, attempt, step: unit.stage == "model" and unit.params["model.n"] == 1  # noqa: E731
    _, record = lab.run(spec, slots=1, fails=fails)
    assert record.counts["failed"] == 1
    ran = {unit.partition("/")[0] for unit, step in lab.pools[0].ran}
    assert ran == {"data", "model"}


def test_a_reduce_of_failed_variants_leaves_nothing_and_says_so(lab):
    _, record = lab.run(_spec(max_failures=0), fails=lambda unit, attempt, step: unit.stage == "train")
    assert record.counts["failed"] == 9
    assert "stage evaluate: no variant of what it links to is left, so there is nothing to run" in lab.notes


@pytest.mark.parametrize("scheduler", [None, ASHA, HYPERBAND], ids=["none", "asha", "hyperband"])
def test_a_second_run_runs_nothing(lab, scheduler):
    _, first = lab.run(_spec(scheduler))
    assert {action for _, action in lab.plan(_spec(scheduler))} == {"reuse"}
    _, second = lab.run(_spec(scheduler))
    assert len(lab.pools) == 1
    assert second.counts["reused"] == second.counts["done"] == first.counts["done"]
    assert second.result_digest == first.result_digest
    assert second.index == first.index + 1


@pytest.mark.parametrize("scheduler", [None, ASHA], ids=["none", "asha"])
def test_crashes_while_reusing_change_nothing(lab, scheduler):
    _, first = lab.run(_spec(scheduler))
    for kill_at in range(1, 60, 2):
        ended = lab.run(_spec(scheduler), kill_at=kill_at)
        if ended is not None:
            break
    assert ended[1].result_digest == first.result_digest
    assert len(lab.pools) == 1


def test_a_longer_grid_runs_only_what_is_new(lab):
    lab.run(_spec())
    spec = _spec()
    spec.stages[1].body["n"] = {"$grid": [1, 2, 3, 4]}
    _, record = lab.run(spec)
    assert {unit for unit, step in lab.pools[1].ran if unit.startswith(("data", "model"))} == {"model/n=4"}
    assert record.counts["reused"] >= 1 + 3 + 9


def test_what_a_reduce_may_keep_next_time_is_no_new_choice(lab):
    lab.run(_spec(reduce=1))
    spec = _spec(reduce=1)
    spec.stages[2].body["epochs"] = 4
    assert lab.why(spec) == {
        "train": {"train.epochs was added (in exp.0)"},
        "evaluate": {"it rests on train, which runs anew"},
    }
    spec = _spec(reduce=1)
    spec.stages[2].body["lr"] = {"$grid": [0.1, 0.2, 0.4]}
    assert lab.why(spec)["train"] == {"not tried in exp.0: train.lr=0.4"}


def test_a_stage_with_a_scheduler_is_not_reused_in_part(lab):
    lab.run(_spec(ASHA))
    spec = _spec(ASHA)
    spec.stages[2].body["lr"] = {"$grid": [0.1, 0.2]}
    assert {stage for stage, action in lab.plan(spec) if action == "run"} == {"train", "evaluate"}
    together = "not all variants of train are as they were in exp.0, and what decides about them rests on all"
    assert lab.why(spec)["train"] == {together}
    changed = lab.why(_spec({**ASHA, "grace_period": 2}))
    assert changed["train"] == {"the scheduler of train.grace_period was 1, is 2 (in exp.0)"}
    lab.run(spec)
    assert {unit.partition("/")[0] for unit, step in lab.pools[1].ran} == {"train", "evaluate"}


def test_one_key_runs_once_in_a_run(lab):
    # Two stages with the same body, and a grid that names a value twice.
    spec = Spec(
        name="x",
        stages=[
            Stage(name="a", body={"$new": "m:A", "n": {"$grid": [1, 1, 2]}}),
            Stage(name="b", body={"$new": "m:A", "n": 1}),
        ],
    )
    _, record = lab.run(spec)
    assert sorted(unit for unit, step in lab.pools[0].ran) in (["a/n=1", "a/n=2"], ["a/n=2", "b/0"])
    assert record.counts == {"expected": 3, "done": 3, "reused": 1, "failed": 0, "pruned": 0, "pending": 0}


@pytest.mark.parametrize("order", [("fast", "whole"), ("whole", "fast")], ids=["before", "after"])
@pytest.mark.parametrize("slots", [1, 4])
def test_what_a_scheduler_may_end_answers_for_nothing_else_of_its_key(labs, order, slots):
    (lab,) = labs(1, steps=lambda unit: 9, metric=lambda unit, step: unit.made_with[f"{unit.stage}.n"] * step)
    body = {"$new": "m:A", "n": {"$grid": [6, 5, 4, 3, 2, 1]}}
    stages = [Stage(name=name, body=body, scheduler=ASHA if name == "fast" else None) for name in order]
    for seed in range(2):
        lab.run(Spec(name="x", stages=stages, seed=seed), seed=seed, slots=slots)
        works = lab.controller.works.values()
        assert {work.step for work in works if work.stage == "whole"} == {9}
        assert not all(work.complete for work in works if work.stage == "fast")


def test_values_that_are_written_alike_keep_their_own_folders(lab):
    spec = Spec(name="x", stages=[Stage(name="a", body={"$new": "m:A", "n": {"$grid": [1, "1"]}})])
    _, record = lab.run(spec)
    assert record.counts["done"] == record.counts["expected"] == 2
    assert len(list((lab.folder / "x/exp.0/stages/a").glob("n=1*"))) == 2


def test_replay_that_decides_otherwise_is_refused(lab, monkeypatch):
    assert lab.run(_spec(ASHA), kill_at=150) is None
    events = read_events(lab.folder / "x/exp.0/ledger.jsonl")
    assert any(event["event"] == "decision" for event in events)
    other = {**ASHA, "reduction_factor": 1.1}
    monkeypatch.setattr(Roster, "_tune_algorithm", lambda self, stage, lower, count: _adapter(other, lower))
    with pytest.raises(ProvenanceError, match="not what the ledger recorded"):
        lab.run(_spec(ASHA))


def _adapter(node, lower):
    from flambe.search import SchedulerAdapter

    return SchedulerAdapter(node, lower_is_better=lower, seed=0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"resume": "trian"}, "resume names 'trian', which is no stage. Did you mean 'train'?"),
        ({"ordering": "random"}, "ordering is 'random'; expected step or arrival"),
    ],
)
def test_specs_that_cannot_be_run_are_refused_first(lab, change, text):
    with pytest.raises(ConfigError) as error:
        lab.run(_spec(**change))
    assert str(error.value) == text


def test_more_resources_than_there_are(lab):
    spec = _spec(devices={"slots": 3})
    lab.run(spec)  # a simulated pool counts units

    class Small(SimulatedPool):
        def capacity(self):
            return {"cpus": 2.0, "gpus": 0.0}

    keeper = Keeper(open_run(_spec(devices={"cpus": 12}), tool="test", output_dir=lab.folder / "b"))
    make = lambda count: Small(1, random.Random(0), steps=_steps, metric=_metric)  # noqa: E731
    with pytest.raises(ConfigError, match=r"stage 'data' asks for 12 cpus, there are 2. Ask for less"):
        Controller(_spec(devices={"cpus": 12}), keeper, make).run()


@pytest.mark.parametrize("scheduler", [None, ASHA, HYPERBAND], ids=["none", "asha", "hyperband"])
def test_crashes_and_failures_together(some, scheduler):
    labs = some(3)
    breaks = {"fails": lambda unit, attempt, step: unit.stage == "train" and unit.params["model.n"] == 2 and step == 2}
    _, whole = labs[0].run(_spec(scheduler), **breaks)
    assert whole.counts["failed"] >= 1
    for seed, lab in enumerate(labs[1:], start=1):
        luck = random.Random(seed)
        ended = None
        for crash in range(200):
            kill_at = luck.randint(10, 120)
            ended = lab.run(
                _spec(scheduler), seed=seed * 1000 + crash, slots=luck.choice([1, 3]), kill_at=kill_at, **breaks
            )
            if ended is not None:
                break
        assert ended is not None
        assert ended[1].result_digest == whole.result_digest, f"seed {seed}"


def test_stop_on_failure_holds_after_a_crash(lab):
    spec = _spec(reduce=None, max_failures=0, stop_on_failure=True)
    fails = lambda unit, attempt, step: unit.stage == "model" and unit.params["model.n"] == 1  # noqa: E731
    ended = None
    for kill_at in range(14, 80):
        ended = lab.run(spec, slots=1, fails=fails, kill_at=kill_at)
        if ended is not None:
            break
    assert ended is not None
    assert len(lab.pools) > 1
    assert {unit.partition("/")[0] for pool in lab.pools for unit, step in pool.ran} == {"data", "model"}


def _of_two_modules(folder: Path, a: str, b: str, scheduler: object = None, **fields: object) -> Spec:
    """A search over classes of two extension modules, whose code is ``a`` and ``b``."""
    folder.mkdir(exist_ok=True)
    for name, text in (("a", a), ("b", b)):
        (folder / f"{name}.py").write_text(text)
    models = [{"$new": f"{name}:Net", "n": n} for name in "ab" for n in (1, 2, 3)]
    train = {"$new": "m:Train", "net": {"$grid": models}}
    stages = [
        Stage(name="train", body=train, scheduler=scheduler, reduce=2),
        Stage(name="evaluate", body={"$new": "m:Eval", "t": _link("train")}),
    ]
    extensions = {name: str(folder / f"{name}.py") for name in "ab"}
    return Spec(name="x", stages=stages, environment=Environment(extensions=extensions), **fields)  # type: ignore[arg-type]


def _by_code(seed: int):
    """A metric that depends on the code of the unit too, as real ones do."""
    return lambda unit, step: int(digest_of([seed, unit.key])[:6], 16) / 2**24 + step / 50


@pytest.mark.parametrize("scheduler", [None, ASHA, HYPERBAND], ids=["none", "asha", "hyperband"])
@pytest.mark.parametrize("both", [True, False], ids=["all", "some"])
def test_code_that_changes_between_two_processes(some, tmp_path, scheduler, both):
    whole, lab = some(2)
    new = ("# 2\n" if both else "# 1\n", "# 2\n")
    steps = {"steps": lambda unit: 12 if unit.stage == "train" else 2}
    for kill_at in (60, 118):
        shutil.rmtree(lab.folder, ignore_errors=True)
        shutil.rmtree(whole.folder, ignore_errors=True)
        spec = _of_two_modules(tmp_path / "code", "# 1\n", "# 1\n", scheduler)
        lab.run(spec, kill_at=kill_at, metric=_by_code(kill_at), **steps)
        for seed in range(1, 100):  # and the process with the new code is killed again and again
            ended = lab.run(
                _of_two_modules(tmp_path / "code", *new, scheduler),
                seed=seed, metric=_by_code(kill_at), kill_at=4 + 23 * seed, reuse=False, **steps,
            )  # fmt: skip
            if ended is not None:
                break
        _, fresh = whole.run(_of_two_modules(tmp_path / "code", *new, scheduler), metric=_by_code(kill_at), **steps)
        left = _results(lab, ended[1].index)
        assert {unit: one for unit, one in left.items() if one != "pruned"} == _results(whole, fresh.index), kill_at


def _results(lab, index) -> dict[str, str]:
    state = fold(read_events(lab.folder / f"x/exp.{index}/ledger.jsonl"))
    return {unit: state.done[unit]["digest"] if unit in state.done else state.status_of(unit) for unit in state.planned}


def test_failures_of_other_code_do_not_count(lab, tmp_path):
    broken = {"fails": lambda unit, attempt, step: unit.stage == "train" and step == 2}
    assert lab.run(_of_two_modules(tmp_path / "code", "# 1\n", "# 1\n", max_failures=1), kill_at=25, **broken) is None
    state = fold(read_events(lab.folder / "x/exp.0/ledger.jsonl"))
    assert state.failures
    assert lab.run(
        _of_two_modules(tmp_path / "code", "# 2\n", "# 2\n", max_failures=1),
        # Once for each unit, which is what the new code is allowed.
        fails=lambda unit, attempt, step: step == 2 and attempt == state.attempts.get(unit.id, 0) + 1,
    )[1].counts["failed"] == 0  # fmt: skip


def test_seeds_are_reduced_together_and_run_as_they_would_alone(lab, some):
    spec = _spec(seeds=[3, 5, 8])
    spec.stages[0].seedless = True
    outcome, record = lab.run(spec)
    ran = Counter(unit.partition("/")[0] for unit, step in lab.pools[0].ran if step == 1)
    assert ran == {"data": 1, "model": 9, "train": 27, "evaluate": 6}
    works = lab.controller.works.values()
    groups: dict[str, list[float]] = {}
    for work in works:
        if work.stage == "train":
            groups.setdefault(work.unit.variant.rpartition(",")[0], []).append(work.metric)
    best = sorted(groups, key=lambda group: -sum(groups[group]))[:2]
    evaluated = {work.unit.variant for work in works if work.stage == "evaluate"}
    assert evaluated == {f"{group},seed={seed}" for group in best for seed in (3, 5, 8)}
    assert [len(units) for units in outcome.choices] == [3] * 9 + [3] * 2
    # One of the seeds alone has the same results: nothing is left to run.
    (alone,) = some(1)
    alone.folder = lab.folder
    single = _spec(seed=5)
    single.stages[0].seedless = True
    _, record = alone.run(single, steps=_steps)
    assert record.counts["done"] == 15
    assert {unit.partition("/")[0] for pool in alone.pools for unit, step in pool.ran} <= {"evaluate"}


@pytest.mark.parametrize("scheduler", [None, ASHA], ids=["none", "asha"])
def test_drawn_choices_and_seeds_survive_a_crash(some, scheduler):
    spec = _spec(scheduler, seeds=[1, 2])
    spec.stages[2].body["lr"] = {"$uniform": [-4, -1], "transform": "pow10"}
    spec.stages[2].search = {"$new": "flambe.search:RandomSearch", "trial_budget": 5}
    whole, broken = some(2)
    _, expected = whole.run(spec)
    assert Counter(work.stage for work in whole.controller.works.values())["train"] == 10
    assert broken.run(spec, seed=3, kill_at=60) is None
    _, record = broken.run(spec, seed=4)
    assert (record.result_digest, record.counts["done"]) == (expected.result_digest, expected.counts["done"])


@pytest.mark.parametrize(
    ("resume", "reused"),
    [(None, {"data", "model", "train", "evaluate"}), ("model", {"data", "model"}), (["train"], {"train"}), ([], set())],
)
@pytest.mark.parametrize("scheduler", [None, ASHA], ids=["none", "asha"])
def test_resume_says_what_is_taken_from_earlier_runs(lab, scheduler, resume, reused):
    _, first = lab.run(_spec(scheduler))
    _, second = lab.run(_spec(scheduler, resume=resume))
    events = read_events(lab.folder / "x/exp.1/ledger.jsonl")
    assert {event["unit"].partition("/")[0] for event in events if event["event"] == "reuse"} == reused
    assert second.counts["done"] == first.counts["done"]
