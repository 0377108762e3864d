"""GPUs of child processes: each unit sees those that it was given, parts share one, and what is not there is told."""

from __future__ import annotations

import os

import pytest

from flambe.errors import ConfigError
from flambe.experiment.gpus import VISIBLE, Gpus, usable_gpus
from flambe.experiment.local import LocalPool
from flambe.experiment.session import LOCAL, Settings, run_experiment
from flambe.runner.unit import Unit
from flambe.spec.nodes import Stage

SEEING = """
import os
from flambe.build.component import Component


class Seeing(Component):
    def __init__(self, number, meet):
        super().__init__()
        self.number, self.meet = number, meet

    def run(self):
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        with open(os.path.join(self.meet, f"{self.number}"), "w") as file:
            file.write(seen)
        return False
"""


def test_which_gpus_there_are():
    assert usable_gpus({VISIBLE: "3, 5"}) == ["3", "5"]
    assert usable_gpus({VISIBLE: "GPU-1f2e,-1,4"}) == ["GPU-1f2e"]
    assert usable_gpus({VISIBLE: ""}) == []
    assert len(usable_gpus({})) == len(
        list(os.scandir("/proc/driver/nvidia/gpus")) if os.path.isdir("/proc/driver/nvidia/gpus") else []
    )


def test_parts_share_a_gpu_and_whole_ones_are_alone():
    gpus = Gpus(["3", "5", "7"])
    taken = []
    for amount in (0.4, 0.7, 0.3, 0.3, 1, 0.5):
        names = gpus.pick(amount)
        taken.append(names)
        if names is not None:
            gpus.take(names, amount)
    # 0.7 and 0.4 do not fit together; the fullest with room comes first.
    assert taken == [("3",), ("5",), ("5",), ("3",), ("7",), None]
    assert gpus.pick(2) is None
    gpus.give_back(("3",), 0.7)
    gpus.give_back(("7",), 1)
    assert gpus.pick(2) == ("3", "7")
    assert gpus.pick(0.5) == ("3",)


def _unit(variant, gpus):
    return Unit(stage="a", variant=variant, body={}, key="k", seed=0, resources={} if gpus is None else {"gpus": gpus})


def test_a_child_is_reused_on_its_gpu_only():
    pool = LocalPool(3, cpus=4, gpus=["3", "5"])
    try:
        assert pool.capacity() == {"slots": 3.0, "cpus": 4.0, "gpus": 2.0}
        first, second = pool.claim(_unit("a", 0.7)), pool.claim(_unit("b", 0.7))
        # 0.6 is free in all, and 0.5 nowhere.
        assert not pool.has_room(_unit("c", 0.5))
        assert pool.has_room(_unit("c", 0.3))
        assert pool.has_room(_unit("c", None))
        pool.release("a/b")
        assert pool.claim(_unit("c", 0.5)) == second != first
        pool.abandon("a/a")
        assert pool.claim(_unit("d", 0)) not in (first, second)
    finally:
        pool.close()


@pytest.mark.slow
def test_every_variant_sees_what_it_was_given(bench, monkeypatch):
    monkeypatch.setenv(VISIBLE, "3,5")
    bench.toys.write_text(SEEING)
    meet = bench.folder / "meet"
    meet.mkdir()
    spec = bench.spec(devices={"cpus": 1, "gpus": 0.5})
    seeing = {"$new": "toys:Seeing", "number": {"$grid": [1, 2]}, "meet": str(meet)}
    spec.stages = [Stage(name="a", body=seeing)]
    spec.stages.append(Stage(name="b", body={**seeing, "number": 6}, resources={"gpus": 0}))
    spec.stages.append(Stage(name="c", body={**seeing, "number": 7}, resources={"gpus": 2}))
    summary = run_experiment(spec, Settings(runner=LOCAL, workers=2))
    assert summary.status == "COMPLETE"
    seen = {int(file.name): file.read_text() for file in meet.iterdir()}
    assert {seen[number] for number in range(1, 3)} <= {"3", "5"}
    assert (seen[6], seen[7]) == ("", "3,5")


@pytest.mark.parametrize(
    ("gpus", "message"),
    [
        (
            4,
            r"stage 'climb' asks for 4 gpus, there are 2. Ask for less .*What is hidden by CUDA_VISIBLE_DEVICES does not count",
        ),
        (1.5, r"stage 'climb' asks for 1.5 gpus; expected a part of one \(0.5\), or whole ones"),
    ],
)
def test_more_than_there_is_is_told(bench, monkeypatch, gpus, message):
    monkeypatch.setenv(VISIBLE, "3,5")
    spec = bench.spec(rates=1)
    spec.stages[1].resources = {"gpus": gpus}
    with pytest.raises(ConfigError, match=message):
        run_experiment(spec, Settings(runner=LOCAL))
