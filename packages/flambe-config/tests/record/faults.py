"""Let every change of the disk fail, one at a time, in every way it commits, and look at what is left.

    python faults.py [--count 100000] [--seed 1] [--only SCENARIO:N:FAULT]

After each fault the store opens to the old or the new state, the error has been told once, and the same command, given again,
ends with the result of a disk that never failed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

sys.path.insert(0, str(Path(__file__).parent))
from disk import FAULTS, Disk

import flambe
from flambe.cli.door import enter
from flambe.record.keeper import Keeper
from flambe.record.layout import RunPaths
from flambe.record.ledger import fold, read_events
from flambe.record.parcel import pack
from flambe.record.run import CANCELLED, COMPLETE, FAILED, RunRecord, StageRecord, read_record
from flambe.runner.execute import execute
from flambe.runner.plan import concrete_units
from flambe.runner.stage import StageRun
from flambe.spec.nodes import Environment, Spec, Stage

TOY = """
import pathlib, random
import flambe
import numpy as np
from flambe import Component


class Model(Component):
    def __init__(self, size):
        super().__init__()
        self.weights = np.random.rand(size)
        self.register_attrs("weights")


class Walk(Component):
    def __init__(self, model, steps=3, fail_at=None):
        super().__init__()
        self.model, self.steps, self.fail_at = model, steps, fail_at
        self.position, self.done = 0.0, 0
        self.register_attrs("position", "done")

    def run(self):
        if self.fail_at == self.done:
            raise ValueError("the toy broke as it was told to")
        self.position += random.random()
        self.model.weights += 0.5
        self.done += 1
        print("step", self.done)
        with open(pathlib.Path(flambe.get_trial_dir()) / "log.txt", "a") as stream:
            stream.write(f"{self.done} ")
        flambe.log("walk/position", self.position, self.done)
        return self.done < self.steps

    def metric(self):
        return self.position


class Look(Component):
    def __init__(self, model):
        super().__init__()
        self.model, self.total = model, None
        self.register_attrs("total")

    def run(self):
        self.total = float(self.model.weights.sum())
        return False

    def metric(self):
        return self.total
"""


def toy_at(folder: Path) -> Path:
    (folder / "toyext").mkdir(parents=True)
    (folder / "toyext/__init__.py").write_text(TOY)
    sys.path.insert(0, str(folder))
    return folder / "toyext"


def spec_of(toy: Path, **walk: Any) -> Spec:
    model = {"$new": "toyext:Model", "size": 2}
    look = {"$new": "toyext:Look", "model": {"$link": ["walk"], "attr": ["model"]}}
    return Spec(
        name="toy",
        stages=[
            Stage(name="walk", body={"$new": "toyext:Walk", "model": model, **walk}),
            Stage(name="look", body=look),
        ],
        environment=Environment(extensions={"toyext": str(toy)}),
    )


class Scenario(NamedTuple):
    """prepare: what is there before. act: what meets the fault, and is given again. check: what must hold in between and at the end."""

    prepare: Callable[[Path], None]
    act: Callable[[Path], int]
    between: Callable[[Path], None]
    result: Callable[[Path], Any]


def runs(spec: Spec, prepare: Callable[[Path], None] = lambda place: None) -> Scenario:
    def act(place: Path) -> int:
        return int(execute(spec, tool="flambe exec", on_unit=lambda row: None, output_dir=place)[1] > 0)

    return Scenario(prepare, act, look_at_runs, lambda place: result_of(newest(place)))


def newest(place: Path) -> Path:
    return max((place / "toy").glob("exp.*"), key=lambda path: int(path.name.partition(".")[2]))


def result_of(root: Path) -> Any:
    paths = RunPaths(root)
    record = read_record(paths.record, RunRecord)
    assert record.status in (COMPLETE, FAILED), record.status
    events = read_events(paths.ledger)
    made: dict[str, int] = {}
    for event in events:
        if event["event"] == "plan":
            made[event["unit"]] = 0
        elif event["event"] in ("commit", "reuse"):
            made[event["unit"]] += 1
            assert made[event["unit"]] == 1, event
    assert [event["n"] for event in events] == list(range(len(events)))
    counts = {name: number for name, number in record.counts.items() if name != "reused"}
    assert not list(root.rglob(".*")), list(root.rglob(".*"))
    artifacts = {
        path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.glob("stages/*/*/artifacts/*"))
    }
    return record.result_digest, counts, artifacts


def look_at_runs(place: Path) -> None:
    """Every run can be read: each file is whole or not there, and what the ledger calls done is done."""
    for root in sorted((place / "toy").glob("exp.*")):
        paths = RunPaths(root)
        state = fold(read_events(paths.ledger))
        if paths.record.exists():
            read_record(paths.record, RunRecord)
        for record in root.glob("stages/*/*/run.json"):
            read_record(record, StageRecord)
        for unit in state.done:
            done = paths.folder(unit)
            assert read_record(done.record, StageRecord).status == COMPLETE, unit
            flambe.load(done.checkpoint, extensions=["toyext"])


def stopped_after(spec: Spec, steps: int) -> Callable[[Path], None]:
    def prepare(place: Path) -> None:
        keeper = Keeper.open(spec, tool="flambe exec", output_dir=place)
        walk = concrete_units(spec, keeper.paths.root)[0]
        keeper.plan(walk)
        scratch = keeper.start(walk, 1, "main")
        stage = StageRun(walk, scratch)
        stage.start()
        for _ in range(steps):
            report = stage.step()
            keeper.report(walk, 1, report, scratch / "steps" / str(report.step))
        stage.close()
        keeper.close(CANCELLED)

    return prepare


def from_afar(spec: Spec) -> Scenario:
    """Results come as bytes, as from a worker that shares no disk."""

    def act(place: Path) -> int:
        keeper = Keeper.open(spec, tool="flambe exec", output_dir=place)
        try:
            for unit in concrete_units(spec, keeper.paths.root):
                keeper.plan(unit)
                if unit.id in keeper.state.done:
                    continue
                attempt = keeper.state.attempts.get(unit.id, 0) + 1
                step = keeper.state.steps.get(unit.id, 0)
                keeper.start(unit, attempt, "afar", step)
                with tempfile.TemporaryDirectory() as afar:
                    stage = StageRun(unit, Path(afar))
                    stage.start(keeper.paths.unit(unit.stage, unit.variant).step(step) if step else None)
                    while True:
                        report = stage.step()
                        folder = Path(afar) / "steps" / str(report.step)
                        keeper.report(unit, attempt, report, pack(folder) if report.more else None)
                        if not report.more:
                            break
                    last = stage.commit()
                    stage.close()
                    keeper.commit(unit, attempt, pack(Path(afar)), last)
        except BaseException as error:
            keeper.close(CANCELLED, reason=str(error))
            raise
        keeper.close(COMPLETE)
        return 0

    return Scenario(lambda place: None, act, look_at_runs, lambda place: result_of(newest(place)))


def saves(compress: bool) -> Scenario:
    def component(value: float) -> Any:
        import numpy as np
        from toyext import Model, Walk

        walk = Walk(Model(2))
        walk.position, walk.model.weights = value, np.full(2, value)
        return walk

    name = "made.tar.gz" if compress else "made"

    def prepare(place: Path) -> None:
        flambe.save(component(1.0), place / "made", compress=compress)

    def act(place: Path) -> int:
        flambe.save(component(2.0), place / "made", compress=compress, overwrite=True)
        return 0

    def between(place: Path) -> None:
        loaded = flambe.load(place / name, extensions=["toyext"])
        assert loaded.position in (1.0, 2.0)
        assert list(loaded.model.weights) == [loaded.position] * 2

    def result(place: Path) -> Any:
        loaded = flambe.load(place / name, extensions=["toyext"])
        return loaded.position, list(loaded.model.weights)

    return Scenario(prepare, act, between, result)


def scenarios(toy: Path) -> dict[str, Scenario]:
    spec = spec_of(toy)
    return {
        "run": runs(spec),
        "continued": runs(spec, stopped_after(spec, 2)),
        "reused": runs(spec, lambda place: runs(spec).act(place) and None),
        "failed": runs(spec_of(toy, fail_at=1)),
        "from afar": from_afar(spec),
        "save": saves(compress=False),
        "save compressed": saves(compress=True),
    }


def apart(work: Callable[[], int], words: Path) -> int:
    """Call ``work`` as a command in a fork of this process. What it says goes to a file."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            out = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os._exit(enter(click.Command("flambe exec", callback=work), "flambe exec", []))
        except BaseException:
            import traceback

            os.write(2, traceback.format_exc().encode())
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Finding(Exception):
    pass


def meet(scenario: Scenario, place: Path, number: int, fault: str) -> str | None:
    """Let change ``number`` fail. Returns what failed, None when there is no such change. Raises Finding."""
    place.mkdir(parents=True)
    words, told = place.with_suffix(".words"), place.with_suffix(".failed")
    scenario.prepare(place)

    def work() -> int:
        disk = Disk(place, fail_at=number, fault=fault)
        try:
            with disk.watch():
                return scenario.act(place)
        finally:
            told.write_text(f"{disk.count} {disk.failed.kind + ' ' + disk.failed.path if disk.failed else ''}")

    code = apart(work, words)
    count, _, failed = told.read_text().partition(" ")
    said = words.read_text(errors="replace")
    where = f"{failed or 'nothing'} of {count} changes"
    if code not in (0, 1) or "Traceback" in said:
        raise Finding(f"{where}: exit code {code}\n{said}")
    errors = [line for line in said.splitlines() if line.startswith("flambe exec: error:")]
    if len(errors) > 1 or (code == 1 and not errors and ": failed" not in said and "failed:" not in said):
        raise Finding(f"{where}: told {len(errors)} times\n{said}")
    try:
        scenario.between(place)
    except Exception as error:
        raise Finding(f"{where}: what is left cannot be read: {type(error).__name__}: {error}\n{said}") from error
    if apart(lambda: scenario.act(place), words) not in (0, 1):
        raise Finding(
            f"{where}: the same command does not go on\n{said}\n-- then --\n{words.read_text(errors='replace')}"
        )
    return failed or None if int(count) >= number else None


def torture(toy: Path, place: Path, count: int, seed: int, only: str | None = None) -> Iterator[str]:
    """Let ``count`` changes fail, every one there is if ``count`` allows, and yield what is wrong."""
    chosen = random.Random(seed)
    met = 0
    known = scenarios(toy)
    right: dict[str, Any] = {}
    cases: list[tuple[str, int, str]] = []
    for name, scenario in known.items():
        undisturbed = place / "undisturbed" / name
        undisturbed.mkdir(parents=True)
        scenario.prepare(undisturbed)
        disk = Disk(undisturbed)

        def work(scenario: Scenario = scenario, undisturbed: Path = undisturbed, disk: Disk = disk) -> int:
            with disk.watch():
                scenario.act(undisturbed)
            (undisturbed.with_suffix(".count")).write_text(str(disk.count))
            return 0

        assert apart(work, undisturbed.with_suffix(".words")) == 0, undisturbed.with_suffix(".words").read_text()
        right[name] = scenario.result(undisturbed)
        changes = int(undisturbed.with_suffix(".count").read_text())
        cases += [(name, number, fault) for number in range(1, changes + 1) for fault in FAULTS]
    if only is not None:
        name, number, fault = only.split(":")
        cases = [(name, int(number), fault)]
    elif count < len(cases):
        cases = chosen.sample(cases, count)
    print(f"{len(cases):,} faults in {len(known)} scenarios", flush=True)
    for name, number, fault in cases:
        here = place / f"{name.replace(' ', '_')}-{number}-{fault.replace(' ', '_')}"
        try:
            met += meet(known[name], here, number, fault) is not None
            found = known[name].result(here)
            if found != right[name]:
                raise Finding(f"the result is {found}, and was to be {right[name]}")
        except Finding as finding:
            yield f"--only '{name}:{number}:{fault}': {finding}"
        except Exception as error:
            yield f"--only '{name}:{number}:{fault}': the result cannot be read: {type(error).__name__}: {error}"
        for left in (here, here.with_suffix(".words"), here.with_suffix(".failed")):
            if only is None:
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    print(f"{met:,} of them met a change", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="SCENARIO:N:FAULT")
    given = parser.parse_args()
    began = time.monotonic()
    findings = 0
    # A disk in memory where there is one: it is the failing that is looked at, not the speed.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        toy = toy_at(Path(scratch) / "ext")
        importlib.import_module("toyext")
        for finding in torture(toy, Path(scratch) / "places", given.count, given.seed, given.only):
            findings += 1
            print(finding, flush=True)
        if given.only:
            with contextlib.suppress(EOFError):
                input(f"Look at {scratch}, then press enter. ") if sys.stdin.isatty() else None
    print(f"findings: {findings} ({time.monotonic() - began:.0f} s)")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
