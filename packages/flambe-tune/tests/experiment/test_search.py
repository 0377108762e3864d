"""flambe-tune over drawn choices and several seeds, through the command."""

from __future__ import annotations

import json
import statistics
from typing import Any

import pytest

from flambe.compile.search import expand
from flambe.spec.nodes import Spec

ASHA = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 4, "grace_period": 1, "reduction_factor": 2}


def _spec(bench: Any, **more: Any) -> Spec:
    spec: Spec = bench.spec(climber={"rate": {"$uniform": [-2, 1], "transform": "pow2"}}, **more)
    spec.stages[1].search = {"$new": "flambe.search:RandomSearch", "trial_budget": 4}
    return spec


@pytest.mark.slow
def test_what_expand_writes_is_what_tune_runs(bench):
    spec = _spec(bench, seeds=[3, 4], scheduler=ASHA)
    spec.stages[0].seedless = True
    rows, end, _ = bench.tune(spec, "--runner", "local")
    climbers = [row for row in rows if row["stage"] == "climb"]
    wanted = {(one.stages[1].params["rate"], one.seed) for one in expand(spec)}
    assert {(row["params"]["climb.rate"], row["params"]["seed"]) for row in climbers} == wanted
    assert len([row for row in rows if row["stage"] == "source"]) == 1
    assert end["status"] == "COMPLETE"
    assert [row["n"] for row in end["choices"]] == [2] * 4 + [2] * 2
    first = end["choices"][0]
    metrics = [row["metric"] for row in climbers if row["params"]["climb.rate"] == first["params"]["climb.rate"]]
    assert first["stage"] == "climb"
    assert first["metric"] == pytest.approx(statistics.mean(metrics))
    assert first["std"] == pytest.approx(statistics.stdev(metrics))
    assert first["metric"] >= max(row["metric"] for row in end["choices"][1:4])
    judged = {row["params"]["climb.rate"] for row in rows if row["stage"] == "judge"}
    assert judged == {row["params"]["climb.rate"] for row in end["choices"][:2]}
    again, _, _ = bench.tune(spec, "--runner", "local", "--force", "--seed", "4", "--plan")
    assert [row["params"].get("seed") for row in again] == [None] * len(again)


def test_the_plan_names_every_seed_and_draw(bench):
    rows, end, _ = bench.tune(_spec(bench, seeds=[3, 4]), "--plan")
    assert end["counts"] == {"run": 2 + 8 + 4}
    assert rows[2]["variant"].startswith("rate=")
    assert rows[2]["variant"].endswith(",seed=3")
    guesses = [row["params"] for row in rows if row.get("is_guess")]
    assert len({row["climb.rate"] for row in guesses}) == 2
    assert json.dumps(rows) == json.dumps(bench.tune(_spec(bench, seeds=[3, 4]), "--plan")[0])


def test_a_search_without_a_budget_is_refused_before_anything_runs(bench):
    spec = _spec(bench)
    spec.stages[1].search = {"$new": "ray.tune.search.optuna:OptunaSearch"}
    _, _, said = bench.tune(spec, code=2)
    assert said == (
        "flambe-tune: error: trial_budget of OptunaSearch of stage 'climb' is missing; expected an integer from 1 to 100,000. "
        "How many choices are tried: !ray.OptunaSearch {trial_budget: 20}.\n"
    )
