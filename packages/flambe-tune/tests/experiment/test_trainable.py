"""A stage under a plain Tuner: the same steps, checkpoints that go on, and what is above it done once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flambe.errors import ConfigError
from flambe.experiment import StageTrainable


def _space(bench, **climber):
    spec = bench.spec(steps=3, climber={"rate": {"$uniform": [0, 1]}, **climber})
    return StageTrainable.param_space(spec, "climb")


@pytest.mark.slow
def test_a_trial_is_a_variant(bench, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    space = _space(bench)
    again = _space(bench)
    assert again["flambe"]["root"].endswith("exp.1")  # taken from exp.0
    trial = StageTrainable({**space, "climb.rate": 0.5})
    first = trial.train()
    assert first["height"] == first["metric"] > 0.5
    assert not first["done"]
    saved = trial.save(str(bench.folder / "saved"))
    rest = [trial.train() for _ in range(2)]
    other = StageTrainable({**space, "climb.rate": 0.5})
    other.restore(saved)
    assert [other.train()["metric"] for _ in range(2)] == [one["metric"] for one in rest]
    assert rest[-1]["done"]
    # Another rate goes on from the same height.
    third = StageTrainable({**space, "climb.rate": 1.0})
    third.restore(saved)
    assert third.train()["metric"] >= first["metric"] + 1
    for one in (trial, other, third):
        one.stop()
    # A choice is named by its value or its label. (In this test, as the module of another cannot be loaded beside this one.)
    grid = StageTrainable.param_space(bench.spec(rates=2, steps=1), "climb")
    heights = set()
    for rate in (0.5, "0.5"):
        trial = StageTrainable({**grid, "climb.rate": rate})
        heights.add(trial.train()["height"])
        trial.stop()
    assert len(heights) == 1
    with pytest.raises(ConfigError, match=r"climb.rate is 0.7; expected one of 0.5, 1.0"):
        StageTrainable({**grid, "climb.rate": 0.7})


@pytest.mark.slow
def test_under_a_plain_tuner(bench, tmp_path):
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining

    space = _space(bench)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        results = tune.Tuner(
            StageTrainable,
            param_space={**space, "climb.rate": tune.grid_search([0.2, 0.9])},
            tune_config=tune.TuneConfig(metric="metric", mode="max", reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=str(tmp_path / "tune"),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
            ),
        ).fit()
        pbt = PopulationBasedTraining(
            time_attr="training_iteration",
            perturbation_interval=1,
            hyperparam_mutations={"climb.rate": [0.1, 0.9]},
            quantile_fraction=0.5,
            synch=True,
        )
        fits = {"pbt": pbt, "asha": ASHAScheduler(max_t=3, grace_period=1, reduction_factor=2)}
        scheduled = {}
        for name, scheduler in fits.items():
            rates = [0.1, 0.9] if name == "pbt" else [0.9, 0.1]
            scheduled[name] = tune.Tuner(
                StageTrainable,
                param_space={**space, "climb.rate": tune.grid_search(rates)},
                tune_config=tune.TuneConfig(metric="metric", mode="max", reuse_actors=True, scheduler=scheduler),
                run_config=tune.RunConfig(name=name, storage_path=str(tmp_path / "tune"), verbose=0),
            ).fit()
    finally:
        ray.shutdown()
    # The low one has gone on from the height of the other; the worse one was stopped after its first step.
    assert all(result.error is None and result.metrics["training_iteration"] == 3 for result in scheduled["pbt"])
    assert min(result.metrics["metric"] for result in scheduled["pbt"]) > 3 * 0.11
    assert {result.metrics["training_iteration"] for result in scheduled["asha"]} == {1, 3}
    best = results.get_best_result()
    assert best.config["climb.rate"] == 0.9
    assert best.metrics["training_iteration"] == 3
    with best.checkpoint.as_directory() as folder:
        state = json.loads((Path(folder) / "checkpoint/state.json").read_text())
    assert str(best.metrics["metric"]) in json.dumps(state)


def test_searches_inside_of_options_are_refused(bench):
    spec = bench.spec()
    spec.stages[1].body["mark"] = {"$grid": ["", {"$new": "toys:Source", "size": {"$grid": [1, 2]}}]}
    spec.stages = spec.stages[1:2]
    spec.stages[0].body.update(source=None, count=0)
    with pytest.raises(ConfigError, match="is searched only where climb.mark is"):
        StageTrainable.param_space(spec, "climb")
