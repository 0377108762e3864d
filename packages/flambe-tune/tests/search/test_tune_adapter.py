"""Tune's schedulers behind our loop: the same decisions as Tune's own rules give, in any order of arrival, and replayed."""

from __future__ import annotations

import random

import pytest

from flambe.errors import ConfigError
from flambe.search import SchedulerAdapter, StageSchedule, check_scheduler

RAY = "ray.tune.schedulers:"


def _node(name: str, **arguments: object) -> dict[str, object]:
    return {"$new": RAY + name, **arguments}


def _metric(variant: int, step: int) -> float:
    return variant + step / 100


def _play(node, *, variants=9, steps=27, seed=0, lower=False, fails=(), arrival=False, metric=_metric):
    """Run variants on a random number of workers in random order; returns the decisions and the last step of each."""
    luck = random.Random(seed)
    schedule = StageSchedule(
        lambda lower: SchedulerAdapter(node, lower_is_better=lower, seed=7), variants, arrival=arrival
    )
    at = [0] * variants
    free = set(range(variants))  # may compute their next step
    decisions, reported = [], []
    while True:
        for verdict in schedule.deliver():
            decisions.append(verdict[:3])
            assert verdict.step == at[verdict.variant]
            if verdict.decision == "continue":
                free.add(verdict.variant)
        if not free:
            return decisions, at, reported
        variant = luck.choice(sorted(free))
        free.discard(variant)
        if (variant, at[variant]) in fails:
            schedule.gone(variant)
            continue
        at[variant] += 1
        more = at[variant] < steps
        reported.append((variant, at[variant], more))
        schedule.report(variant, at[variant], metric(variant, at[variant]), lower_is_better=lower, more=more)


SCHEDULERS = [
    _node("ASHAScheduler", max_t=27, grace_period=1, reduction_factor=3),
    _node("AsyncHyperBandScheduler", max_t=27, grace_period=1, reduction_factor=3, brackets=3),
    _node("HyperBandScheduler", max_t=9, reduction_factor=3),
    _node("MedianStoppingRule", grace_period=2, min_samples_required=2),
    _node("FIFOScheduler"),
]


@pytest.mark.parametrize(
    "node", SCHEDULERS, ids=lambda node: node["$new"].partition(":")[2] + str(node.get("brackets", ""))
)
@pytest.mark.parametrize("fails", [(), ((3, 0), (7, 2))], ids=["", "failing"])
def test_decisions_do_not_depend_on_timing(node, fails):
    first, at, _ = _play(node, fails=fails)
    for seed in range(1, 6):
        again, reached, _ = _play(node, seed=seed, fails=fails)
        assert (again, reached) == (first, at)


@pytest.mark.parametrize(
    "node", SCHEDULERS, ids=lambda node: node["$new"].partition(":")[2] + str(node.get("brackets", ""))
)
def test_hearing_the_results_again_gives_the_same_decisions(node):
    decisions, _, reported = _play(node, seed=5)
    for cut in range(0, len(reported), 41):
        schedule = StageSchedule(lambda lower: SchedulerAdapter(node, lower_is_better=lower, seed=7), 9)
        heard = []
        for variant, step, more in sorted(reported[:cut]):
            schedule.report(variant, step, _metric(variant, step), lower_is_better=False, more=more)
        heard += [verdict[:3] for verdict in schedule.deliver()]
        for variant, step, more in reported[cut:]:
            schedule.report(variant, step, _metric(variant, step), lower_is_better=False, more=more)
            heard += [verdict[:3] for verdict in schedule.deliver()]
        assert heard == decisions


def test_asha_stops_the_worst_at_its_rungs():
    # Successive halving by hand: at step 1 each variant is compared with the top third of those before it. Variants come
    # in rising quality here, so none is below the cutoff; falling quality stops all but the first.
    node = _node("ASHAScheduler", max_t=9, grace_period=1, reduction_factor=3)
    decisions, at, _ = _play(node, steps=20)
    assert at == [9] * 9
    assert {step for _, step, decision in decisions if decision == "stop"} == {9}
    _, at, _ = _play(node, steps=20, metric=lambda variant, step: -float(variant))
    assert at == [9, 1, 1, 1, 1, 1, 1, 1, 1]


def test_the_direction_is_that_of_the_metric():
    node = _node("ASHAScheduler", max_t=9, grace_period=1, reduction_factor=3)
    _, at, _ = _play(node, steps=20, lower=True)
    assert at == [9, 1, 1, 1, 1, 1, 1, 1, 1]


def test_hyperband_halves_its_brackets_and_resumes_who_was_paused():
    node = _node("HyperBandScheduler", max_t=9, reduction_factor=3)
    decisions, at, _ = _play(node, steps=100)
    assert any(decision == "pause" for _, _, decision in decisions)
    assert max(at) == 9  # max_t is the most anyone gets
    assert at[8] == 9  # the best of the whole field
    paused = {variant for variant, _, decision in decisions if decision == "pause"}
    ended = {variant for variant, _, decision in decisions if decision == "stop"}
    assert paused <= ended


def test_hyperband_left_waiting_for_one_that_failed_goes_on():
    node = _node("HyperBandScheduler", max_t=9, reduction_factor=3)
    _, at, _ = _play(node, steps=100, fails=tuple((variant, 2) for variant in (0, 4, 8)))
    assert [reached for variant, reached in enumerate(at) if variant not in (0, 4, 8)] != []
    assert max(at) == 9


def test_a_metric_that_is_missing_stops_nothing_but_wins_nothing():
    for node in SCHEDULERS:
        _, at, _ = _play(
            node, metric=lambda variant, step: None if variant == 0 else float("nan") if variant == 1 else 1.0
        )
        assert min(at) >= 1


def test_our_settings_win_over_those_of_old_configs():
    node = _node("HyperBandScheduler", max_t=9, reward_attr="accuracy", metric="other", mode="min", time_attr="epochs")
    _, at, _ = _play(node, steps=100)
    assert at[8] == 9


def test_arrival_passes_results_as_they_come():
    node = _node("ASHAScheduler", max_t=9, grace_period=1, reduction_factor=3)
    orders = {tuple(_play(node, seed=seed, arrival=True)[0]) for seed in range(5)}
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PB2", r"does not drive the scheduler PB2 of stage 'train': it needs GPy.*PopulationBasedTraining can"),
        ("HyperBandForBOHB", r"it works only together with TuneBOHB\. Write search: \{stage: !BOHB"),
        ("ResourceChangingScheduler", r"it changes the resources.*StageTrainable"),
        ("PopulationBasedTrainingReplay", r"it repeats a file of Tune's own"),
    ],
)
def test_schedulers_that_cannot_be_driven_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        check_scheduler(_node(name), "train")


def test_wrong_arguments_of_a_scheduler_are_named():
    with pytest.raises(ConfigError, match=r"ray\.tune\.schedulers:ASHAScheduler refuses its arguments: .*max_tt"):
        SchedulerAdapter(_node("ASHAScheduler", max_tt=3), lower_is_better=False, seed=0)


def test_random_numbers_of_others_are_left_alone():
    import numpy as np

    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    _play(_node("AsyncHyperBandScheduler", max_t=27, brackets=3))
    assert np.random.random() == expected
