"""Whole configs, from YAML through the compiler to results: forms of 1.0, each algorithm, what stages share."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

import flambe
from flambe.compile import compile_text
from flambe.experiment.local import LocalPool
from flambe.experiment.session import Settings, Summary, run_experiment

PARTS = """
from flambe import Component

class Data(Component):
    immutable = True

    def __init__(self, size=3):
        super().__init__()
        self.size = size

class Walk(Component):
    def __init__(self, data=None, rate=1.0, steps=4, others=()):
        super().__init__()
        self.data, self.rate, self.steps, self.others, self.at = data, rate, steps, others, 0
        self.register_attrs("at")

    def run(self):
        self.at += 1
        return self.at < self.steps

    def metric(self):
        return -abs(self.rate - 7) + self.at

class Look(Component):
    def __init__(self, walk):
        super().__init__()
        self.walk = walk

    def metric(self):
        return 10 * self.walk.metric()
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of the components. One process works for all runs of these."""
    file = tmp_path_factory.mktemp("whole") / "whole_parts.py"
    file.write_text(PARTS)
    pool = LocalPool()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "close", lambda: None)
        patch.setattr("flambe.experiment.session.make_pool", lambda settings, spec, count, root: pool)
        yield file
    pool.close()


def _run(parts: Path, name: str, text: str) -> Summary:
    spec = compile_text(f"whole_parts: {parts}\n---\n{text}", name=name)
    summary = run_experiment(spec, Settings(output_dir=str(parts.parent / "out")))
    assert summary.status == "COMPLETE", summary.rows
    return summary


@pytest.mark.parametrize(
    ("algorithm", "variants"),
    [
        ("GridSearch", [2]),
        ("RandomSearch {trial_budget: 5}", [5]),
        ("BayesOptKDE {trial_budget: 8}", [8]),
        ("Hyperband {step_budget: 24, max_steps: 4}", range(7, 25)),
        ("BOHB {step_budget: 24, max_steps: 4}", range(7, 25)),
        ("ray.OptunaSearch {trial_budget: 8}", [8]),
    ],
)
def test_a_search_of_one_object_by_each_algorithm(parts: Path, algorithm: str, variants: Collection[int]) -> None:
    rate = "!choice [1, 2]" if algorithm == "GridSearch" else "!uniform [0, 10]"
    text = f"!Search\nalgorithm: !{algorithm}\ntask: !whole_parts.Walk {{rate: {rate}}}\n"
    summary = _run(parts, algorithm.partition(" ")[0].replace(".", "-"), text)
    assert len(summary.rows) in variants
    assert {row["stage"] for row in summary.rows} == {"walk"}
    assert summary.best["metric"] == max(row["metric"] for row in summary.rows)
    early = [row for row in summary.rows if row.get("stopped_early")]
    assert bool(early) is ("step_budget" in algorithm)
    assert all(row["step"] < 4 for row in early)


@pytest.mark.parametrize(
    ("scheduler", "ends"),
    [
        ("FIFOScheduler {}", False),
        ("ASHAScheduler {max_t: 4, grace_period: 1, reduction_factor: 2}", True),
        ("AsyncHyperBandScheduler {max_t: 4, grace_period: 1, reduction_factor: 2}", True),
        ("HyperBandScheduler {max_t: 4, reduction_factor: 2}", True),
        ("MedianStoppingRule {min_samples_required: 2}", True),
        ("PopulationBasedTraining {perturbation_interval: 1}", False),
    ],
)
def test_each_scheduler_of_tune_by_its_tag(parts: Path, scheduler: str, ends: bool) -> None:
    text = f"""!Experiment
schedulers: {{walk: !ray.{scheduler}}}
reduce: {{walk: 1}}
pipeline:
  walk: !whole_parts.Walk {{rate: !g [7, 6, 5, 4, 3, 2]}}
  look: !whole_parts.Look {{walk: !@ walk}}
"""
    summary = _run(parts, scheduler.partition(" ")[0], text)
    walks = [row for row in summary.rows if row["stage"] == "walk"]
    assert len(walks) == 6
    assert any(row.get("stopped_early") for row in walks) is ends
    assert any(row.get("takeovers") for row in walks) is scheduler.startswith("Population")
    (look,) = (row for row in summary.rows if row["stage"] == "look")
    assert look["metric"] == 10 * max(row["metric"] for row in walks)


def test_a_pipeline_of_1_0(parts: Path) -> None:
    text = """!Pipeline
stages:
  data: !whole_parts.Data {size: !choice [3, 4]}
  walk: !whole_parts.Walk {data: !@ data, rate: !uniform [1, 9], steps: !@ data.size}
  look: !whole_parts.Look {walk: !@ walk}
algorithm: {walk: !RandomSearch {trial_budget: 4}}
reduce: {walk: 2}
cpus_per_trial: {walk: 1}
"""
    summary = _run(parts, "pipeline", text)
    metrics = {
        stage: sorted(row["metric"] for row in summary.rows if row["stage"] == stage) for stage in ("walk", "look")
    }
    assert len(metrics["walk"]) == 4
    assert metrics["look"] == pytest.approx([10 * metric for metric in metrics["walk"][2:]])


def test_what_stages_share_is_one_object_and_stays_one(parts: Path) -> None:
    text = """!Experiment
pipeline:
  walk: !whole_parts.Walk {data: &data !whole_parts.Data {size: 5}}
  again: !whole_parts.Walk
    data: *data
    others: [*data, !@ walk]
    steps: !@ again[data].size
"""
    summary = _run(parts, "shared", text)
    again = flambe.load(summary.run / "stages/again/0/checkpoint", extensions={"whole_parts": str(parts)})
    data, walk = again.others
    assert data is again.data is walk.data
    assert (data.size, again.at, walk.at) == (5, 5, 4)
