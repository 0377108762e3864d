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


@pytest.mark.slow
def test_under_a_plain_tuner(bench, tmp_path):
    import ray
    from ray import tune

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
    finally:
        ray.shutdown()
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
