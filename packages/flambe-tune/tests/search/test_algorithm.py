"""The interface of 1.0's algorithms: ours for who runs trials alone, one's own as the search of a stage."""

from __future__ import annotations

import json
import math

import pytest

from flambe.compile import compile_text
from flambe.compile.search import dimensions
from flambe.errors import ConfigError, FlambeError
from flambe.experiment.check import check_spec
from flambe.pipeline.graph import StageGraph
from flambe.search import (
    BOHB,
    BayesOptKDE,
    GridSearch,
    Hyperband,
    RandomSearch,
    Trial,
    TrialState,
    choice,
    quniform,
    uniform,
)
from flambe.search.proposer import make_proposer
from flambe.search.space import Space
from flambe.search.tune_adapter import CONTINUE, PAUSE

NUMBERS = {"lr": uniform(-4, -1, transform="pow10"), "shift": uniform(-2, 2)}


def _run(algorithm, space, *, steps=1, workers=4):
    """Run trials as somebody without flambe-tune would; the optimum is lr 0.01 and shift 0. Every fifth one fails."""
    algorithm.initialize(space)
    trials: dict[str, Trial] = {}
    while not algorithm.is_done():
        trials = algorithm.update(trials, workers)
        assert sum(not trial.has_ended for trial in trials.values()) <= workers
        for name, trial in trials.items():
            if trial.state in (TrialState.CREATED, TrialState.RESUME):
                if name == "5":
                    trial.state = TrialState.ERROR
                    continue
                loss = abs(math.log10(trial.params["lr"]) + 2) + abs(trial.params.get("shift", 0))
                trial.report(len(trial.metrics) - loss)
                if len(trial.metrics) == steps:
                    trial.state = TrialState.TERMINATED
    return trials


@pytest.mark.parametrize("algorithm", [GridSearch(), RandomSearch(3), BayesOptKDE(3)])
def test_trials_have_the_names_of_their_space(algorithm):
    space = {"x.lr": choice([0.1, 0.01]), "lr": choice([1, 2])}
    trials = _run(algorithm, space)
    assert all(set(trial.params) == set(space) for trial in trials.values())


def test_a_grid_is_every_choice_once():
    trials = _run(GridSearch(), {"lr": choice([0.1, 0.01]), "kind": choice({"a": 1, "b": "x"}), "n": quniform(1, 3, 3)})
    assert len(trials) == 12 == len({json.dumps(trial.params) for trial in trials.values()})
    assert trials["0"].params == {"lr": 0.1, "kind": "a", "n": 1}
    assert trials["5"].state is TrialState.ERROR


@pytest.mark.parametrize(
    "algorithm",
    [lambda: RandomSearch(9, seed=3), lambda: BayesOptKDE(9)],
    ids=["random", "kde"],
)
def test_a_budget_of_trials_is_spent(algorithm):
    trials = _run(algorithm(), NUMBERS)
    assert len({json.dumps(trial.params) for trial in trials.values()}) == len(trials) == 9
    assert trials == _run(algorithm(), NUMBERS)


@pytest.mark.parametrize("kind", [Hyperband, BOHB])
def test_a_budget_of_steps_is_spent_on_what_is_good(kind):
    trials = _run(kind(step_budget=80, max_steps=9, min_steps=1), NUMBERS, steps=9)
    taken = [len(trial.metrics) for trial in trials.values()]
    assert 80 <= sum(taken) <= 80 + 4 * 9
    assert len(trials) > 80 / 9
    assert 1 in taken
    assert 9 in taken
    best = {n: max(t.metrics[0] for t in trials.values() if len(t.metrics) == n) for n in (1, 9)}
    assert best[9] >= best[1]


def test_what_is_used_wrongly_is_said():
    search = RandomSearch(3)
    for use in (search.is_done, lambda: search.update({}, 1)):
        with pytest.raises(ValueError, match=r"has nothing to search: call initialize\(space\) first"):
            use()
    search.initialize(NUMBERS)
    with pytest.raises(ValueError, match="was initialized before"):
        search.initialize(NUMBERS)
    with pytest.raises(ValueError, match="has no list of values to try"):
        GridSearch().initialize(NUMBERS)
    assert RandomSearch(3, seed=None) == {"$new": "flambe.search:RandomSearch", "trial_budget": 3}


def _own(searching, kind, **given):
    space = Space({"train": dimensions({"$new": "m:T", "rate": {"$uniform": [0, 9]}})})
    return make_proposer(
        {"$new": f"searching:{kind}", **given}, space, seed=1, extensions={"searching": str(searching)}
    )


def test_one_of_ones_own_chooses_for_a_stage(searching):
    search = _own(searching, "Doubling", first=0.5, trial_budget=9)
    found = []
    for index in range(9):
        choice_ = search.suggest(index)
        if choice_ is None:
            break
        assert search.suggest(index + 1) is None  # it waits for the result
        ((found_one),) = choice_
        found.append(found_one["rate"])
        search.result(index, 1, 9 - found[-1], lower_is_better=True)
        search.complete(index, 2, None if index == 2 else 8 - found[-1], lower_is_better=True)
    assert found == [0.5, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("Doubling", {}, "the search algorithm searching:Doubling refuses what it was given: .*'first'"),
        ("Lost", {"first": 1}, "Lost made the trial 'a': no value for train.rate"),
        (
            "Chatty",
            {"rates": []},
            r"Chatty made the trial 'a': 'train.rat' is not searched; expected train.rate. Did you mean 'train.rate'\?",
        ),
        (
            "Nothing",
            {},
            "searching:Nothing is no search algorithm; expected a subclass of ray.tune.search.Searcher, or",
        ),
        (
            "Silent",
            {"first": 1},
            r"update\(\) of Silent returned None; expected the trials that it was given, as a mapping of name to flambe.search.Trial.* "
            "End it with: return trials",
        ),
        ("Listing", {"first": 1}, r"update\(\) of Listing returned a list; expected the trials"),
        ("Bare", {"first": 1}, r"update\(\) of Bare returned a dict for the trial 'a'; expected a flambe.search.Trial"),
        ("Forgetful", {"first": 1}, r"update\(\) of Forgetful left out the trial '0'"),
        (
            "Broken",
            {"first": 1},
            r"update\(\) of Broken raised ZeroDivisionError: division by zero \(.*searching.py:\d+\)",
        ),
        ("Unready", {"first": 1}, r"initialize\(\) of Unready raised LookupError: no space \(.*searching.py:\d+\)"),
    ],
)
def test_what_ones_own_does_wrong_is_said(searching, kind, given, message):
    def use():
        search = _own(searching, kind, **given)
        search.suggest(0)
        search.result(0, 1, 0.5, lower_is_better=False)

    with pytest.raises(FlambeError, match=message):
        use()


def test_one_of_ones_own_says_what_ends_what_waits_and_what_goes_on(searching):
    search = _own(searching, "Halving", rates=[1, 2])
    assert search.rules
    assert [search.suggest(index) for index in range(2)] == [({"rate": 1},), ({"rate": 2},)]
    said = []
    for index, step in ((0, 1), (1, 1), (0, 2), (1, 2)):
        search.result(index, step, index + step, lower_is_better=False)
        said.append(search.ruling(index))
    assert said == [CONTINUE, CONTINUE, PAUSE, CONTINUE]
    assert (search.stopped(), search.woken()) == ([0], [])
    assert search.stopped() == []


def test_a_searcher_of_ones_own_needs_a_budget(tmp_path):
    file = tmp_path / "searchers.py"
    file.write_text(
        "from ray.tune.search import Searcher\n\nclass Mine(Searcher):\n"
        "    def set_search_properties(self, metric, mode, config, **spec):\n        return True\n"
        "    def suggest(self, trial_id):\n        return {'train.rate': 0.25}\n"
        "    def on_trial_complete(self, trial_id, result=None, error=False):\n        pass\n"
    )
    space = Space({"train": dimensions({"$new": "m:T", "rate": {"$uniform": [0, 9]}})})
    given = {"seed": 1, "extensions": {"searchers": str(file)}}
    assert make_proposer({"$new": "searchers:Mine", "trial_budget": 2}, space, **given).suggest(0) == ({"rate": 0.25},)
    with pytest.raises(
        ConfigError, match=r"Mine has no trial_budget. How many choices are tried: !searchers.Mine {trial"
    ):
        make_proposer({"$new": "searchers:Mine"}, space, **given)


def test_the_check_takes_a_budget_beside_the_arguments_of_ones_own(tmp_path, searching):
    (tmp_path / "toys.py").write_text(
        "class Toy:\n    def __init__(self, rate):\n        pass\n    def run(self):\n        pass\n"
    )
    text = (
        f"toys: {tmp_path}/toys.py\nsearching: {searching}\n---\n!Search\ntask: !toys.Toy {{rate: !uniform [0, 1]}}\n"
        "algorithm: !searching.Doubling {first: 0.1, trial_budget: 9}\n"
    )
    spec = compile_text(text, name="t")
    assert spec.stages[0].search == {"$new": "searching:Doubling", "first": 0.1, "trial_budget": 9}
    for old, new, message in (
        ("first", "frist", "Doubling has no argument 'frist'"),
        (
            "trial_budget",
            "trial_buget",
            "<t>:6:45: Doubling has no argument 'trial_buget'. Did you mean 'trial_budget'?",
        ),
        (
            "!searching.Doubling {",
            "RandomSearch # ",
            "^<t>:6:12: algorithm of 'toy' is the text 'RandomSearch'; expected a tag",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            compile_text(text.replace(old, new), name="t")
    spec = compile_text(text.replace("trial_budget: 9", "trial_budget: 0"), name="t")
    with pytest.raises(
        ConfigError, match="<t>:6:12: trial_budget of Doubling of stage 'toy' is 0; expected an integer"
    ):
        check_spec(spec, StageGraph(spec))
