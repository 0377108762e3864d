"""Search algorithms of libraries: the same choices again, only what counts is asked for, better ones with time."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from flambe.compile import compile_text
from flambe.compile.search import dimensions
from flambe.errors import ConfigError
from flambe.search.searcher_adapter import SearcherAdapter
from flambe.search.space import Space

BODY = {
    "$new": "m:T",
    "lr": {"$uniform": [-4, -1], "transform": "pow10"},
    "layers": {"$quniform": [1, 9, 9]},
    "encoder": {"$grid": [{"$new": "m:A", "h": {"$grid": [1, 2]}}, {"$new": "m:B", "h": {"$quniform": [0, 10, 11]}}]},
    "shift": {"$normal": [0, 2]},
    "share": {"$beta": [2, 5]},
    "mixed": {"$grid": [1, {"$uniform": [5, 6]}]},
}
FLAT = {name: node for name, node in BODY.items() if name not in ("encoder", "mixed")}
OPTUNA = {"$new": "ray.tune.search.optuna:OptunaSearch"}
KDE = {"$new": "flambe.search:BayesOptKDE", "trial_budget": 9}
BOHB = {"$new": "flambe.search:BOHB", "step_budget": 90, "max_steps": 9}
HYPERBAND = {"$new": "flambe.search:Hyperband", "step_budget": 90, "max_steps": 9}
GP = {"$new": "flambe.search:BayesOptGP", "trial_budget": 9}


def _search(node, body, count, *, seed=7, lower=False):
    """Return the choices and their metrics; the optimum is lr 0.01 and shift 0."""
    adapter = SearcherAdapter(node, Space({"train": dimensions(body)}), seed=seed)
    found = []
    for index in range(count):
        (choice,) = adapter.suggest(index)
        loss = abs(math.log10(choice["lr"]) + 2) + abs(choice["shift"]) / 4
        metric = loss if lower else -loss
        adapter.result(index, 1, metric, lower_is_better=lower)
        adapter.complete(index, 1, None if index == 2 else metric, lower_is_better=lower)
        found.append((loss, choice))
    return found


@pytest.mark.parametrize("node", [OPTUNA, KDE, BOHB, HYPERBAND], ids=["optuna", "kde", "bohb", "hyperband"])
def test_only_what_counts_is_chosen_and_chosen_alike(node):
    found = _search(node, BODY, 25)
    assert found == _search(node, BODY, 25)
    assert [choice for _, choice in found] != [choice for _, choice in _search(node, BODY, 25, seed=8)]
    for _, choice in found:
        kind = choice["encoder"]["$new"]
        assert choice["encoder.h"] in ((1, 2) if kind == "m:A" else range(11))
        assert 1e-4 <= choice["lr"] <= 0.1
        assert choice["layers"] in range(1, 10)
        assert choice["mixed"] == 1 or 5 <= choice["mixed"] <= 6
        assert 0 < choice["share"] < 1
    assert {choice["encoder"]["$new"] for _, choice in found} == {"m:A", "m:B"}


@pytest.mark.parametrize("lower", [True, False], ids=["lower is better", "higher is better"])
@pytest.mark.parametrize("node", [OPTUNA, KDE], ids=["optuna", "kde"])
def test_choices_get_better(node, lower):
    losses = [loss for loss, _ in _search(node, FLAT, 40, lower=lower)]
    assert sum(losses[20:]) < 0.8 * sum(losses[:20])


@pytest.mark.parametrize("node", [OPTUNA, KDE], ids=["optuna", "kde"])
@pytest.mark.parametrize("lower", [True, False], ids=["lower is better", "higher is better"])
def test_what_diverges_is_chosen_less_and_less(node, lower):
    body = {"$new": "m:T", "lr": {"$uniform": [0, 1]}, "bad": {"$grid": [False, True]}}
    adapter = SearcherAdapter(node, Space({"train": dimensions(body)}), seed=3)
    bad = []
    for index in range(40):
        (choice,) = adapter.suggest(index)
        bad.append(choice["bad"])
        metric = math.nan if choice["bad"] else choice["lr"] - 7
        adapter.result(index, 1, metric, lower_is_better=lower)
        adapter.complete(index, 2, metric, lower_is_better=lower)
    assert sum(bad[:10]) >= 3
    assert (
        sum(bad[20:]) <= 6
    )  # half of them, where the search hears nothing; a third of what a KDE chooses is drawn blindly


@pytest.mark.slow
def test_a_gaussian_process_needs_few_choices():
    two = {name: FLAT[name] for name in ("$new", "lr", "shift")}
    losses = [loss for loss, _ in _search(GP, two, 14)]
    assert sum(losses[8:]) < 0.5 * sum(losses[:6])


@pytest.mark.parametrize(
    ("target", "module", "given"),
    [
        ("hyperopt:HyperOptSearch", "hyperopt", {}),
        ("bohb:TuneBOHB", "hpbandster", {}),
        ("ax:AxSearch", "ax", {}),
        ("bayesopt:BayesOptSearch", "bayes_opt", {}),
        ("nevergrad:NevergradSearch", "nevergrad", {"optimizer": "OnePlusOne"}),
        ("zoopt:ZOOptSearch", "zoopt", {}),
        ("hebo:HEBOSearch", "hebo", {}),
    ],
)
def test_every_searcher_whose_library_is_installed(target, module, given):
    pytest.importorskip(module)
    node = {"$new": f"ray.tune.search.{target}", "trial_budget": 24, **given}
    two = {name: FLAT[name] for name in ("$new", "lr", "shift")}
    found = _search(node, two, 24)  # one of these fails
    losses = [loss for loss, _ in found]
    assert sum(sorted(losses[12:])[:3]) < sum(sorted(losses[:12])[:3])
    assert found == _search(node, two, 24)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_zoopt_makes_as_many_choices_as_it_may(at_once):
    pytest.importorskip("zoopt")
    node = {"$new": "ray.tune.search.zoopt:ZOOptSearch", "trial_budget": 60}
    few = {"lr": FLAT["lr"], "layers": FLAT["layers"], "kind": {"$grid": ["a", "b"]}}
    adapter = SearcherAdapter(node, Space({"train": dimensions({"$new": "m:T", **few})}), seed=7)
    made, open_ = [], []
    while len(made) < 60 or open_:
        while len(open_) < at_once and len(made) < 60 and (found := adapter.suggest(len(made))) is not None:
            open_.append(len(made))
            made.append(found[0])
        index = open_.pop(0)  # there is always one
        loss = abs(math.log10(made[index]["lr"]) + 2)
        adapter.complete(index, 1, None if index in (2, 5) else -loss, lower_is_better=False)
    assert len(made) == 60


def test_zoopt_is_not_asked_for_less_than_it_can():
    with pytest.raises(
        ConfigError, match="trial_budget of ZOOptSearch is 2; expected 3 or more. !RandomSearch takes any"
    ):
        SearcherAdapter(
            {"$new": "ray.tune.search.zoopt:ZOOptSearch", "trial_budget": 2}, Space({"a": dimensions(FLAT)}), seed=0
        )


def test_the_choices_of_stages_are_made_together():
    space = Space({"model": dimensions({"$new": "m:M", "lr": {"$grid": [1, 2]}}), "train": dimensions(FLAT)})
    model, train = SearcherAdapter(OPTUNA, space, seed=1).suggest(0)
    assert set(model) == {"lr"}
    assert set(train) == set(FLAT) - {"$new"}


@pytest.mark.parametrize(
    "name", ["bayesopt:BayesOptSearch", "ax:AxSearch", "nevergrad:NevergradSearch", "bohb:TuneBOHB"]
)
def test_a_library_that_is_missing_is_named(name):
    module, _, kind = name.partition(":")
    given = {"optimizer": "x"} if module == "nevergrad" else {}
    with pytest.raises(ConfigError, match=f"{kind} cannot be used.*pip install"):
        SearcherAdapter({"$new": f"ray.tune.search.{name}", **given}, Space({"a": dimensions(FLAT)}), seed=0)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (GP, "train.encoder.h is searched only where train.encoder is 'A-.*', which this algorithm cannot do"),
        ({**OPTUNA, "sed": 3}, "OptunaSearch refuses what it was given: .*sed"),
        ({**GP, "aq_func": "ucb"}, "aq_func of BayesOptGP is 'ucb', and Optuna has it as 'ei' only"),
        ({**KDE, "min_bandwidth": 0.1}, "min_bandwidth of BayesOptKDE is 0.1.*Optuna chooses bandwidths itself"),
    ],
)
def test_what_an_algorithm_cannot_do_is_told(node, message):
    with pytest.raises(ConfigError, match=message):
        SearcherAdapter(node, Space({"train": dimensions(BODY)}), seed=0).suggest(0)


def test_a_searcher_of_tune_takes_its_budget(tmp_path: Path, capsys):
    (tmp_path / "toys.py").write_text(
        "class Toy:\n    def __init__(self, lr):\n        pass\n    def run(self):\n        pass\n"
    )
    text = (
        f"toys: {tmp_path}/toys.py\n---\n!Search\ntask: !toys.Toy {{lr: !uniform [0, 1]}}\n"
        "algorithm: !ray.OptunaSearch {trial_budget: 9, max_concurrent: 2}\nrefresh_waitime: 30.0\n"
    )
    compiled = compile_text(text, name="t")
    assert compiled.stages[0].search == {**OPTUNA, "trial_budget": 9, "max_concurrent": 2}
    with pytest.raises(ConfigError, match="OptunaSearch has no argument 'max_current'"):
        compile_text(text.replace("max_concurrent", "max_current"), name="t")
    capsys.readouterr()
    assert compile_text(text.replace("9,", "9, mode: min,"), name="t").stages == compiled.stages
    assert "<t>:5:48: mode of OptunaSearch is the text 'min', which has no effect" in capsys.readouterr().err
