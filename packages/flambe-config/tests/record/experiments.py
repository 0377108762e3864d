"""Scenarios of experiments and of saved components."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from scenario import Scenario, look_at_runs, newest, nothing, result_of
from store_toys import spec_of

import flambe
from flambe.record.keeper import Keeper
from flambe.record.opening import open_run
from flambe.record.parcel import pack
from flambe.record.run import CANCELLED, COMPLETE
from flambe.record.takeover import Takeovers
from flambe.runner.execute import execute
from flambe.runner.plan import concrete_units
from flambe.runner.stage import StageRun
from flambe.runner.unit import Unit
from flambe.spec.nodes import Spec, Stage


def experiments(toy: Path) -> dict[str, Scenario]:
    """Return the scenarios by name."""
    spec, long = spec_of(toy), spec_of(toy, steps=14, sway=True)
    return {
        "run": runs(spec),
        "continued": runs(spec, stopped_after(spec, 2)),
        "reused": runs(spec, lambda place: runs(spec).act(place)),
        "failed": runs(spec_of(toy, fail_at=1)),
        "long": bounded(long, stopped_after(long, 3)),
        "from afar": from_afar(spec),
        "population": population(toy),
        "save": saves(compress=False),
        "save compressed": saves(compress=True),
    }


def runs(spec: Spec, prepare: Callable[[Path], Any] = nothing) -> Scenario:
    def act(place: Path) -> int:
        return int(execute(spec, tool="flambe exec", on_unit=lambda row: None, output_dir=place)[1] > 0)

    return Scenario(prepare, act, look_at_runs, lambda place: result_of(newest(place)))


def bounded(spec: Spec, prepare: Callable[[Path], Any]) -> Scenario:
    """A walk of many steps, whose best and last states are all that is kept."""

    def between(place: Path) -> None:
        look_at_runs(place)
        # The one that a kill or a full disk has left beside them goes with the next step.
        kept = [path.name for path in newest(place).glob("stages/walk/0/steps/*") if path.name.isdigit()]
        assert len(kept) <= 3, kept

    return runs(spec, prepare)._replace(between=between)


def stopped_after(spec: Spec, steps: int) -> Callable[[Path], None]:
    def prepare(place: Path) -> None:
        keeper = Keeper(open_run(spec, tool="flambe exec", output_dir=place))
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


def _kept(spec: Spec, place: Path, work: Callable[[Keeper], None]) -> int:
    """Let ``work`` write to the run of a spec, as a command does, and end it."""
    keeper = Keeper(open_run(spec, tool="flambe exec", output_dir=place))
    try:
        work(keeper)
    except BaseException as error:
        keeper.give_up(error)
        raise
    keeper.close(COMPLETE)
    return 0


def from_afar(spec: Spec) -> Scenario:
    """Results come as bytes, as from a worker that shares no disk."""

    def work(keeper: Keeper) -> None:
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

    return Scenario(nothing, lambda place: _kept(spec, place, work), look_at_runs, lambda p: result_of(newest(p)))


def population(toy: Path) -> Scenario:
    """Two walks, of which the second goes on from the state that the first has after two steps, at another rate, twice."""
    one = spec_of(toy).stages[0]
    rates = {"$grid": [1.0, 2.0]}
    spec = msgspec.structs.replace(
        spec_of(toy), stages=[Stage(name="walk", body={**one.body, "rate": rates, "steps": 6})]
    )

    def units(keeper: Keeper) -> list[Unit]:
        from flambe.runner.plan import make_unit

        made = []
        for rate in rates["$grid"]:
            stage = Stage(name="walk", body={**one.body, "rate": rate, "steps": 6})
            made.append(make_unit(spec, stage, {"walk.rate": rate}, {}, keeper.paths.root))
        return made

    def work(keeper: Keeper) -> None:
        takeovers, state = Takeovers(keeper), keeper.state
        donor, taker = units(keeper)
        for unit in (donor, taker):
            keeper.plan(unit)
        for step in (2, 4):
            takeovers.hold("walk", {donor.id: {step}})
            _walk_until(keeper, donor, step)
            _walk_until(keeper, taker, step)
            taken = [event for event in state.events if event["event"] == "decision" and event["step"] == step]
            choice = {"rate": 2.0 + step}
            if not taken:
                takeovers.record(taker, step, donor, step, choice, f"{taker.key}@{step}")
            elif state.steps.get(taker.id) == step and taker.id not in state.done:
                takeovers.carry(taker, step, donor, step, choice)
        for unit in (donor, taker):
            _walk_until(keeper, unit, None)
        takeovers.end([donor, taker])

    return Scenario(nothing, lambda place: _kept(spec, place, work), look_at_runs, lambda p: result_of(newest(p)))


def _walk_until(keeper: Keeper, unit: Unit, until: int | None) -> None:
    """Let a unit go on to a step, where it pauses, or to its end."""
    state, paths = keeper.state, keeper.paths.unit(unit.stage, unit.variant)
    step = state.steps.get(unit.id, 0)
    if unit.id in state.done or (until is not None and step >= until):
        return
    attempt = state.attempts.get(unit.id, 0) + 1
    stage = StageRun(unit, keeper.start(unit, attempt, "main", step))
    stage.start(paths.step(step) if step else None)
    while True:
        report = stage.step()
        keeper.report(unit, attempt, report, stage.folder / "steps" / str(report.step) if report.more else None)
        if not report.more:
            keeper.commit(unit, attempt, stage.folder, stage.commit())
            break
        if report.step == until:
            keeper.pause(unit, report.step)
            break
    stage.close()


def saves(*, compress: bool) -> Scenario:
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
