"""Small components of a module that no distribution ships, and specs that use them: no torch is needed."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flambe.experiment import Controller
from flambe.experiment.simulation import SimulatedPool
from flambe.pipeline import plan_units
from flambe.pipeline.plan import PlannedSearch
from flambe.pipeline.reason import Reasons
from flambe.record.keeper import Keeper
from flambe.record.ledger import fold, read_events
from flambe.record.opening import open_run
from flambe.record.result import ResultStore
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Environment, Spec, Stage

TOYS = '''
import os
import random
import sys
import time

import flambe
from flambe.build.component import Component


class Source(Component):
    """Numbers that every climber shares."""

    immutable = True

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.numbers = list(range(size))

    @property
    def count(self) -> int:
        return len(self.numbers)


class Climber(Component):
    """Climbs by about ``rate`` a step. breaks: raise at this step; dies: end the process at this step, the first time;
    leaves: call sys.exit at this step. slow: seconds to build."""

    def __init__(self, source, rate=1.0, steps=5, pause=0.0, breaks=0, dies=0, mark="", count=0, leaves=0, slow=0.0):
        super().__init__()
        time.sleep(slow)
        self.source, self.rate, self.steps, self.pause = source, rate, steps, pause
        self.breaks, self.dies, self.mark, self.count, self.leaves = breaks, dies, mark, count, leaves
        self.at, self.height = 0, 0.0
        self.register_attrs("at", "height")

    def run(self):
        time.sleep(self.pause)
        print("this goes to the log of the unit")
        os.write(1, b"so does this\\n")
        self.at += 1
        if self.at == self.breaks:
            raise RuntimeError("the rope broke")
        if self.at == self.leaves:
            print("the last words")
            sys.exit(3)
        if self.at == self.dies and not os.path.exists(self.mark):
            open(self.mark, "w").close()
            os.kill(os.getpid(), 9)
        self.height += self.rate * (1 + random.random() / 10)
        flambe.log("height", self.height, self.at)
        flambe.log("threads", int(os.environ["OMP_NUM_THREADS"]), self.at)
        return self.at < self.steps

    def metric(self):
        return self.height


class Secretive(Climber):
    """Tells nobody how high it is."""

    def metric(self):
        return None


class Judge(Component):
    """Ten times the height of a climber."""

    def __init__(self, climber):
        super().__init__()
        self.climber, self.mark = climber, None
        self.register_attrs("mark")

    def run(self):
        self.mark = self.climber.height * 10
        return False

    def metric(self):
        return self.mark
'''


class Bench:
    """A folder with the toys, and flambe-tune to run specs of them in it."""

    def __init__(self, folder: Path, toys: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.toys = toys
        toys.write_text(TOYS)

    def spec(
        self,
        *,
        rates: int = 4,
        steps: int = 4,
        scheduler: Any = None,
        reduce: int | None = 2,
        climber: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Spec:
        body = {
            "$new": "toys:Climber",
            "source": {"$link": ["source"]},
            "rate": {"$grid": [(index + 1) / rates for index in range(rates)]},
            "steps": steps,
            "count": {"$link": ["source"], "attr": ["count"]},
            **(climber or {}),
        }
        return Spec(
            name="climb",
            output_dir=str(self.folder / "out"),
            seed=1,
            stages=[
                Stage(name="source", body={"$new": "toys:Source"}),
                Stage(name="climb", body=body, reduce=reduce, scheduler=scheduler),
                Stage(name="judge", body={"$new": "toys:Judge", "climber": {"$link": ["climb"]}}),
            ],
            environment=Environment(extensions={"toys": str(self.toys)}),
            **fields,
        )

    def command(self, spec: Spec, *options: str) -> list[str]:
        path = self.folder / "spec.json"
        path.write_bytes(dump_spec(spec))
        return [sys.executable, "-m", "flambe.experiment.cli", str(path), *options]

    def tune(self, spec: Spec, *options: str, code: int = 0) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
        """Run the command; returns the rows of the variants, the row of the run, and stderr."""
        done = subprocess.run(self.command(spec, *options), capture_output=True, text=True, timeout=200)
        assert done.returncode == code, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return rows[:-1], rows[-1] if rows else {}, done.stderr


class Killed(BaseException):
    """Stands for a SIGKILL at an event."""


class Lab:
    """Runs a spec below a folder, again and again, with the real keeper. pool: arguments of every ``SimulatedPool``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **pool: Any) -> None:
        self.folder = folder
        self.defaults = pool
        self.pools: list[SimulatedPool] = []
        self.notes: list[str] = []
        self.controller: Controller | None = None
        # The process that "died" is this one, which lives on.
        monkeypatch.setattr("flambe.record.run.is_alive", lambda record: False)
        # These tests are about the death of processes; waiting for the disk is another matter.
        monkeypatch.setattr("os.fsync", lambda descriptor: None)

    def run(
        self,
        spec: Spec,
        *,
        seed: int = 0,
        slots: int = 4,
        kill_at: int | None = None,
        reuse: bool = True,
        store=None,
        asked_to_stop: Callable[[], bool] = lambda: False,
        **pool,
    ):
        luck = random.Random(seed)
        keeper = Keeper(open_run(spec, tool="test", output_dir=self.folder))
        keeper._pulse.end()
        if kill_at is not None:
            append, left = keeper.ledger.append, [kill_at]

            def mortal(event: str, **fields: object) -> object:
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return append(event, **fields)

            keeper.ledger.append = mortal  # type: ignore[method-assign, assignment]

        def make_pool(count: int) -> SimulatedPool:
            made = SimulatedPool(slots, luck, **{**self.defaults, **pool})
            self.pools.append(made)
            return made

        lab = self

        class Observer:
            def changed(self, work: object) -> None: ...
            def note(self, text: str) -> None:
                lab.notes.append(text)

        try:
            store = store or (ResultStore(self.folder) if reuse else None)
            self.controller = Controller(
                spec, keeper, make_pool, store=store, observer=Observer(), asked_to_stop=asked_to_stop
            )
            outcome = self.controller.run()
            return outcome, keeper.close("CANCELLED" if outcome.stopped else "FAILED" if outcome.failed else "COMPLETE")
        except Killed:
            with contextlib.suppress(OSError):  # killed while it closed
                keeper.ledger.close()
            state = fold(read_events(keeper.paths.ledger))
            counts = state.counts()
            assert counts["expected"] == counts["done"] + counts["failed"] + counts["pruned"] + counts["pending"]
            return None

    def plan(self, spec: Spec) -> Counter[tuple[str, str]]:
        """Return (stage, what ``--plan`` says of it) → how many units."""
        planned = plan_units(spec, self.folder / spec.name / "exp.next", ResultStore(self.folder))
        return Counter((row["stage"], row["action"]) for row in (one.row() for one in planned))

    def why(self, spec: Spec) -> dict[str, set[str]]:
        """Return stage → what ``--plan`` says of why its units run."""
        reasons, found = Reasons(self.folder / spec.name, spec), defaultdict[str, set[str]](set)
        for one in plan_units(spec, self.folder / spec.name / "exp.next", ResultStore(self.folder)):
            if isinstance(one, PlannedSearch):
                found[one.stage].add(reasons.why_search(one))
            elif one.action == "run":
                found[one.unit.stage].add(reasons.why(one.unit, one.needs_that_run))
        return found


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Lab]]:
    """Makes so many empty labs."""
    return lambda count, **pool: [Lab(tmp_path / f"lab{index}", monkeypatch, **pool) for index in range(count)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, tmp_path / "toys.py")


@pytest.fixture
def benches(tmp_path: Path) -> Callable[[str], Bench]:
    """Makes folders that share the module, so that equal specs in them have equal digests."""
    return lambda name: Bench(tmp_path / name, tmp_path / "toys.py")
