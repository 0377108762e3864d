"""A search over three machines, each with a disk of its own: the results of one, and what happens when one is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flambe.record.ledger import read_events
from flambe.spec.nodes import Environment, Spec, Stage

sys.path.insert(0, str(Path(__file__).parent))
from kills import children
from nodes import Torture
from ray_nodes import MEMORY, SHARED, RayNodes

pytestmark = [pytest.mark.slow, pytest.mark.hosts]
whole = pytest.mark.skipif("FLAMBE_TORTURE" not in os.environ, reason="takes long: nox -s torture-store runs it")

WALK = """
import os, random, socket, time
import numpy
import flambe
from flambe.build.component import Component


class Walk(Component):
    def __init__(self, rate, steps=4, pause=0.05, size=1000, hungry="", stuck=""):
        super().__init__()
        self.rate, self.steps, self.pause = rate, steps, pause
        self.hungry, self.stuck = hungry, stuck
        self.place, self.done = numpy.zeros(size), 0
        self.register_attrs("place", "done")

    def run(self):
        print("on", socket.gethostname())
        time.sleep(self.pause)
        # Once on the machine of that name, in a second step.
        for name in (self.hungry, self.stuck):
            if self.done == 1 and name == socket.gethostname() and not os.path.exists(f"/tmp/had-{name}"):
                open(f"/tmp/had-{name}", "w").close()
                memory = b"x" * (1_200_000_000 if name == self.hungry else 0)
                time.sleep(600)
        self.place = self.place + random.random() * self.rate
        self.done += 1
        flambe.log("place", float(self.place[0]), self.done)
        return self.done < self.steps

    def metric(self):
        return float(self.place[0])


class Look(Component):
    def __init__(self, walk):
        super().__init__()
        self.walk, self.seen = walk, None
        self.register_attrs("seen")

    def run(self):
        self.seen = self.walk.metric() * 2
        return False

    def metric(self):
        return self.seen
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """Three machines for all tests of the file, which leave them as they were."""
    if gone := RayNodes.missing():
        pytest.skip(f"machines of namespaces need: {', '.join(gone)}")
    made = RayNodes(3)
    made.put("code/walker.py", WALK)
    try:
        yield made
    finally:
        made.close()


def sweep(name: str, rates: int = 6, **walk: Any) -> Spec:
    rate = {"$grid": [index + 1 for index in range(rates)]}
    look = {"$new": "walker:Look", "walk": {"$link": ["walk"]}}
    return Spec(
        name=name,
        output_dir="/tmp/out",
        seed=1,
        stages=[
            Stage(name="walk", body={"$new": "walker:Walk", "rate": rate, **walk}, reduce=2),
            Stage(name="look", body=look),
        ],
        environment=Environment(extensions={"walker": "/tmp/code/walker.py"}),
    )


def ended(process: Any, code: int = 0) -> tuple[dict[str, Any], str]:
    """Return the last row of a command that has ended, and what it said."""
    out, words = process.communicate(timeout=100)
    assert process.returncode == code, words
    return json.loads(out.splitlines()[-1]), words


def places(run: Path) -> dict[str, list[str]]:
    """Return the machine of every step that the units of a run have printed."""
    logs = run.glob("stages/walk/rate=*/outputs.log")
    return {
        log.parent.name: [line.split()[1] for line in log.read_text().splitlines() if line.startswith("on ")]
        for log in logs
    }


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} in {seconds} s"
        time.sleep(0.02)
    return found


def test_three_disks_and_one_disk_give_what_one_process_gives(nodes):
    digests = set()
    for options in (
        ["--runner", "local"],
        ["--address", nodes.ray_address],
        ["--address", nodes.ray_address, "--output-dir", f"{SHARED}/out"],
    ):
        run, words = ended(nodes.tune(sweep("calm"), *options, "--force"))
        digests.add(run["result_digest"])
        assert "on " not in words
        if "--address" in options:
            folder = Path(run["run"])
            root = nodes.shared if folder.is_relative_to(SHARED) else nodes.tmp(1)
            folder = root / folder.relative_to(SHARED if root == nodes.shared else "/tmp")
            hosts = {host for steps in places(folder).values() for host in steps}
            assert hosts == {nodes.name(number) for number in nodes.numbers}
            assert not list(folder.rglob(".*"))
    assert len(digests) == 1
    left = [path for number in nodes.numbers for path in nodes.tmp(number).glob("flambe-worker-*")]
    assert left == [], "workers left files behind"


def test_a_machine_is_lost_and_only_its_trial_moves(nodes):
    spec = sweep("lost", rates=5, steps=8, pause=0.3)
    spec = msgspec.structs.replace(spec, max_failures=2)
    process = nodes.tune(spec, "--address", nodes.ray_address)
    run = nodes.tmp(1) / "out/lost/exp.0"
    victim = nodes.name(3)

    def on_victim() -> list[str]:
        return [unit for unit, steps in places(run).items() if steps and steps[-1] == victim and len(steps) >= 2]

    (unit,) = wait_for(on_victim, "second step on machine 3")
    nodes.kill_ray(3)
    began = time.monotonic()
    failed = wait_for(
        lambda: [e for e in read_events(run / "ledger.jsonl") if e["event"] == "fail"], "word of the loss"
    )
    print(f"the loss was told after {time.monotonic() - began:.2f} s")
    row, words = ended(process)
    events = read_events(run / "ledger.jsonl")
    assert (
        [event["unit"] for event in events if event["event"] == "fail"]
        == [f"walk/{unit}"]
        == [e["unit"] for e in failed]
    )
    starts = Counter(event["unit"] for event in events if event["event"] == "start")
    assert {name for name, count in starts.items() if count > 1} == {f"walk/{unit}"}
    again = [event for event in events if event["event"] == "start" and event["unit"] == f"walk/{unit}"][1]
    assert again["from_step"] >= 2, "it goes on from its last step"
    assert f"walk/{unit} failed, is tried again: its worker died" in words
    assert set(places(run)[unit][-3:]) <= {nodes.name(1), nodes.name(2)}
    nodes.start_ray(3)
    calm, _ = ended(nodes.tune(spec, "--runner", "local", "--output-dir", "/tmp/alone"))
    assert row["result_digest"] == calm["result_digest"]


@whole
def test_a_cut_cable_is_forgiven_for_a_moment_and_then_its_trial_moves(nodes):
    spec = msgspec.structs.replace(sweep("cut", rates=5, steps=10, pause=0.4), max_failures=2)
    process = nodes.tune(spec, "--address", nodes.ray_address)
    run = nodes.tmp(1) / "out/cut/exp.0"
    victim = nodes.name(3)

    def steps() -> int:
        return sum(host == victim for hosts in places(run).values() for host in hosts)

    def failed() -> list[dict[str, Any]]:
        return [event for event in read_events(run / "ledger.jsonl") if event["event"] == "fail"]

    wait_for(lambda: steps() >= 1, "step on machine 3")
    nodes.cut(3)
    time.sleep(1.5)
    nodes.mend(3)
    before = steps()
    wait_for(lambda: steps() >= before + 3, "more steps on machine 3")
    assert failed() == []
    nodes.cut(3)
    began = time.monotonic()
    (loss,) = wait_for(failed, "word of the cut")
    print(f"the cut was told after {time.monotonic() - began:.1f} s")
    assert loss["error"] == f"its worker died: the Ray node on {victim} is lost"
    row, _ = ended(process)
    assert failed() == [loss]
    starts = Counter(event["unit"] for event in read_events(run / "ledger.jsonl") if event["event"] == "start")
    assert {unit for unit, count in starts.items() if count > 1} == {loss["unit"]}
    assert nodes.ours(3), "what was there cannot know"
    wait_for(lambda: not nodes.ours(3), "end of the workers on machine 3", 90)
    print(f"its workers ended {time.monotonic() - began:.0f} s after the cut")
    nodes.mend(3)
    began = time.monotonic()
    wait_for(lambda: not nodes.is_up(3), "end of the Ray node on machine 3")
    print(f"the node that was given up ended {time.monotonic() - began:.1f} s after the cable was back")
    nodes.kill_ray(3)
    nodes.start_ray(3)
    calm, words = ended(nodes.tune(spec, "--address", nodes.ray_address, "--output-dir", "/tmp/alone"))
    assert {host for hosts in places(nodes.tmp(1) / "alone/cut/exp.0").values() for host in hosts} >= {victim}, words
    assert row["result_digest"] == calm["result_digest"]


@whole
@pytest.mark.skipif(not os.access(MEMORY, os.W_OK), reason="needs memory cgroups of version 1")
def test_a_step_that_hangs_and_one_that_wants_all_memory_harm_no_other(nodes):
    hungry, stuck = nodes.name(2), nodes.name(3)
    spec = msgspec.structs.replace(sweep("greedy", hungry=hungry, stuck=stuck), max_failures=1)
    with nodes.with_memory(2, 2_000_000_000):
        row, words = ended(nodes.tune(spec, "--address", nodes.ray_address, "--step-limit", "8"))
    run = nodes.tmp(1) / "out/greedy/exp.0"
    events = read_events(run / "ledger.jsonl")
    failed = {event["error"]: event["unit"] for event in events if event["event"] == "fail"}
    assert set(failed) == {
        f"its worker died: Ray ended it, for the memory of {hungry} was used up",
        "its step took longer than 8 s",
    }
    assert words.count("failed, is tried again") == 2
    assert words.count("failed, is tried again beside no other: its worker died: Ray ended it") == 1
    starts = Counter(event["unit"] for event in events if event["event"] == "start")
    assert {unit for unit, count in starts.items() if count > 1} == set(failed.values())
    assert row["counts"]["done"] == row["counts"]["expected"] == 8
    calm, _ = ended(nodes.tune(spec, "--runner", "local", "--output-dir", "/tmp/alone"))
    assert row["result_digest"] == calm["result_digest"]


@whole
def test_a_full_disk_of_one_machine_is_told_and_left_alone(nodes):
    # Machine 2 has room for a few steps of a few variants, and none when its disk is full of something else.
    small = nodes.tmp(2) / "small"
    nodes.run(2, "mkdir", "-p", "/tmp/small")
    nodes.run(2, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/tmp/small")
    nodes.kill_ray(2)
    nodes.start_ray(2, TMPDIR="/tmp/small")
    spec = msgspec.structs.replace(sweep("full", rates=6, steps=4, pause=0.2, size=20_000), max_failures=1)
    try:
        row, words = ended(nodes.tune(spec, "--address", nodes.ray_address))
    finally:
        nodes.kill_ray(2)
        nodes.run(2, "umount", "-l", "/tmp/small")
        nodes.start_ray(2)
    told = [line for line in words.splitlines() if "failed" in line]
    assert len(told) == 1, words
    assert f"is tried again: on {nodes.name(2)}: " in told[0]
    assert "No space left on device" in told[0]
    assert row["counts"]["done"] == 8
    assert small.exists()


TUNER = """
import os, sys
import ray
from ray import tune
from flambe.experiment import StageTrainable
from flambe.experiment.session import LOCAL, Settings
from flambe.spec.codec import load_spec

spec, address, folder = load_spec(open(sys.argv[1]).read()), sys.argv[2], "/mnt/tune/three"
ray.init(address=address, _node_ip_address=address.partition(":")[0], log_to_driver=False, logging_level="ERROR")
if os.path.exists(folder):
    tuner = tune.Tuner.restore(folder, StageTrainable, resume_unfinished=True)
else:
    tuner = tune.Tuner(
        StageTrainable,
        param_space={**StageTrainable.param_space(spec, "walk"), "walk.rate": tune.grid_search([1, 2, 3])},
        tune_config=tune.TuneConfig(metric="metric", mode="max"),
        run_config=tune.RunConfig(
            name="three", storage_path="/mnt/tune", verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
            failure_config=tune.FailureConfig(max_failures=3),
        ),
    )
results = tuner.fit()
for result in results:
    assert result.error is None, result.error
    print("ended", result.config["walk.rate"], result.metrics["metric"], result.metrics["training_iteration"], result.metrics["node_ip"])
"""


@whole
def test_a_plain_tuner_takes_a_stage_over_three_machines_and_goes_on_after_a_kill(nodes):
    spec = sweep("tuned", rates=3, steps=6, pause=0.4)
    said = nodes.tmp(1) / "tuner.log"
    run, _ = ended(nodes.tune(spec, "--runner", "local", "--output-dir", "/tmp/alone"))  # and leaves the spec there
    rows = read_events(nodes.tmp(1) / "alone/tuned" / Path(run["run"]).name / "ledger.jsonl")
    right = {
        float(event["unit"].partition("=")[2]): event["metric"]
        for event in rows
        if event.get("unit", "").startswith("walk/") and event["event"] == "commit"
    }
    script = nodes.put("tuner.py", TUNER)

    def start():
        words = nodes.words(1, sys.executable, script, "/tmp/spec-tuned.json", nodes.ray_address)
        with open(said, "a") as log:
            return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, env=nodes.environment())

    process = start()
    wait_for(
        lambda: list(nodes.shared.glob("tune/three/StageTrainable_*/checkpoint_000001")),
        f"checkpoint {said.read_text()}",
        150,
    )
    for child in children(process.pid):
        os.kill(child, signal.SIGKILL)
    process.communicate()
    out, _ = start().communicate(timeout=100)
    lines = [line.split()[1:] for line in out.splitlines() if line.startswith("ended ")]
    assert {float(rate): float(metric) for rate, metric, *_ in lines} == right, said.read_text()
    assert {steps for _, _, steps, _ in lines} == {"6"}
    assert {ip for *_, ip in lines} == {nodes.address(number) for number in nodes.numbers}


def test_a_share_of_the_kills(nodes, capsys):
    # nox runs the whole: nodes.py
    with capsys.disabled():
        torture = Torture(nodes, random.Random(5), {"command": 1, "worker": 2, "node": 1})
    torture.round("share", 4)
    torture.close()
    assert torture.findings == []
    assert torture.kills.total() == 4
    assert torture.looks > 4
    torture.mend()


@whole
def test_the_head_is_lost_and_the_same_command_goes_on(nodes):
    spec = sweep("headless", rates=4, steps=6, pause=0.3)
    for number in nodes.numbers:
        nodes.kill_ray(number)
    nodes.start_ray(RAY_gcs_rpc_server_reconnect_timeout_s="60")  # as others start theirs
    process = nodes.tune(spec, "--address", nodes.ray_address)
    run = nodes.tmp(1) / "out/headless/exp.0"
    wait_for(lambda: len({host for steps in places(run).values() for host in steps}) == 3, "step on each machine")
    nodes.kill_ray(1)
    began = time.monotonic()
    words = process.communicate(timeout=100)[1]
    print(f"the command ended {time.monotonic() - began:.1f} s after the head")
    assert process.returncode == 4, words
    assert f"the Ray at {nodes.ray_address} is gone. Start it there, then give the same command again" in words
    assert json.loads((run / "run.json").read_text())["status"] == "CANCELLED"
    for number in nodes.numbers[1:]:
        wait_for(lambda number=number: not nodes.ours(number), f"end of the workers of machine {number}", 15)
        assert nodes.is_up(number), "Ray still waits for its head"
        nodes.kill_ray(number)
    nodes.start_ray()
    row, _ = ended(nodes.tune(spec, "--address", nodes.ray_address))
    assert row["run"].endswith("exp.0")
    calm, _ = ended(nodes.tune(spec, "--runner", "local", "--output-dir", "/tmp/alone"))
    assert row["result_digest"] == calm["result_digest"]
